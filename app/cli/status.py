"""manage.py status and top: the running server's figures and concerns."""

from __future__ import annotations

import json
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from app.cli.asking import running
from app.cli.tables import json_option

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

Answer = dict[str, Any]  # to the op `status`: see app/protocol/figures.py

_REFRESH_SECONDS = 1.0
_HISTORY = 60  # rates that `top` draws
_GRAVE = {"not_stored", "slow_disk", "disk_nearly_full", "hub_stall"}  # all users suffer from these
_BARS = " ▁▂▃▄▅▆▇█"


@click.command(epilog="Example: manage.py status --json | jq '.concerns[].name'")
@json_option
@click.option(
    "--check", "is_check", is_flag=True, help="Say ok, or what /healthz says, and exit with 1."
)
def status(as_json: bool, is_check: bool) -> None:
    """Show how the running server is, and what is wrong with it.

    Rates and delays are of the last minute. At a terminal, what is wrong comes last, where it is
    seen; for programs it comes first.
    """
    with running() as ask:
        answer = ask("status")
    if is_check:
        _check(answer)
    elif as_json:
        figures = {name: value for name, value in answer.items() if name not in ("id", "ok")}
        click.echo(json.dumps(figures))
    elif sys.stdout.isatty():
        from rich.console import Console

        console = Console()
        console.print(_figures(answer, console.width), _verdict(answer), sep="\n")
    else:
        for concern in answer["concerns"]:
            click.echo(f"concern\t{concern['name']}\t{concern['sentence']}")
        for row in _rows(answer):
            click.echo("\t".join(row))


@click.command(epilog="Example: manage.py top")
def top() -> None:
    """Watch the running server; q ends it."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.ClickException("top needs a terminal; without one: manage.py status --json")
    from rich.console import Console
    from rich.live import Live

    rates: deque[float] = deque(maxlen=_HISTORY)
    with running() as ask, _keys() as is_quit_typed, Live(console=Console(), screen=True) as live:
        while True:
            answer = ask("status")
            rates.append(answer["minute"]["deliveries_per_second_recent"])
            live.update(_page(answer, rates, live.console.size), refresh=True)
            if is_quit_typed(_REFRESH_SECONDS):
                return


def _check(answer: Answer) -> None:
    """Print ok if the server is well. Raises click's error if it is not."""
    if answer["illness"]:
        raise click.ClickException(answer["illness"])
    click.echo("ok")


@contextmanager
def _keys() -> Iterator[Any]:
    """Read keys as they are typed.

    Yields a function that waits so many seconds, and returns whether q was typed.
    """
    import select
    import termios
    import tty

    before = termios.tcgetattr(sys.stdin)

    def is_quit_typed(seconds: float) -> bool:
        ready, _, _ = select.select([sys.stdin], [], [], seconds)
        return bool(ready) and sys.stdin.read(1) in ("q", "Q", "")

    try:
        tty.setcbreak(sys.stdin)
        yield is_quit_typed
    except KeyboardInterrupt:
        pass
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _rows(answer: Answer) -> Sequence[tuple[str, str]]:
    """Return the figures to show, as names and values."""
    from app.values.sizes import format_size as size
    from app.values.times import format_seconds as seconds
    from app.values.times import format_uptime

    now, minute = answer["now"], answer["minute"]
    refusals = ", ".join(f"{code} {count}" for code, count in minute["refusals"].items())
    return (
        ("version", answer["version"]),
        ("up for", format_uptime(answer["uptime_seconds"])),
        ("storing", "yes" if answer["is_storing"] else "NO"),
        ("sessions", f"{now['sessions']:,} of {now['users']:,} users"),
        ("live rooms", f"{now['live_rooms']:,}"),
        ("messages", _rates(minute, "messages_per_second")),
        ("deliveries", _rates(minute, "deliveries_per_second")),
        ("delivery, p99", seconds(minute["delivery_p99_seconds"])),
        (
            "commit, p50 and p99",
            f"{seconds(minute['commit_p50_seconds'])}, {seconds(minute['commit_p99_seconds'])}",
        ),
        ("commit, most", seconds(minute["commit_max_seconds"])),
        ("commit under way", seconds(now["commit_under_way_seconds"])),
        ("hub delay, most", seconds(minute["hub_delay_max_seconds"])),
        ("journal", f"{now['journal_entries']:,} lines, {size(now['journal_bytes'])}"),
        ("not stored", f"{minute['messages_not_stored']:,}"),
        ("unread", size(now["outbox_bytes"])),
        *(_unread(each, size) for each in now["outboxes"]),
        ("readers cut", f"{minute['readers_cut']:,}"),
        ("logins", f"{minute['logins_per_second']:g}/s, {minute['failed_logins']:,} failed"),
        ("passwords waiting", f"{now['passwords_waiting']:,}"),
        ("newcomers refused", f"{minute['newcomers_refused']:,}"),
        ("refusals", refusals or "none"),
        ("database", f"{size(now['database_bytes'])}, its log {size(now['wal_bytes'])}"),
        ("disk free", size(now["disk_free_bytes"])),
        ("memory", size(now["resident_bytes"])),
        ("open files", f"{now['open_files']:,} of {now['open_files_max']:,}"),
    )


def _unread(outbox: Answer, size: Callable[[float], str]) -> tuple[str, str]:
    who = f"{outbox['user']}, {outbox['address']}" if outbox["user"] else outbox["address"]
    return "  by the slowest", f"{size(outbox['unread_bytes'])}: {who}"


def _rates(minute: Answer, name: str) -> str:
    return f"{minute[name]:,g}/s (last 10 s: {minute[f'{name}_recent']:,g}/s)"


def _page(answer: Answer, rates: Sequence[float], size: tuple[int, int]) -> RenderableType:
    """Return the screen of `top`. Where there is little space, the concerns are cut."""
    from rich.console import Group
    from rich.text import Text

    width, height = size
    drawn = Text(f"deliveries/s {_drawn(rates)}", style="green")
    figures = _figures(answer, width)
    lines_left = height - len(figures.plain.splitlines()) - 2
    verdict = _verdict(answer)
    if sum(-(-len(line) // width) for line in verdict.plain.splitlines()) > lines_left:
        verdict = _verdict(answer, lines_max=max(1, lines_left), width=width)
    return Group(verdict, drawn, figures)


def _verdict(answer: Answer, lines_max: int = 0, width: int = 0) -> Text:
    """Return the concerns: whole, or the beginnings of so many."""
    from rich.text import Text

    concerns = answer["concerns"]
    if not concerns:
        return Text("All is well.", style="green")
    verdict = Text()
    for each in concerns[: lines_max or None]:
        line = f"! {each['sentence']}"
        if width and len(line) > width:
            line = f"{line[: width - 3]}..."
        style = "bold red" if each["name"] in _GRAVE else "yellow"
        verdict.append(line if not verdict else f"\n{line}", style=style)
    return verdict


def _figures(answer: Answer, width: int) -> Text:
    """Return the figures, two in a line where they fit."""
    from rich.text import Text

    half = width // 2 - 1
    cells = [f"{name}: {value}" for name, value in _rows(answer)]
    lines: list[str] = []
    left = ""
    for cell in cells:
        if left and len(cell) <= half:
            lines.append(f"{left:<{half}}  {cell}")
            left = ""
        elif not left and len(cell) <= half:
            left = cell
        else:
            lines.append(cell)
    if left:
        lines.append(left)
    return Text("\n".join(lines))


def _drawn(rates: Sequence[float]) -> str:
    """Return a line of bars, scaled to the highest rate."""
    most = max(*rates, 1.0)
    return "".join(_BARS[round(rate / most * (len(_BARS) - 1))] for rate in rates)
