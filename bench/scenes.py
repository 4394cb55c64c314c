"""The scenes that every server plays: who sits in which room, and what load they make."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from dialects import BODY_BYTES
from generator import Client, Crowd
from loads import Burst, Figures, Load, Steady
from meter import Meter, Usage
from process import BenchError, ServerProcess
from scale import Scale

BURST_SPEAKERS = 10
US_PER_SECOND = 1_000_000

Rooms = Mapping[str, Sequence[Client]]


class Scene(Protocol):
    """A load that any server can be put under, given logged-in members."""

    @property
    def name(self) -> str:
        """What it is called on the command line and in the table."""
        ...

    @property
    def members(self) -> int:
        """How many sessions take part."""
        ...

    def seat(self, members: Sequence[Client]) -> Rooms:
        """Return who goes into which room."""
        ...

    def load(self, crowd: Crowd, rooms: Rooms) -> Load:
        """Prepare what these members will say."""
        ...


@dataclass(frozen=True)
class BurstScene:
    """Ten speakers in one room send all they have at once; everybody there reads it all."""

    name: str
    members: int
    messages_per_speaker: int

    def seat(self, members: Sequence[Client]) -> Rooms:
        """All in one room."""
        return {self.name: members}

    def load(self, crowd: Crowd, rooms: Rooms) -> Load:
        """The first ten speak."""
        members = rooms[self.name]
        return Burst(crowd, self.name, members, BURST_SPEAKERS, self.messages_per_speaker)


@dataclass(frozen=True)
class SteadyScene:
    """Messages at an even pace: the rooms take turns, and in each room its speakers do."""

    name: str
    rooms: int
    room_size: int
    speakers_per_room: int
    messages_per_second: int
    seconds: int
    body_bytes: int = BODY_BYTES

    @property
    def members(self) -> int:
        """All rooms together."""
        return self.rooms * self.room_size

    def seat(self, members: Sequence[Client]) -> Rooms:
        """The same number in every room."""
        size = self.room_size
        return {
            f"{self.name}{room}": members[room * size : (room + 1) * size]
            for room in range(self.rooms)
        }

    def load(self, crowd: Crowd, rooms: Rooms) -> Steady:
        """The first of each room speak."""
        turns = [
            (people[speaker], room)
            for speaker in range(self.speakers_per_room)
            for room, people in rooms.items()
        ]
        readers = self.room_size if crowd.dialect.echoes else self.room_size - 1
        messages = self.messages_per_second * self.seconds
        return Steady(crowd, turns, readers, self.messages_per_second, messages, self.body_bytes)


def play(scene: Scene, crowd: Crowd, members: Sequence[Client], server: ServerProcess) -> Figures:
    """Join, measure from the first send to the last delivery, leave; return the figures.

    Raises BenchError when deliveries are lost or too many, or clients are cut.
    """
    rooms = scene.seat(members[: scene.members])
    for room, people in rooms.items():
        crowd.join(people, room)
    load = scene.load(crowd, rooms)
    crowd.settle()
    server.forget_peak()
    meter = Meter(server)
    load.run()
    figures = costs(meter.stop(), load.deliveries, server) | load.figures()
    if strays := crowd.settle():
        raise BenchError(f"{strays:,} deliveries more than there should be")
    for room, people in rooms.items():
        crowd.leave(people, room)
    crowd.settle()
    return figures


def costs(usage: Usage, deliveries: int, server: ServerProcess) -> Figures:
    """Return what the deliveries took, from the clocks and from the server's memory now."""
    return {
        "deliveries_per_second": deliveries / usage.wall_seconds,
        "cpu_us_per_delivery": usage.server_cpu_seconds * US_PER_SECOND / deliveries,
        "rss_bytes": server.rss_bytes(),
        "rss_peak_bytes": server.rss_peak_bytes(),
    } | usage.shares()


def shared_scenes(scale: Scale) -> list[Scene]:
    """Return the scenes every server plays, in order."""
    return [
        BurstScene("burst200", 200, scale.burst_messages),
        BurstScene("burst1000", 1_000, scale.burst_messages // 4),
        small_rooms("rooms", scale, 20),
        small_rooms("sparse", scale, 1),
        large_room("large", scale),
    ]


def small_rooms(name: str, scale: Scale, messages_per_second: int) -> SteadyScene:
    """Return the scene of many rooms of ten, in each of which one speaks so often."""
    pace = messages_per_second * scale.rooms
    return SteadyScene(name, scale.rooms, 10, 1, pace, scale.seconds)


def large_room(name: str, scale: Scale, body_bytes: int = BODY_BYTES) -> SteadyScene:
    """Return the scene of ten who speak to very many."""
    return SteadyScene(name, 1, scale.large, 10, 200, scale.seconds, body_bytes)
