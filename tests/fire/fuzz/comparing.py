"""What the machine compares: what is shown, without what only the server can know."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import fields, is_dataclass, replace

from app.protocol import accounts, devices, files, moderation, removal, rooms, server, talk
from app.protocol.command import Command
from app.protocol.event import Done, Ended, Event
from tests.fire.fuzz import asking
from tests.fire.fuzz.state import Seat
from tests.kit.program import check, check_sent


def plain(shown: Iterable[Event]) -> list[object]:
    """Return events as they can be compared: without sentences, tokens, and order that is none."""
    found = [_event(each) for each in shown]
    place = 0
    while place < len(found):  # who is sent away together is gone in any order
        end = place
        while end < len(found) and isinstance(found[end], rooms.Disconnected):
            end += 1
        found[place:end] = sorted(found[place:end], key=repr)
        place = max(end, place + 1)
    return found


def _event(event: Event) -> object:
    match event:
        case server.Refused() | Ended():
            return ("refused", event.code)
        case Done():
            return "done"
        case server.StatusShown():
            return "status"
        case accounts.LoggedIn():
            return ("logged in", event.user, bool(event.token))
        case talk.Stored():
            return ("stored", event.message_id)
        case files.UploadOffered() | files.DownloadOffered():
            return replace(event, url="")
        case moderation.SanctionsListed() | moderation.ServerSanctionsListed():
            bans, mutes = (sorted(each, key=repr) for each in (event.bans, event.mutes))
            return replace(event, bans=bans, mutes=mutes)
    listed = {
        each.name: list(value)
        for each in fields(event)
        if isinstance(value := getattr(event, each.name), Sequence)
        and not isinstance(value, str)
        and not isinstance(value, bytes)
    }
    return replace(event, **listed) if is_dataclass(event) and listed else event


def by_room(shown: list[object]) -> dict[str, list[object]]:
    """Return what is shown room by room: between rooms there is no order, in a burst."""
    found: defaultdict[str, list[object]] = defaultdict(list)
    for each in shown:
        found[getattr(each, "room", "")].append(each)
    return dict(found)


_RAW = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\u2028\u2029]"
)


def check_bytes(seat: Seat, sent: bytes, asked: Command | None) -> None:
    """Check that bytes are lines that can be shown to anybody, or are as the schema says.

    What devices encrypted is nowhere among what people read.
    """
    if seat.wire == "ndjson":
        assert sent.endswith(b"\n") or not sent
        answers = 0
        for line in sent.splitlines():
            told = json.loads(line)
            is_answer = asked is not None and "event" not in told
            if asked is not None and is_answer and told["ok"]:
                check(f"answer_{asked.op}", told)
            else:
                check_sent(told, None)
            answers += is_answer
        assert asked is None or answers <= 1
        return
    text = re.sub(rb"\xff[\xfb\xfc]\x01", b"", sent).decode()
    assert asking.SECRET not in text, text
    assert not _RAW.search(text.replace("\r\n", "")), text


def is_out_of_bounds(command: Command) -> bool:
    """Whether a program may be told that a field is not what it can be, or all of it too long."""
    return isinstance(command, removal.Purge | files.Send | devices.KeysPut)
