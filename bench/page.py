"""Writes what a run says into the docs: the block of docs/performance.md, the picture, the JSON."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import picture
from peers import GREENROOM, RELAY
from process import REPOSITORY
from quantities import label, quantity
from report import other_figures
from results import Report, Summary

DOCS = REPOSITORY / "docs"
BEGIN = "<!-- begin: written by `make bench ARGS=--publish`, not by hand -->"
END = "<!-- end -->"
HEADINGS = "scene", "server", "deliveries/s", "CPU us each", "p50 ms", "p99 ms", "peak", "to best"
TITLES = {"greenroom": "**Greenroom**", "redis": "Redis", "nats": "NATS", "ngircd": "ngIRCd"}


def publish(report: Report, docs: Path = DOCS) -> None:
    """Write performance.json and performance.svg, and the block of performance.md anew.

    Raises OSError, and ValueError when the page has no such block.
    """
    report.save(docs / "performance.json")
    (docs / "performance.svg").write_text(picture.draw(report))
    page = docs / "performance.md"
    page.write_text(with_block(page.read_text(), "\n".join(block(report))))


def with_block(text: str, content: str) -> str:
    """Return the page with other content between BEGIN and END. Raises ValueError."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"there is no block from {BEGIN} to {END}")
    return f"{before}{BEGIN}\n{content}\n{END}{after}"


def block(report: Report) -> Iterator[str]:
    """Yield the lines of the block: picture, machine, command, the tables, and what to know."""
    report = replace(report, summaries=[each for each in report.summaries if each.server != RELAY])
    yield "![Greenroom next to its peers: a bar a server for each scene](performance.svg)"
    yield ""
    yield f"`{report.command}`, on {report.made_at}."
    yield "Every round of it is in [performance.json](performance.json)."
    yield ""
    yield from (f"- {name}: {value}" for name, value in report.machine.items())
    yield ""
    yield from _deliveries(report)
    yield ""
    yield from _others(report)
    yield ""
    yield from (f"- {note}" for note in report.notes())


def _deliveries(report: Report) -> Iterator[str]:
    yield _row(HEADINGS)
    yield _row(["---"] * len(HEADINGS))
    for summary in report.summaries:
        if summary.is_delivery:
            yield _row(_cells(summary, report))


def _cells(summary: Summary, report: Report) -> Iterator[str]:
    figures, best = summary.figures, report.best_peer(summary.scene)
    yield summary.scene
    yield TITLES.get(summary.server, summary.server)
    yield quantity("deliveries_per_second", figures["deliveries_per_second"])
    yield f"{figures['cpu_us_per_delivery']:.2f}"
    yield f"{figures['latency_p50_ms']:.2f}" if summary.is_steady else ""
    yield f"{figures['latency_p99_ms']:.2f}" if summary.is_steady else ""
    yield quantity("rss_bytes", figures["rss_peak_bytes"])
    ratio = f"{summary.ratio(best):.2f}" if best else ""
    yield f"**{ratio}**" if ratio and summary.server == GREENROOM else ratio


def _others(report: Report) -> Iterator[str]:
    yield _row(["scene", "figure", *(TITLES.get(each, each) for each in report.servers)])
    yield _row(["---"] * (len(report.servers) + 2))
    for scene, name, values in other_figures(report):
        cells = ("" if value is None else quantity(name, value) for value in values)
        yield _row([scene, label(name), *cells])


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
