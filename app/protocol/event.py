"""The bases of events."""

from dataclasses import dataclass
from typing import ClassVar

from app.errors import Code


@dataclass(slots=True)
class Event:
    """An event that a wire can show."""


@dataclass(slots=True)
class RoomEvent(Event):
    """An event that all readers of `room` are shown; `user` did it, or it happened to them."""

    room: str
    user: str


@dataclass(slots=True)
class Answer(Event):
    """The answer to a command, or that it is done."""


@dataclass(slots=True)
class Done(Answer):
    """The command was carried out; the fields have the details."""


@dataclass(slots=True)
class Noticed(Event):
    """The server tells all users something, or those it concerns."""


@dataclass(slots=True)
class Ended(Answer):
    """The session was ended from outside; `code` says why, as in a refusal."""

    code: ClassVar[Code]
