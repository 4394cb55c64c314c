"""manage.py status and top: how the running server is, what is wrong first."""

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

Answer = dict[str, Any]  # of the op `status`: see app/figures.py

_REFRESH_SECONDS = 1.0
_HISTORY = 60  # rates that `top` draws
_GRAVE = {"not_stored", "slow_disk", "disk_nearly_full", "hub_stall"}  # everybody suffers from it
_BARS = " ▁▂▃▄▅▆▇█"


@click.command(epilog="Example: manage.py status --json | jq '.concerns[].name'")
@json_option
def status(as_json: bool) -> None:
    """Show how the running server is, and what is wrong with it first.

    Rates and delays are of the last minute.
    """
    with running() as ask:
        answer = ask("status")
    if as_json:
        figures = {name: value for name, value in answer.items() if name not in ("id", "ok")}
        click.echo(json.dumps(figures))
    elif sys.stdout.isatty():
        from rich.console import Console

        Console().print(_page(answer))
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
            live.update(_page(answer, rates), refresh=True)
            if is_quit_typed(_REFRESH_SECONDS):
                return


@contextmanager
def _keys() -> Iterator[Any]:
    """Read keys as they are typed; yield what waits so many seconds, and says if q was."""
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
    """Return what is shown, as name and value."""
    from app.sizes import format_size as size
    from app.times import format_seconds as seconds
    from app.times import format_uptime

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


def _page(answer: Answer, rates: Sequence[float] = ()) -> RenderableType:
    """Return what people at a terminal see."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    concerns = [
        Text(f"! {each['sentence']}", style="bold red" if each["name"] in _GRAVE else "yellow")
        for each in answer["concerns"]
    ]
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    if rates:  # above the rest: of a small screen, the end is cut off
        table.add_row("deliveries/s", Text(_drawn(rates), style="green"))
    for name, value in _rows(answer):
        table.add_row(name, Text(value))
    return Group(*(concerns or [Text("All is well.", style="green")]), Text(), table)


def _drawn(rates: Sequence[float]) -> str:
    """Return a line of bars, the highest for the highest rate."""
    most = max(*rates, 1.0)
    return "".join(_BARS[round(rate / most * (len(_BARS) - 1))] for rate in rates)
