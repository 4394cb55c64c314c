"""Draws a report as one picture: for each scene a bar a server, with its figure beside it.

It is SVG, written here: bars that have their figures beside them need no axes, ticks or legend,
which is what a library is for, and the ones there are would bring some ten packages into what
`make bench` installs. The same report makes the same bytes, so the picture can be compared, and it
follows the reader's light or dark page.
"""

from collections.abc import Iterator
from typing import NamedTuple
from xml.sax.saxutils import escape

from peers import GREENROOM, RELAY
from quantities import quantity
from results import MORE_IS_BETTER, Report


class Panel(NamedTuple):
    """One figure of one scene, of all servers that have it."""

    scene: str
    figure: str
    title: str


PANELS = (
    Panel("burst200", "deliveries_per_second", "Burst into a room of 200: deliveries"),
    Panel("burst1000", "deliveries_per_second", "Burst into a room of 1,000: deliveries"),
    Panel("rooms", "cpu_us_per_delivery", "Many small rooms, steady: CPU a delivery"),
    Panel("rooms", "latency_p99_ms", "Many small rooms, steady: p99 latency"),
    Panel("large", "cpu_us_per_delivery", "One large room, steady: CPU a delivery"),
    Panel("large", "latency_p99_ms", "One large room, steady: p99 latency"),
    Panel("tls", "cpu_us_per_delivery", "The same over TLS: CPU a delivery"),
    Panel("tls", "latency_p99_ms", "The same over TLS: p99 latency"),
    Panel("slow", "latency_p99_ratio", "One reader stopped: p99 of the others, to before"),
    Panel("idle", "rss_per_session_bytes", "Idle sessions: memory of each"),
)
COLUMNS = 2
WIDTH, MARGIN, ROW_HEIGHT, TITLE_HEIGHT, GAP = 960, 16, 20, 44, 20
NAME_WIDTH, FIGURE_WIDTH, BAR_HEIGHT = 76, 84, 14
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.title { font-weight: 600 }
.small { font-size: 11px; fill: #59636e }
.peer { fill: #8c959f }
.ours { fill: #0969da }
.figure { font-variant-numeric: tabular-nums }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc }
  .small { fill: #9198a1 }
  .peer { fill: #656c76 }
  .ours { fill: #4493f8 }
}
"""


def draw(report: Report) -> str:
    """Return the picture: all panels that the report has figures for."""
    servers = [server for server in report.servers if server != RELAY]
    drawn = [(panel, values) for panel in PANELS if (values := _values(report, panel, servers))]
    panel_width = (WIDTH - MARGIN * (COLUMNS + 1)) // COLUMNS
    panel_height = TITLE_HEIGHT + ROW_HEIGHT * len(servers) + GAP
    height = MARGIN + panel_height * -(-len(drawn) // COLUMNS) + GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>{escape(_described(report))}</title>",
        f"<style>{STYLE}</style>",
    ]
    for number, (panel, values) in enumerate(drawn):
        row, column = divmod(number, COLUMNS)
        x, y = MARGIN + column * (panel_width + MARGIN), MARGIN + row * panel_height
        parts += [
            f'<g transform="translate({x} {y})">',
            *_panel(panel, values, panel_width),
            "</g>",
        ]
    parts.append(_text(MARGIN, height - 10, _described(report), "small"))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _values(report: Report, panel: Panel, servers: list[str]) -> dict[str, float]:
    """Return what each server that has it has."""
    found = {server: report.find(panel.scene, server) for server in servers}
    return {
        server: summary.figures[panel.figure]
        for server, summary in found.items()
        if summary and panel.figure in summary.figures
    }


def _panel(panel: Panel, values: dict[str, float], width: int) -> Iterator[str]:
    """Yield a title and the bars, the longest as long as there is room."""
    room, most = width - NAME_WIDTH - FIGURE_WIDTH, max(values.values())
    better = "more is better" if panel.figure in MORE_IS_BETTER else "less is better"
    yield _text(0, 13, panel.title, "title")
    yield _text(0, 29, better, "small")
    for number, (server, value) in enumerate(values.items()):
        y = TITLE_HEIGHT + number * ROW_HEIGHT
        length = round(room * value / most, 1) if most else 0
        kind = "ours" if server == GREENROOM else "peer"
        yield _text(0, y + 11, server)
        place = f'x="{NAME_WIDTH}" y="{y}" width="{length}" height="{BAR_HEIGHT}"'
        yield f'<rect class="{kind}" {place} rx="2"/>'
        yield _text(NAME_WIDTH + length + 6, y + 11, quantity(panel.figure, value), "figure")


def _text(x: float, y: float, text: str, kind: str = "") -> str:
    return f'<text x="{x}" y="{y}" class="{kind}">{escape(text)}</text>'


def _described(report: Report) -> str:
    """Say in a line what is drawn."""
    return f"{report.command}, {report.made_at}: {report.machine.get('cpu', '')}"
