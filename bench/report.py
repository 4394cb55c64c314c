"""The tables for people at a terminal."""

from collections.abc import Iterator

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from quantities import label, quantity
from results import Report, Summary

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
BYTES_PER_MIB = 1 << 20
# What the first table has, and what only qualifies others: the second table leaves both out.
SHOWN_FIRST = {
    "deliveries_per_second",
    "cpu_us_per_delivery",
    "rss_bytes",
    "rss_peak_bytes",
    "latency_p50_ms",
    "latency_p99_ms",
}
DIAGNOSTIC = ("server_share", "generator_share", "core_lost_share", "send_lateness_p99_ms")


def show(console: Console, report: Report) -> None:
    """Print the machine, the tables, and what to know before one quotes them."""
    for name, value in report.machine.items():
        console.print(f"{name:>10}  {value}", markup=False, highlight=False, soft_wrap=True)
    if deliveries := [summary for summary in report.summaries if summary.is_delivery]:
        console.print(_deliveries(deliveries, report))
    if rows := [*other_figures(report)]:
        console.print(_others(rows, report.servers))
    for note in report.notes():
        console.print(f"- {note}", markup=False, highlight=False, soft_wrap=True)


def other_figures(report: Report) -> Iterator[tuple[str, str, list[float | None]]]:
    """Yield scene, figure and each server's value of what the table of deliveries leaves out."""
    for scene in dict.fromkeys(summary.scene for summary in report.summaries):
        played = [report.find(scene, server) for server in report.servers]
        names = dict.fromkeys(name for each in played if each for name in each.figures)
        is_delivery = any(each and each.is_delivery for each in played)
        for name in names:
            if not name.endswith(DIAGNOSTIC) and not (is_delivery and name in SHOWN_FIRST):
                yield scene, name, [each.figures.get(name) if each else None for each in played]


def _deliveries(summaries: list[Summary], report: Report) -> Table:
    table = Table("scene", "server", box=SIMPLE, padding=0, caption=CAPTION)
    for heading in HEADINGS:
        table.add_column(heading, justify="right", no_wrap=True)
    previous = summaries[0].scene
    for summary in summaries:
        if summary.scene != previous:
            table.add_section()
        previous = summary.scene
        table.add_row(*_cells(summary, report.best_peer(summary.scene)))
    return table


def _cells(summary: Summary, best: Summary | None) -> Iterator[str]:
    """Yield what stands under `scene`, `server` and the HEADINGS."""
    figures = summary.figures
    yield summary.scene
    yield summary.server
    yield quantity("deliveries_per_second", figures["deliveries_per_second"])
    yield f"{figures['cpu_us_per_delivery']:.2f}"
    yield f"{figures['latency_p50_ms']:.2f}" if summary.is_steady else ""
    yield f"{figures['latency_p99_ms']:.2f}" if summary.is_steady else ""
    yield f"{figures['rss_bytes'] / BYTES_PER_MIB:.0f}"
    yield f"{figures['rss_peak_bytes'] / BYTES_PER_MIB:.0f}"
    yield f"{figures['server_share']:.0%}"
    yield f"{figures['generator_share']:.0%}"
    yield f"{summary.ratio(best):.2f}" if best else ""


def _others(rows: list[tuple[str, str, list[float | None]]], servers: list[str]) -> Table:
    table = Table("scene", "figure", box=SIMPLE)
    for server in servers:
        table.add_column(server, justify="right")
    previous = rows[0][0]
    for scene, name, values in rows:
        if scene != previous:
            table.add_section()
        previous = scene
        cells = ("" if value is None else quantity(name, value) for value in values)
        table.add_row(scene, label(name), *cells)
    return table
