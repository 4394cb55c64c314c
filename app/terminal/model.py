"""What the terminal client knows: rooms, who is in them, what was said and what was not yet seen.

Pure: events and answers go in, lines to show come out. It knows no terminal and no server.
"""

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from app.terminal import phrases
from app.terminal.phrases import Json
from app.times import now

LINES_MAX = 10_000  # kept of a room, to page through: some 5 MB

_REMOVED = "(removed)"

_SEALED = "[encrypted]"  # what can't be read yet

Kind = Literal["said", "did", "private", "fact", "answer", "error", "notice"]


class Line(NamedTuple):
    """A line of a room. What a person said has their name, and is stored under its id.

    Where something is encrypted, `mark` says how far to believe who says it.
    """

    at: int
    kind: Kind
    text: str
    user: str = ""
    is_mention: bool = False
    id: int = 0
    mark: str = ""
    private_id: int = 0  # of a private message, among all of those


@dataclass
class Room:
    """A room that the user is in; the one without a name is home, where there is no other."""

    name: str
    topic: str = ""
    people: set[str] = field(default_factory=set)
    lines: list[Line] = field(default_factory=list)
    is_encrypted: bool = False  # as far as anybody says
    has_past: bool = True  # as far as is known: messages before those that are here
    unread: int = 0
    is_mentioned: bool = False
    newer: int = 0  # lines below those that are shown: 0 follows what comes
    cut: int = 0  # rows of the lowest line shown that are below too

    def add(self, line: Line) -> None:
        """Put a line at the end; what is looked at stays where it is."""
        self.lines.append(line)
        if self.newer or self.cut:
            self.newer += 1
        if len(self.lines) > LINES_MAX:
            del self.lines[: LINES_MAX // 10]

    def hide(self, author: str | None, first_id: int, last_id: int) -> None:
        """Show no more what was removed: said by the author, or by anybody, between these ids."""
        for place, line in enumerate(self.lines):
            if first_id <= line.id <= last_id and author in (None, line.user):
                self.lines[place] = line._replace(text=_REMOVED, is_mention=False)

    @property
    def first_id(self) -> int | None:
        """The id of the oldest message here; None when there is none."""
        return next((line.id for line in self.lines if line.id), None)


class Model:
    """All that one user sees."""

    def __init__(self, me: str, clock: Callable[[], int] = now) -> None:
        self.me = str(phrases.cleaned(me))
        self.home = Room("")
        self.rooms: list[Room] = [self.home]
        self.current = self.home
        self.is_connected = True
        self.latency_seconds: float | None = None
        self.waiting = 0  # requests that the server has not answered
        self.progress = ""  # of what is being sent or fetched
        self.known_rooms: set[str] = set()
        self._joins = 0  # that were asked for and not answered
        self._early: deque[Json] = deque(maxlen=LINES_MAX)  # what came from rooms not known yet
        self._clock = clock
        self._my_name = re.compile(rf"(?<!\w){re.escape(self.me)}(?!\w)", re.IGNORECASE)

    # What the server tells.

    def apply(self, event: Json) -> bool:
        """Take in an event. Returns whether it is worth a ring."""
        event = phrases.cleaned(event)
        name = event.get("event")
        if "room" in event and self.find(str(event["room"])) is None:
            if self._joins:
                self._early.append(event)
            return False  # or the room was left meanwhile
        if name == "message":
            return self._message(event)
        if name == "private":
            return self._private(event)
        if name in ("reconnecting", "connected"):
            self._connection(name == "connected")
        elif name == "shut_out":
            self._lose(event, [str(event.get("message"))])
        elif name in ("kicked", "banned") and event.get("user") == self.me:
            self._lose(event, phrases.sent_out_lines(event))
        elif name == "deleted":
            self._lose(event, phrases.event_lines(event))
        else:
            self._fact(event)
        return False

    @contextmanager
    def joining(self) -> Iterator[None]:
        """Keep what comes from rooms that are not known, until the answers to all joins came."""
        self._joins += 1
        try:
            yield
        finally:
            self._joins -= 1
            if not self._joins:
                self._early.clear()

    def enter(self, answer: Json) -> Room:
        """Take in that a room was entered, and show it, with what came from it before."""
        answer = phrases.cleaned(answer)
        room = self.find(str(answer.get("room"))) or self._new_room(str(answer.get("room")))
        room.topic = str(answer.get("topic") or "")
        room.people = phrases.names_in(answer.get("users"))
        room.is_encrypted |= answer.get("e2ee") is True
        self.show(room)
        for event in self._early:
            if self.find(str(event["room"])) is room:
                self.apply(event)
        return room

    def meet(self, answer: Json) -> None:
        """Take in who is in a room."""
        answer = phrases.cleaned(answer)
        room = self.find(str(answer.get("room")))
        if room:
            room.people = phrases.names_in(answer.get("people"))

    def learn_rooms(self, answer: Json) -> None:
        """Take in which rooms there are."""
        self.known_rooms |= phrases.names_in(phrases.cleaned(answer).get("rooms"))

    def leave(self, room: Room) -> None:
        """Forget a room; another one is shown in its place."""
        if room in self.rooms and room is not self.home:
            index = self.rooms.index(room)
            self.rooms.remove(room)
            if self.current is room:
                self.show(self.rooms[min(index, len(self.rooms) - 1)])

    def tell(self, texts: Iterable[str], kind: Kind = "answer", mark: str = "") -> None:
        """Show the user lines of the program's own, where they are looking."""
        for text in texts:
            self.current.add(Line(self._clock(), kind, phrases.cleaned(text), mark=mark))

    def notice(self, text: str, room: str, kind: Kind) -> None:
        """Show something about a room there, if the user is in it; else where they are looking."""
        (self.find(room) or self.current).add(Line(self._clock(), kind, phrases.cleaned(text)))

    def reveal(self, event: Json) -> bool:
        """Show what a message says in its place, now that it can be read.

        Returns whether it is worth a ring. A private one that was not shown yet is shown now; one
        of a room will be when its history is looked at.
        """
        event = phrases.cleaned(event)
        is_private = event.get("event") == "private"
        fresh = self._private_lines(event) if is_private else [self._line(event)]
        is_found = False
        for room in self.rooms if is_private else filter(None, [self.find(str(event.get("room")))]):
            for place, line in enumerate(room.lines):
                if (line.private_id if is_private else line.id) == event.get("id"):
                    room.lines[place] = fresh[0]._replace(at=line.at, user=line.user)
                    is_found = True
        if is_private and not is_found:
            return self._private(event)
        return is_found and fresh[0].is_mention and not event.get("is_replayed")

    def show_past(self, room: Room, page: Json) -> None:
        """Put a page of history above the lines of a room."""
        messages = phrases.cleaned(page).get("messages") or []
        past = [self._line(message) for message in messages if isinstance(message, Mapping)]
        known = room.first_id
        fresh = [line for line in past if known is None or line.id < known]
        room.lines[:0] = fresh
        room.has_past = bool(fresh and page.get("has_more"))

    # What the user looks at.

    def find(self, name: str) -> Room | None:
        """Return a room that the user is in, however its name is written."""
        return next(
            (room for room in self.rooms[1:] if room.name.casefold() == name.casefold()), None
        )

    def show(self, room: Room) -> None:
        """Look at a room: what is unread is read."""
        self.current = room
        room.unread, room.is_mentioned = 0, False

    def show_number(self, number: int) -> None:
        """Look at the room of a number; home has 0."""
        if number < len(self.rooms):
            self.show(self.rooms[number])

    def show_next(self, step: int) -> None:
        """Look at the next room, or with -1 at the one before."""
        index = self.rooms.index(self.current)
        self.show(self.rooms[(index + step) % len(self.rooms)])

    def names(self) -> Iterator[str]:
        """Yield those who may be meant: in this room first."""
        yield from sorted(self.current.people, key=str.casefold)
        others = set().union(*(room.people for room in self.rooms)) - self.current.people
        yield from sorted(others, key=str.casefold)

    # How it gets there.

    def _message(self, event: Json) -> bool:
        room = self.find(str(event["room"])) or self.current
        line = self._line(event)
        room.add(line)
        if event.get("is_replayed"):
            return False
        is_for_me = line.is_mention and line.user != self.me
        if room is not self.current:
            room.unread += 1
            room.is_mentioned |= is_for_me
        return is_for_me

    def _line(self, event: Json) -> Line:
        body, user = str(event.get("body")), str(event.get("user"))
        if event.get("enc") is not None:
            body = _SEALED
        kind: Kind = "did" if event.get("is_action") else "said"
        is_mention = user != self.me and bool(self._my_name.search(body))
        if event.get("is_refused"):
            kind, is_mention = _refusal_kind(event), False
        return Line(
            phrases.milliseconds(event.get("at")),
            kind,
            body,
            user,
            is_mention,
            event["id"] if isinstance(event.get("id"), int) else 0,
            str(event.get("mark") or ""),
        )

    def _private(self, event: Json) -> bool:
        lines = self._private_lines(event)
        for room in [self.home] if self.current is self.home else [self.home, self.current]:
            for line in lines:
                room.add(line)
        return event.get("user") != self.me and not event.get("is_replayed")

    def _private_lines(self, event: Json) -> list[Line]:
        is_mine, body = event.get("user") == self.me, str(event.get("body"))
        if event.get("enc") is not None:
            body = _SEALED
        recipient = event.get("recipient") or event.get("to")
        clear = {**event, "body": body, "recipient": recipient, "enc": None}
        lines = phrases.event_lines(clear)
        if is_mine:  # said in another session of theirs
            lines = [f"[private to {recipient}] {body}"]
        kind: Kind = "private"
        if event.get("is_refused"):
            kind, lines = _refusal_kind(event), [f"[private] {body}"]
        at, mark = phrases.milliseconds(event.get("at")), str(event.get("mark") or "")
        private_id = event["id"] if isinstance(event.get("id"), int) else 0
        return [
            Line(at, kind, text, is_mention=not is_mine, mark=mark, private_id=private_id)
            for text in lines
        ]

    def _fact(self, event: Json) -> None:
        room = self.find(str(event.get("room"))) or self.current
        user = str(event.get("user"))
        if event.get("event") == "joined":
            room.people.add(user)
        elif event.get("event") in ("left", "disconnected", "kicked", "banned"):
            room.people.discard(user)
        elif event.get("event") == "purged" and phrases.event_lines(event):
            room.hide(event["author"], event["first_id"], event["last_id"])
        elif event.get("event") == "topic":
            room.topic = str(event.get("topic") or "")
        elif event.get("event") == "renamed" and room is not self.home:
            room.name = str(event.get("name") or room.name)
            self.known_rooms.add(room.name)
        for text in phrases.event_lines(event):
            room.add(Line(self._clock(), "fact", text))

    def _lose(self, event: Json, why: list[str]) -> None:
        """Take in that the user is no more in a room."""
        room = self.find(str(event["room"]))
        if room:
            self.leave(room)
            self.tell(why, "error")

    def _connection(self, is_connected: bool) -> None:
        if is_connected is not self.is_connected:
            self.is_connected = is_connected
            self.tell([_CONNECTION_TOLD[is_connected]], "fact")

    def _new_room(self, name: str) -> Room:
        room = Room(name)
        self.rooms.append(room)
        self.known_rooms.add(name)
        return room


def _refusal_kind(event: Json) -> Kind:
    """Return how the sentence that stands for a message is shown: nothing may be wrong with it."""
    return "fact" if event.get("is_sealed") else "error"


_CONNECTION_TOLD = {
    False: "The connection is lost; trying to come back.",
    True: "The connection is back, and nothing was missed.",
}
