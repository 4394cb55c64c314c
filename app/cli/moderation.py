"""manage.py kick, ban, unban, mute, unmute and bans.

They are for a room, or for the whole server.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any

import click

from app.bounds import PAGE_ITEMS_MAX
from app.cli.asking import answers, do, operator
from app.cli.tables import Columns, json_option, minute_of, print_rows

_ROOM = click.option("--room", help="Only in this room; without it, on the whole server.")
_TARGET = click.argument("target")
_REASON = click.argument("reason", nargs=-1)
_SPAN_AND_REASON = click.argument("words", nargs=-1, metavar="[30m|2h|7d] [REASON]...")

_DONE = {"ban": "banned", "mute": "muted"}
_COLUMNS: Columns = {
    "who": lambda row: row["user"] or row["network"],
    "is": lambda row: _DONE[row["kind"]],
    "until (UTC)": lambda row: minute_of(row["until"]) if row["until"] else "for good",
    "by": lambda row: row["by"],
    "why": lambda row: row["reason"],
}


@click.command(epilog="Example: manage.py kick bob enough for today")
@_TARGET
@_REASON
@_ROOM
def kick(target: str, reason: Sequence[str], room: str | None) -> None:
    """End all sessions of a user, or from an address or prefix. They may come back."""
    _act("kick", "kicked from", target, room, reason=" ".join(reason))


@click.command(epilog="Example: manage.py ban 2001:db8::1 7d spam")
@_TARGET
@_SPAN_AND_REASON
@_ROOM
def ban(target: str, words: Sequence[str], room: str | None) -> None:
    """Send a user away, or all from an address or prefix, and keep them out.

    One IPv6 address stands for its /64. A user whose name could be an address has an @ before it.
    """
    _act("ban", "banned from", target, room, **_span_and_reason(words))


@click.command(epilog="Example: manage.py unban 203.0.113.0/24")
@_TARGET
@_ROOM
def unban(target: str, room: str | None) -> None:
    """Let a user, or all from an address or prefix, in again."""
    _act("unban", "unbanned from", target, room)


@click.command(epilog="Example: manage.py mute bob 30m caps --room lobby")
@_TARGET
@_SPAN_AND_REASON
@_ROOM
def mute(target: str, words: Sequence[str], room: str | None) -> None:
    """Let a user, or all from an address or prefix, listen but not speak."""
    _act("mute", "muted in", target, room, **_span_and_reason(words))


@click.command(epilog="Example: manage.py unmute bob --room lobby")
@_TARGET
@_ROOM
def unmute(target: str, room: str | None) -> None:
    """Let a user, or all from an address or prefix, speak again."""
    _act("unmute", "unmuted in", target, room)


@click.command(epilog="Example: manage.py bans --room lobby")
@_ROOM
@json_option
def bans(room: str | None, as_json: bool) -> None:
    """Show who is banned or muted, until when, by whom and why."""
    with operator() as ask:
        op, where = ("server.bans", {}) if room is None else ("bans", {"room": room})
        found = list(answers(ask, op, itemgetter("last"), count=PAGE_ITEMS_MAX, **where))
    rows = ({"kind": kind, **each} for kind in _DONE for page in found for each in page[f"{kind}s"])
    print_rows(rows, _COLUMNS, as_json=as_json)


def _act(op: str, done: str, target: str, room: str | None, **fields: Any) -> None:
    """Ask for an act, and print what was done.

    It is in a room, or on the server. Raises click's error.
    """
    from app.values.times import how_long

    if room is None:
        do(f"server.{op}", target=target, **fields)
        return
    with operator() as ask:
        ask(op, user=target, room=room, **fields)
    ending = f" {how_long(fields['seconds'])}" if "seconds" in fields else ""
    click.echo(f"{target} was {done} {room}{ending}.")


def _span_and_reason(words: Sequence[str]) -> dict[str, Any]:
    """Read `2h spam`, as in the chat. Raises click's error, of one line."""
    from app.values.times import parse_span

    if words and not words[0].strip():  # most likely from a variable that is not set
        raise click.ClickException("the time is empty; leave it out, and it is for good")
    try:
        seconds = parse_span(words[0]) if words else None
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    return {"seconds": seconds, "reason": " ".join(words if seconds is None else words[1:])}
