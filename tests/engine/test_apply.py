"""A live room equals the room that is loaded from the database, whatever was decided about it."""

import inspect
from collections.abc import Iterator

import gevent
import pytest

from app.engine import apply
from app.protocol import accounts, moderation, removal, rooms, server, talk
from app.protocol.command import Command
from app.values.times import DAY_MILLISECONDS
from tests.fire.fuzz.asking import as_json
from tests.fire.fuzz.world import Terminal, World, in_a_hurry
from tests.kit.client import WAIT_SECONDS_MAX

# Who asks what, one after the other: all of it is possible, and each decision is among it.
DECISIONS: list[tuple[str, Command]] = [
    ("alice", talk.Say("one")),
    ("bob", talk.Say("two")),
    ("alice", moderation.Topic("tea")),
    ("alice", moderation.Topic("-")),
    ("alice", moderation.Promote("bob")),
    ("alice", moderation.Demote("bob")),
    ("alice", moderation.Mute("bob", 60, "loud")),
    ("alice", moderation.Unmute("bob")),
    ("alice", moderation.Promote("bob")),
    ("alice", moderation.Ban("bob", None, "rude")),
    ("alice", moderation.Unban("bob")),
    ("bob", rooms.Join("den")),
    ("alice", moderation.Mute("carol", 60)),
    ("", rooms.RoomOwner("den", "carol")),
    ("carol", moderation.Promote("alice")),
    ("", removal.Purge(user="bob")),
    ("", rooms.RoomRename("den", "cave")),
    ("carol", talk.Say("three")),
    ("", removal.Retention("cave", "1")),
    ("carol", rooms.Encrypt()),
    ("dave", rooms.Join("cave")),
    ("dave", rooms.Leave()),
    ("carol", moderation.Kick("bob")),
    ("", accounts.UserDelete("carol")),
    ("", rooms.RoomDelete("cave")),
]


@pytest.fixture
def world() -> Iterator[World]:
    with in_a_hurry(), gevent.Timeout(WAIT_SECONDS_MAX):
        made = World(now=1_795_348_800_000)
        yield made
        made.close()


def _ask(world: World, terminal: Terminal, command: Command) -> None:
    """Ask, and see that it was answered and not refused."""
    terminal.feed(world.service, [as_json(command)])
    world.settle()
    shown, _ = terminal.take()
    assert not [each for each in shown if isinstance(each, server.Refused)], command
    world.check_live_rooms()


def _kinds(kind: type) -> Iterator[type]:
    for each in kind.__subclasses__():
        yield each
        yield from _kinds(each)


def _spy(patch: pytest.MonkeyPatch, owner: object, name: str, unused: set) -> None:
    method = getattr(owner, name)

    def spy(*arguments: object) -> object:
        unused.discard((owner.__name__, name))
        return method(*arguments)

    patch.setattr(owner, name, spy)


def test_a_live_room_equals_the_database(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    spied = {(apply, name) for name, _ in inspect.getmembers(apply, inspect.isfunction)}
    spied |= {(fact, "apply") for fact in _kinds(apply.RoomFact) if fact.__name__[0] != "_"}
    spied -= {
        (apply, "dataclass"),
        (apply, "parse_name"),
        (apply.Made, "apply"),
        (apply.FileShared, "apply"),
    }
    unused = {(owner.__name__, name) for owner, name in spied}
    for owner, name in spied:
        _spy(monkeypatch, owner, name, unused)
    people = {"": world.connect_operator()}
    for name in ("alice", "bob", "carol", "dave"):
        people[name] = world.connect("ndjson", "10.0.0.1")
        _ask(world, people[name], accounts.Register(name, "secret"))
        if name != "dave":
            _ask(world, people[name], rooms.Join("den"))
    for who, command in DECISIONS:
        _ask(world, people[who], command)
        if isinstance(command, removal.Retention):
            world.now += 2 * DAY_MILLISECONDS
            world.service._retention.reap()
            world.check_live_rooms()
    assert not unused
