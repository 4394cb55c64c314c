"""The terminal client's model: rooms, people, lines, unread counts.

Pure: events and answers go in, lines to show come out. It knows no terminal and no server.

Each line has a source: a person, the server, or this program. No line of one source can look like
one of another. A verdict of this program on a message stands beside it, and never in it.
"""

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from app.client.incoming import is_same_name
from app.terminal import phrases
from app.terminal.arrivals import Json, cleaned, event_of, milliseconds, page_of
from app.values.times import now
from app.wires.ndjson.events import EVENT_NAMES

LINES_MAX = 10_000  # of a room, to page through: some 5 MB

_REMOVED = "(removed)"

_SEALED = "[encrypted]"  # in place of a text that can't be read yet
_PLAINTEXT = "-"  # the mark of a plain message in an encrypted room

Kind = Literal["said", "did", "private", "fact", "answer", "error", "notice"]
Source = Literal["", "own", "server"]  # a person; this program; the server


class Verdict(NamedTuple):
    """A verdict of this program on a message.

    No server can make one. `text` is the message's text, or the sentence in its place if it
    `is_refused`. `is_sealed`: nothing is wrong, but it can't be read yet. `at` is the sender's time
    in ms, 0 if only the server says it.
    """

    text: str
    mark: str = ""
    is_action: bool = False
    is_refused: bool = False
    is_sealed: bool = False
    at: int = 0


class Line(NamedTuple):
    """A line of a room.

    A line that a person said has their name, and the message's id. `mark`: how far to believe the
    name, where something is encrypted. `at` is in ms.
    """

    at: int
    kind: Kind
    text: str
    user: str = ""
    is_mention: bool = False
    id: int = 0
    mark: str = ""
    private_id: int = 0  # the id of a private message
    source: Source = ""


@dataclass
class Room:
    """A room that the user is in. Home is the room without a name, for when there is no other."""

    name: str
    topic: str = ""
    people: set[str] = field(default_factory=set)
    lines: list[Line] = field(default_factory=list)
    is_encrypted: bool = False  # as far as is known
    has_past: bool = True  # whether there may be messages before those that are here
    unread: int = 0
    is_mentioned: bool = False
    newer: int = 0  # lines below those that are shown; at 0 new ones are shown
    cut: int = 0  # rows of the lowest line shown that are below it too

    def add(self, line: Line) -> None:
        """Put a line at the end; shown lines stay.

        They stay where they are on the screen, if they are not the newest.
        """
        self.lines.append(line)
        if self.newer or self.cut:
            self.newer += 1
        if len(self.lines) > LINES_MAX:
            del self.lines[: LINES_MAX // 10]

    def hide(self, author: str | None, first_id: int, last_id: int) -> None:
        """Hide removed messages between two ids, both included.

        They are by one author; None: by any. Lines of this program stay.
        """
        for place, line in enumerate(self.lines):
            is_said = line.id and line.source != "own"
            if is_said and first_id <= line.id <= last_id and author in (None, line.user):
                self.lines[place] = line._replace(text=_REMOVED, is_mention=False)

    @property
    def first_id(self) -> int | None:
        """The id of the oldest message here, or None."""
        return next((line.id for line in self.lines if line.id), None)


class Model:
    """All that one user sees."""

    def __init__(self, me: str, clock: Callable[[], int] = now) -> None:
        self.me = str(cleaned(me))
        self.home = Room("")
        self.rooms: list[Room] = [self.home]
        self.current = self.home
        self.is_connected = True
        self.latency_seconds: float | None = None
        self.waiting = 0  # unanswered requests
        self.progress = ""  # of a transfer
        self.known_rooms: set[str] = set()
        self._joins = 0  # unanswered joins
        # Events of rooms that are not known yet.
        self._early: deque[tuple[Json, Verdict | None]] = deque(maxlen=LINES_MAX)
        self._clock = clock
        self._my_name = re.compile(rf"(?<!\w){re.escape(self.me)}(?!\w)", re.IGNORECASE)

    # Events and answers.

    def apply(self, said: Json, verdict: Verdict | None = None) -> bool:
        """Take in an event.

        `verdict` is this program's on its message. Returns whether to ring the bell.
        """
        event = event_of(said)
        if event is None or not self._is_for_me(event):
            self._refuse(said)
            return False
        name = event["event"]
        if "room" in event and self.find(str(event["room"])) is None:
            if self._joins:
                self._early.append((event, verdict))
            return False  # or the room was just left
        if name == "message":
            return self._message(event, verdict)
        if name == "private":
            return self._private(event, verdict)
        if name in ("reconnecting", "connected"):
            self._connection(name == "connected")
        elif name == "shut_out":
            self._lose(event, [str(event.get("message"))], "server")
        elif name in ("kicked", "banned") and event.get("user") == self.me:
            self._lose(event, phrases.sent_out_lines(event), "server")
        elif name == "deleted":
            self._lose(event, phrases.event_lines(event), "server")
        else:
            self._fact(event, verdict)
        return False

    def _is_for_me(self, event: Json) -> bool:
        """Return whether an event is for the user. A conversation of two other users is not."""
        recipient = event.get("recipient") or event.get("to")
        sides = [str(event.get("user")), str(recipient)]
        return not recipient or any(is_same_name(self.me, side) for side in sides)

    def _refuse(self, said: Json) -> None:
        """Tell that an event could not be read. Only if it claims to be of a known kind."""
        if said.get("event") in EVENT_NAMES.values():
            text = "the server brought something that can't be read, and it is not shown"
            self.notice(text, str(said.get("room")), "error")

    @contextmanager
    def joining(self) -> Iterator[None]:
        """Keep events of rooms that are being joined.

        They are kept until the answers to all joins came.
        """
        self._joins += 1
        try:
            yield
        finally:
            self._joins -= 1
            if not self._joins:
                self._early.clear()

    def enter(self, answer: Json) -> Room:
        """Take in the answer to a join; show the room.

        Events that came from it before are applied.
        """
        answer = cleaned(answer)
        room = self.find(str(answer.get("room"))) or self._new_room(str(answer.get("room")))
        room.topic = str(answer.get("topic") or "")
        room.people = phrases.names_in(answer.get("users"))
        room.is_encrypted |= answer.get("e2ee") is True
        self.show(room)
        for event, verdict in self._early:
            if self.find(str(event["room"])) is room:
                self.apply(event, verdict)
        return room

    def meet(self, answer: Json) -> None:
        """Take in a room's people, or a page of them."""
        answer = cleaned(answer)
        room = self.find(str(answer.get("room")))
        if room:
            people = phrases.names_in(answer.get("people"))
            room.people = people | room.people if answer.get("has_more") is True else people

    def learn_rooms(self, answer: Json) -> None:
        """Take in a list of rooms."""
        self.known_rooms |= phrases.names_in(cleaned(answer).get("rooms"))

    def leave(self, room: Room) -> None:
        """Forget a room; show another in its place."""
        if room in self.rooms and room is not self.home:
            index = self.rooms.index(room)
            self.rooms.remove(room)
            if self.current is room:
                self.show(self.rooms[min(index, len(self.rooms) - 1)])

    def tell(
        self, texts: Iterable[str], kind: Kind = "answer", mark: str = "", source: Source = "own"
    ) -> None:
        """Show lines where the user is looking.

        They are this program's own, unless `source` says other.
        """
        for text in texts:
            self.current.add(Line(self._clock(), kind, cleaned(text), mark=mark, source=source))

    def notice(self, text: str, room: str, kind: Kind) -> None:
        """Show a line in a room. If the user is not in it, it is shown where they are looking."""
        line = Line(self._clock(), kind, cleaned(text), source="own")
        (self.find(room) or self.current).add(line)

    def reveal(self, event: Json, verdict: Verdict | None) -> bool:
        """Show a message that became readable, in its place.

        Returns whether to ring the bell. A private message that was not shown is shown now; one of
        a room will be when its history is looked at.
        """
        is_private = event.get("event") == "private"
        fresh = (self._private_line if is_private else self._line)(event, verdict)
        is_found = False
        for room in self.rooms if is_private else filter(None, [self.find(str(event.get("room")))]):
            for place, line in enumerate(room.lines):
                if is_private and line.private_id == event.get("id"):
                    room.lines[place] = fresh._replace(at=_revealed_at(line, verdict))
                elif not is_private and _is_it(line, event):
                    at = _revealed_at(line, verdict)
                    room.lines[place] = fresh._replace(at=at, user=line.user)
                else:
                    continue
                is_found = True
        if is_private and not is_found:
            return self._private(event, verdict)
        return is_found and fresh.is_mention and not event.get("is_replayed")

    def show_past(
        self, room: Room, page: Json, verdicts: Sequence[Verdict | None] | None = None
    ) -> None:
        """Put a page of history above a room's lines.

        `verdicts` are this program's, one for each message.
        """
        messages = page_of(page, room.name)
        judged = zip(messages, verdicts or [None] * len(messages), strict=True)
        past = [self._line(message, verdict) for message, verdict in judged]
        known = room.first_id
        fresh = [line for line in past if known is None or line.id < known]
        room.lines[:0] = fresh
        room.has_past = bool(fresh and page.get("has_more"))

    # The room that the user looks at.

    def find(self, name: str) -> Room | None:
        """Return a room that the user is in, or None. However its name is written."""
        return next(
            (room for room in self.rooms[1:] if room.name.casefold() == name.casefold()), None
        )

    def show(self, room: Room) -> None:
        """Look at a room; all of it counts as read."""
        self.current = room
        room.unread, room.is_mentioned = 0, False

    def show_number(self, number: int) -> None:
        """Look at the room of a number; home has 0."""
        if number < len(self.rooms):
            self.show(self.rooms[number])

    def show_next(self, step: int) -> None:
        """Look at the next room; with -1, at the previous."""
        index = self.rooms.index(self.current)
        self.show(self.rooms[(index + step) % len(self.rooms)])

    def show_unread(self) -> None:
        """Look at the next unread room. Rooms in which the user was mentioned come first."""
        place = self.rooms.index(self.current)
        behind = [*self.rooms[place + 1 :], *self.rooms[:place]]
        unread = [room for room in behind if room.unread]
        if unread:
            self.show(next((room for room in unread if room.is_mentioned), unread[0]))

    def names(self) -> Iterator[str]:
        """Yield the names of people: those in this room first."""
        yield from sorted(self.current.people, key=str.casefold)
        others = set().union(*(room.people for room in self.rooms)) - self.current.people
        yield from sorted(others, key=str.casefold)

    # Events to lines.

    def _message(self, event: Json, verdict: Verdict | None) -> bool:
        room = self.find(str(event["room"])) or self.current
        line = self._line(event, verdict)
        room.add(line)
        if event.get("is_replayed"):
            return False
        is_for_me = line.is_mention and line.user != self.me
        if room is not self.current and line.user != self.me:
            room.unread += 1
            room.is_mentioned |= is_for_me
        return is_for_me

    def _line(self, event: Json, verdict: Verdict | None) -> Line:
        verdict = verdict or self._without_keys(event)
        user = str(event["user"])
        line = Line(
            verdict.at or milliseconds(event.get("at")),
            "did" if verdict.is_action else "said",
            verdict.text,
            user,
            user != self.me and bool(self._my_name.search(verdict.text)),
            event["id"],
            verdict.mark,
        )
        if verdict.is_refused:
            return line._replace(kind=_refusal_kind(verdict), is_mention=False, source="own")
        return line

    def _without_keys(self, event: Json) -> Verdict:
        """Return the verdict on a message that has none."""
        if event.get("enc") is not None:
            return Verdict(_SEALED)
        room = self.find(str(event.get("room")))
        mark = _PLAINTEXT if room and room.is_encrypted else ""
        return Verdict(str(event.get("body")), mark, event.get("is_action") is True)

    def _private(self, event: Json, verdict: Verdict | None) -> bool:
        if any(line.private_id == event["id"] for line in self.home.lines):
            return False  # it is here, whatever its time is said to be now
        for room in [self.home] if self.current is self.home else [self.home, self.current]:
            room.add(self._private_line(event, verdict))
        return event["user"] != self.me and not event.get("is_replayed")

    def _private_line(self, event: Json, verdict: Verdict | None) -> Line:
        verdict = verdict or self._without_keys(event)
        user, recipient = event["user"], event.get("recipient") or event.get("to")
        is_mine, text = user == self.me, f"[private] {user}: {verdict.text}"
        if is_mine:  # said in another session of the user
            text = f"[private to {recipient}] {verdict.text}"
        at = verdict.at or milliseconds(event.get("at"))
        line = Line(at, "private", text, "", not is_mine, 0, verdict.mark, event["id"])
        if verdict.is_refused:
            text = f"[private] {verdict.text}"
            line = line._replace(kind=_refusal_kind(verdict), text=text, source="own")
        return line

    def _fact(self, event: Json, verdict: Verdict | None) -> None:
        room = self.find(str(event.get("room"))) or self.current
        if verdict or (event["event"] == "renamed" and room.is_encrypted):
            text = verdict.text if verdict else f"{room.name} is encrypted, and keeps its name"
            self.notice(text, room.name, "error")
            return
        self._note(event, room)
        source: Source = "server" if event["event"] == "notice" else ""
        for text in phrases.event_lines(event):
            room.add(Line(self._clock(), "fact", text, source=source))

    def _note(self, event: Json, room: Room) -> None:
        """Apply a fact to its room."""
        user = str(event.get("user"))
        if event["event"] == "joined":
            room.people.add(user)
        elif event["event"] in ("left", "disconnected", "kicked", "banned"):
            room.people.discard(user)
        elif event["event"] == "purged":
            room.hide(event["author"], event["first_id"], event["last_id"])
        elif event["event"] == "topic":
            room.topic = str(event.get("topic") or "")
        elif event["event"] == "renamed" and room is not self.home:
            room.name = str(event["name"])
            self.known_rooms.add(room.name)

    def _lose(self, event: Json, why: list[str], source: Source) -> None:
        """Take in that the user has lost a room.

        If it was shown, home is: a line being typed goes to no other room.
        """
        room = self.find(str(event["room"]))
        if room:
            is_shown = room is self.current
            self.leave(room)
            if is_shown:
                self.show(self.home)
            self.tell(why, "error", source=source)

    def _connection(self, is_connected: bool) -> None:
        if is_connected is not self.is_connected:
            self.is_connected = is_connected
            self.tell([_CONNECTION_TOLD[is_connected]], "fact")

    def _new_room(self, name: str) -> Room:
        room = Room(name)
        self.rooms.append(room)
        self.known_rooms.add(name)
        return room


def _is_it(line: Line, event: Json) -> bool:
    """Return whether a line is of a message.

    It has the message's id, and the user that the message was said to be of.
    """
    return line.id == event.get("id") and is_same_name(line.user, str(event.get("user")))


def _revealed_at(line: Line, verdict: Verdict | None) -> int:
    """Return when a message was said that was revealed.

    It is in ms: the sender's time, or else the line's.
    """
    return verdict.at if verdict and verdict.at else line.at


def _refusal_kind(verdict: Verdict) -> Kind:
    """Return the kind of a refused message's line. Nothing is wrong with a sealed one."""
    return "fact" if verdict.is_sealed else "error"


_CONNECTION_TOLD = {
    False: "The connection is lost; trying to come back.",
    True: "The connection is back, and nothing was missed.",
}
