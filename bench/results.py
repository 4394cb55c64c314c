"""What came out: each round's figures, their medians, and what qualifies them; kept as JSON."""

import functools
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

from bars import missed
from loads import Figures
from peers import GREENROOM, RELAY

GENERATOR_SHARE_MAX = 0.8  # beyond it the generator may be what was measured
SEND_LATENESS_MS_MAX = 5  # beyond it the pace was not the one that was asked for
CORE_LOST_SHARE_MAX = 0.1  # of the time; beyond it somebody else's work is in the figures
SPREAD_MAX = 0.2  # between rounds, of the median; beyond it there is no one figure
MORE_IS_BETTER = ("deliveries_per_second", "logins_per_second", "pages_per_second")


@dataclass(frozen=True)
class Result:
    """One scene, played once by one server: figures, or the sentence why there are none."""

    scene: str
    server: str
    round: int
    figures: Figures = field(default_factory=dict)
    failure: str = ""


@dataclass(frozen=True)
class Summary:
    """All rounds of one scene by one server: the median of each figure, and what failed."""

    scene: str
    server: str
    rounds: list[Figures]
    failures: list[str]

    @functools.cached_property
    def figures(self) -> Figures:
        """The medians; empty when every round failed."""
        names = self.rounds[0] if self.rounds else {}
        return {name: median(figures[name] for figures in self.rounds) for name in names}

    @property
    def is_delivery(self) -> bool:
        """Whether messages were delivered to many, so that it has what the first table shows."""
        return "deliveries_per_second" in self.figures

    @property
    def is_steady(self) -> bool:
        """Whether the pace was given, so that the cost is what there is to compare."""
        return "latency_p50_ms" in self.figures

    @property
    def decisive(self) -> str:
        """The figure to compare servers by, where messages are delivered."""
        return "cpu_us_per_delivery" if self.is_steady else "deliveries_per_second"

    @property
    def missed(self) -> list[str]:
        """A sentence for each bar of Greenroom's that it misses; the peers have none.

        When every round failed, that is said instead.
        """
        has_bars = self.server == GREENROOM and self.rounds
        return [*missed(self.scene, self.figures)] if has_bars else []

    def ratio(self, other: "Summary") -> float:
        """Return the decisive figure over the other's."""
        return self.figures[self.decisive] / other.figures[self.decisive]

    def spread(self) -> float:
        """Return how far the rounds lie apart in the decisive figure, in parts of the median."""
        values = [figures[self.decisive] for figures in self.rounds]
        return (max(values) - min(values)) / median(values)


@dataclass(frozen=True)
class Report:
    """A whole run: what `python bench` measures, and what tables and picture are made from."""

    made_at: str  # the day
    command: str
    machine: dict[str, str]
    summaries: list[Summary]
    remarks: list[str]  # on the whole run

    @property
    def servers(self) -> list[str]:
        """Who took part, in order of play."""
        return list(dict.fromkeys(summary.server for summary in self.summaries))

    def find(self, scene: str, server: str) -> Summary | None:
        """Return what a server did in a scene, if there are figures."""
        for summary in self.summaries:
            if (summary.scene, summary.server) == (scene, server) and summary.figures:
                return summary
        return None

    def best_peer(self, scene: str) -> Summary | None:
        """Return the peer that did best in the scene: the relay is a ceiling, and none."""
        peers = [
            summary
            for summary in self.summaries
            if summary.scene == scene
            and summary.server not in (GREENROOM, RELAY)
            and summary.is_delivery
        ]
        if not peers:
            return None
        choose = min if peers[0].is_steady else max
        return choose(peers, key=lambda peer: peer.ratio(peers[0]))

    def notes(self) -> Iterator[str]:
        """Yield what one must know before one quotes a figure."""
        yield from self.remarks
        for summary in self.summaries:
            if notes := "; ".join(_notes(summary)):
                yield f"{summary.scene}, {summary.server}: {notes}"

    def save(self, path: Path) -> None:
        """Write everything, in JSON: medians and all rounds."""
        scenes = [asdict(each) | {"medians": each.figures} for each in self.summaries]
        everything = asdict(self) | {"summaries": scenes}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(everything, indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> "Report":
        """Read what `save` wrote. Raises OSError, ValueError, KeyError."""
        everything = json.loads(path.read_text())
        summaries = [
            Summary(each["scene"], each["server"], each["rounds"], each["failures"])
            for each in everything.pop("summaries")
        ]
        return cls(summaries=summaries, **everything)


def summarise(results: Iterable[Result]) -> list[Summary]:
    """Return a summary for each scene and server: scenes in order of play, and servers in them."""
    groups: dict[str, dict[str, list[Result]]] = {}
    for result in results:
        groups.setdefault(result.scene, {}).setdefault(result.server, []).append(result)
    return [_summary(played) for servers in groups.values() for played in servers.values()]


def _summary(played: list[Result]) -> Summary:
    return Summary(
        played[0].scene,
        played[0].server,
        [result.figures for result in played if not result.failure],
        [result.failure for result in played if result.failure],
    )


def _notes(summary: Summary) -> Iterator[str]:
    figures = summary.figures
    yield from (f"a round failed: {failure}" for failure in summary.failures)
    yield from summary.missed
    if (share := figures.get("generator_share", 0)) > GENERATOR_SHARE_MAX:
        yield f"the generator was busy {share:.0%} of the time: the server may be faster"
    for core in ("server", "generator"):
        if (lost := figures.get(f"{core}_core_lost_share", 0)) > CORE_LOST_SHARE_MAX:
            yield f"others had the {core}'s core {lost:.0%} of the time"
    if figures.get("send_lateness_p99_ms", 0) > SEND_LATENESS_MS_MAX:
        yield "the generator sent late, its pace was not even"
    if summary.is_delivery and summary.spread() > SPREAD_MAX:
        yield f"the rounds lie {summary.spread():.0%} of the median apart"
