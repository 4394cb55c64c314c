"""What an event is."""

from dataclasses import dataclass


@dataclass(slots=True)
class Event:
    """Something that a wire can show."""


@dataclass(slots=True)
class RoomEvent(Event):
    """Something that everybody in `room` is shown; `user` did it, or it happened to them."""

    room: str
    user: str


@dataclass(slots=True)
class Answer(Event):
    """What one session asked for, or that it is done."""
