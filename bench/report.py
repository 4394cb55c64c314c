"""What came out: medians over the rounds, the tables for people, the notes that qualify them."""

import functools
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from statistics import median

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from loads import Figures
from peers import GREENROOM, RELAY

HEADINGS = (
    "deliv-\neries/s",
    "CPU us\neach",
    "p50\nms",
    "p99\nms",
    "RSS\nMiB",
    "peak\nMiB",
    "server\nbusy",
    "gener.\nbusy",
    "to best\npeer",
)
CAPTION = "to best peer: deliveries/s in a burst (more is better), else CPU each (less is)"
GENERATOR_SHARE_MAX = 0.8  # beyond it the generator may be what was measured
SEND_LATENESS_MS_MAX = 5  # beyond it the pace was not the one that was asked for
CORE_LOST_SHARE_MAX = 0.1  # of the time; beyond it somebody else's work is in the figures
SPREAD_MAX = 0.2  # between rounds, of the median; beyond it there is no one figure
BYTES_PER_MIB = 1 << 20
BIG = 100  # figures from here on are shown without decimals


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
    def is_comparable(self) -> bool:
        """Whether it is of a scene that every server plays."""
        return "deliveries_per_second" in self.figures

    @property
    def is_steady(self) -> bool:
        """Whether the pace was given, so that the cost is what there is to compare."""
        return "latency_p50_ms" in self.figures

    @property
    def decisive(self) -> str:
        """The figure to compare servers by."""
        return "cpu_us_per_delivery" if self.is_steady else "deliveries_per_second"

    def ratio(self, other: "Summary") -> float:
        """Return the decisive figure over the other's."""
        return self.figures[self.decisive] / other.figures[self.decisive]

    def spread(self) -> float:
        """Return how far the rounds lie apart in the decisive figure, in parts of the median."""
        values = [figures[self.decisive] for figures in self.rounds]
        return (max(values) - min(values)) / median(values)


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


def best_peer(summaries: Iterable[Summary], scene: str) -> Summary | None:
    """Return the peer that did best in the scene. The relay is a ceiling, and not among them."""
    peers = [
        summary
        for summary in summaries
        if summary.scene == scene
        and summary.is_comparable
        and summary.server not in (GREENROOM, RELAY)
    ]
    if not peers:
        return None
    choose = min if peers[0].is_steady else max
    return choose(peers, key=lambda peer: peer.ratio(peers[0]))


def show(
    console: Console, summaries: list[Summary], machine: dict[str, str], remarks: Iterable[str]
) -> None:
    """Print the machine, the tables, and what to know before one quotes them."""
    for name, value in machine.items():
        console.print(f"{name:>10}  {value}", markup=False, highlight=False, soft_wrap=True)
    if shared := [summary for summary in summaries if summary.is_comparable]:
        console.print(_shared_table(shared))
    alone = [summary for summary in summaries if summary.figures and not summary.is_comparable]
    if alone:
        console.print(_house_table(alone))
    for note in (*remarks, *_notes(summaries)):
        console.print(f"- {note}", markup=False, highlight=False, soft_wrap=True)


def _shared_table(summaries: list[Summary]) -> Table:
    table = Table("scene", "server", box=SIMPLE, padding=0, caption=CAPTION)
    for heading in HEADINGS:
        table.add_column(heading, justify="right", no_wrap=True)
    previous = summaries[0].scene
    for summary in summaries:
        if summary.scene != previous:
            table.add_section()
        previous = summary.scene
        table.add_row(*_cells(summary, best_peer(summaries, summary.scene)))
    return table


def _cells(summary: Summary, best: Summary | None) -> Iterator[str]:
    """Yield what stands under `scene`, `server` and the HEADINGS."""
    figures = summary.figures
    yield summary.scene
    yield summary.server
    yield _short(figures["deliveries_per_second"])
    yield f"{figures['cpu_us_per_delivery']:.2f}"
    yield f"{figures['latency_p50_ms']:.2f}" if summary.is_steady else ""
    yield f"{figures['latency_p99_ms']:.2f}" if summary.is_steady else ""
    yield f"{figures['rss_bytes'] / BYTES_PER_MIB:.0f}"
    yield f"{figures['rss_peak_bytes'] / BYTES_PER_MIB:.0f}"
    yield f"{figures['server_share']:.0%}"
    yield f"{figures['generator_share']:.0%}"
    yield f"{summary.ratio(best):.2f}" if best else ""


def _short(number: float) -> str:
    """Write 83,156,268 as 83.16 M, and 20,001 as 20.0 k."""
    return f"{number / 1e6:.2f} M" if number >= 1e6 else f"{number / 1e3:.1f} k"


def _house_table(summaries: list[Summary]) -> Table:
    table = Table("scene", "figure", box=SIMPLE)
    table.add_column(GREENROOM, justify="right")
    for summary in summaries:
        for name, value in summary.figures.items():
            digits = 0 if value >= BIG else 2
            table.add_row(summary.scene, name.replace("_", " "), f"{value:,.{digits}f}")
        table.add_section()
    return table


def _notes(summaries: list[Summary]) -> Iterator[str]:
    for summary in summaries:
        who = f"{summary.scene}, {summary.server}"
        for failure in summary.failures:
            yield f"{who}: a round failed: {failure}"
        if (share := summary.figures.get("generator_share", 0)) > GENERATOR_SHARE_MAX:
            yield f"{who}: the generator was busy {share:.0%} of the time: the server may be faster"
        for core in ("server", "generator"):
            lost = summary.figures.get(f"{core}_core_lost_share", 0)
            if lost > CORE_LOST_SHARE_MAX:
                yield f"{who}: others had the {core}'s core {lost:.0%} of the time"
        if summary.figures.get("send_lateness_p99_ms", 0) > SEND_LATENESS_MS_MAX:
            yield f"{who}: the generator sent late, its pace was not even"
        if summary.is_comparable and summary.spread() > SPREAD_MAX:
            yield f"{who}: the rounds lie {summary.spread():.0%} of the median apart"


def as_json(summaries: list[Summary]) -> list[dict[str, object]]:
    """Return medians and all rounds in values that json can write."""
    return [asdict(summary) | {"medians": summary.figures} for summary in summaries]
