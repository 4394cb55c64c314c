"""manage.py kick, ban, unban, mute, unmute and bans: in a room, or on the whole server."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import click

from app.cli.asking import operator
from app.cli.tables import print_table

_ROOM = click.option("--room", help="Only in this room; without it, on the whole server.")
_TARGET = click.argument("target")
_REASON = click.argument("reason", nargs=-1)
_SPAN_AND_REASON = click.argument("words", nargs=-1, metavar="[30m|2h|7d] [REASON]...")


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
@click.option("--json", "is_json", is_flag=True, help="As the answer of the NDJSON wire has it.")
def bans(room: str | None, is_json: bool) -> None:
    """Show who is banned or muted, until when, by whom and why."""
    with operator() as ask:
        answer = ask("server.bans") if room is None else ask("bans", room=room)
    if is_json:
        click.echo(json.dumps({kind: answer[kind] for kind in ("bans", "mutes")}))
        return
    rows = [*_rows("banned", answer["bans"]), *_rows("muted", answer["mutes"])]
    print_table(("who", "is", "until (UTC)", "by", "why"), rows)


def _rows(what: str, sanctions: Iterable[dict[str, Any]]) -> Iterable[tuple[str, ...]]:
    for each in sanctions:
        who = each["user"] or each["network"]
        until = each["until"][:16].replace("T", " ") if each["until"] else "for good"
        yield who, what, until, each["by"], each["reason"]


def _act(op: str, done: str, target: str, room: str | None, **fields: object) -> None:
    """Ask for an act, in a room or on the whole server, and say what was done."""
    with operator() as ask:
        if room is None:
            click.echo(ask(f"server.{op}", target=target, **fields)["sentence"])
        else:
            ask(op, user=target, room=room, **fields)
            click.echo(f"{target} was {done} {room}.")


def _span_and_reason(words: Sequence[str]) -> dict[str, object]:
    """Read `2h spam`, as in the chat. Raises click's error, of one line."""
    from app.times import parse_span

    try:
        seconds = parse_span(words[0]) if words else None
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    if seconds is None:
        return {"reason": " ".join(words)}
    return {"seconds": seconds, "reason": " ".join(words[1:])}
