"""Two who do at the same moment what only one of them can: there is one winner, every time.

Each race is run many times over real sockets, from threads that start together. What a witness in
the room is shown is then as if one thing had happened after the other.
"""

import re
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace

import pytest

from app.chat.talk.messages import Messages
from app.engine.kit import Kit
from app.errors import NotPossible
from app.protocol.talk import History
from tests.kit.client import Client, at_once
from tests.kit.fakes import fake_room, fake_session

ROUNDS_OF_BANS = 200  # of what would let somebody in, or be heard, who is out
SERVER_SETTINGS = {"DURABILITY": "normal"}  # it commits some times a round

Trio = tuple[Client, Client, Client]


@pytest.fixture
def trio(server, pair, new_name) -> Trio:
    """An owner and a witness in a room, and a guest outside."""
    owner, witness = pair
    return owner, witness, server.connect().register(new_name("guest"))


# Once the room was shown that somebody was kicked, it is shown nothing more of them, though they
# were in the middle of talking; what it was not shown, they were told was refused.
def test_kick_and_send(trio: Trio) -> None:
    owner, witness, guest = trio
    room = owner.room
    for _ in range(ROUNDS_OF_BANS):
        guest.join(room)
        guest.catch_up()
        witness.catch_up()
        at_once(
            partial(owner.type, f"/kick {guest.name}"),
            lambda: [guest.type(f"word {number}") for number in range(5)],
        )
        owner.catch_up()
        told = guest.catch_up()
        seen = witness.catch_up()
        kicked = f"{guest.name} was kicked by {owner.name}."
        said = [f"{guest.name}: word {number}" for number in range(seen.index(kicked))]
        refusals = {
            "Error: join a room first: /join ROOM",
            f"Error: you are not in {room} any more",
        }
        assert seen == [*said, kicked]
        assert told[: len(said)] == said
        refused = [each for each in told[len(said) :] if each in refusals]
        assert len(refused) == 5 - len(said)
        (why,) = [each for each in told[len(said) :] if each not in refusals]
        assert why == f"You were kicked from {room} by {owner.name}."


# Once the room was shown that somebody was banned, it is shown nothing more of them, though they
# were coming and going and talking, again and again.
def test_ban_and_join(trio: Trio) -> None:
    owner, witness, guest = trio
    room = owner.room
    visit = ("has joined the room.", ": here I am", "has left the room.")
    wanted = [f"{guest.name} {each}".replace(" :", ":") for each in visit * 5]
    for number in range(ROUNDS_OF_BANS):
        later = ["/rooms"] * (number % 5)  # each takes the server a moment
        at_once(
            partial(owner.type, f"/ban {guest.name}"),
            partial(guest.type, *later, *(f"/join {room}", "here I am", "/leave") * 5),
        )
        owner.catch_up()
        guest.type(f"/join {room}")
        assert guest.catch_up()[-1] == f"Error: you are banned from {room}"
        seen = witness.catch_up()
        banned = f"{guest.name} was banned by {owner.name} for good."
        assert seen == [*wanted[: len(seen) - 1], banned]
        witness.type("/who")
        assert not any(guest.name in line for line in witness.catch_up())
        owner.type(f"/unban {guest.name}")
        for client in (owner, witness):
            client.expect(f"{guest.name} was unbanned by {owner.name}.\r\n")


# Of two who register one name, in whatever spelling, one gets it; the other is told.
def test_register_and_register(server, new_name, rounds) -> None:
    losers: list[Client] = []
    for _ in range(rounds):
        name = new_name("wanted")
        rivals = [*losers, *(server.connect() for _ in range(2 - len(losers)))]
        typed = (f"/register {name} one", f"/register {name.upper()} two")
        at_once(*map(_typing, rivals, typed))
        answers = {rival: _first_answer(rival) for rival in rivals}
        (winner,) = (rival for rival in rivals if answers[rival].startswith("Hello, "))
        assert answers[winner].lower().startswith(f"hello, {name}.")
        winner.close()
        losers = [rival for rival in rivals if rival is not winner]
        told = f"(?i)Error: the name {name}, .*, is taken; .*"
        assert re.fullmatch(told, answers[losers[0]])
    with server.database() as database:
        count = "SELECT count(*) FROM users WHERE key LIKE 'wanted%'"
        assert database.execute(count).fetchone() == (rounds,)


def _typing(client: Client, line: str) -> Callable[[], None]:
    return partial(client.type, line)


def _first_answer(client: Client) -> str:
    """Return the next line that is neither the banner nor a prompt."""
    while True:
        line = client.expect_line().removeprefix("login: ")
        if line.startswith(("Hello, ", "Error: ")):
            return line


# Promoted and demoted at once: what the room was shown last is what holds, in memory and on disk.
def test_promote_and_demote(server, trio: Trio, rounds) -> None:
    owner, witness, guest = trio
    again = server.connect().log_in(owner.name).join(owner.room)
    made = f"{guest.name} was made a moderator by {owner.name}."
    unmade = f"{guest.name} was made a moderator no more by {owner.name}."
    is_moderator = False
    for _ in range(rounds):
        at_once(_typing(owner, f"/promote {guest.name}"), _typing(again, f"/demote {guest.name}"))
        told = [line for client in (owner, again) for line in client.catch_up()]
        seen = witness.catch_up()
        refused = [line for line in told if line.startswith("Error: ")]
        assert len(seen) + len(refused) == 2
        expected = [unmade, made] if is_moderator else [made, unmade]
        assert seen in (expected, expected[:1])
        is_moderator = seen[-1] == made
        with server.database() as database:
            query = "SELECT count(*) FROM moderators JOIN users ON id = user_id WHERE name = ?"
            assert database.execute(query, (guest.name,)).fetchone() == (is_moderator,)


# Promoted twice at once: once is enough, and the other is told so.
def test_promote_and_promote(server, trio: Trio, rounds) -> None:
    owner, witness, guest = trio
    again = server.connect().log_in(owner.name).join(owner.room)
    for _ in range(rounds):
        at_once(*(partial(each.type, f"/promote {guest.name}") for each in (owner, again)))
        told = [line for client in (owner, again) for line in client.catch_up()]
        assert told.count(f"Error: {guest.name} is a moderator already") == 1
        assert witness.catch_up() == [f"{guest.name} was made a moderator by {owner.name}."]
        owner.type(f"/demote {guest.name}")
        for client in (owner, witness, again):
            client.expect(f"{guest.name} was made a moderator no more by {owner.name}.\r\n")


# Of somebody whose two sessions go at once, in whatever way, the room is told once.
@pytest.mark.parametrize("ways", [("/leave", "/quit"), ("/leave", "/leave"), ("/leave", "hang up")])
def test_leave_and_quit(server, trio: Trio, ways: tuple[str, str], rounds) -> None:
    owner, witness, guest = trio
    room = owner.room
    other = server.connect().log_in(guest.name)
    for _ in range(rounds):
        guest.join(room)
        other.join(room)
        witness.expect_lines(f"{guest.name} has joined the room.")
        second = other.close if ways[1] == "hang up" else _typing(other, ways[1])
        at_once(_typing(guest, ways[0]), second)
        guest.catch_up()
        if ways[1] == "/leave":
            other.catch_up()
        else:
            other.close()
            other = server.connect().log_in(guest.name)
        witness.expect_line(f"{guest.name} has (left the room|disconnected)\\.")
        witness.expect_nothing_more()
        witness.type("/who")
        assert not any(guest.name in line for line in witness.catch_up())


# Of all who come to a new room at once, the first is its owner, and the others were told in order.
def test_join_and_join(server, new_name, rounds) -> None:
    crowd = [server.connect().register(new_name("crowd")) for _ in range(4)]
    for _ in range(rounds):
        room = new_name("new")
        at_once(*map(_typing, crowd, (f"/join {room}", f"/join {room.upper()}") * 2))
        order = []
        for client in crowd:
            client.expect("Welcome to room ")
            client.expect("\r\n")
            present = client.expect_line("Current users: .*").removeprefix("Current users: ")
            order.append((len(present.split(", ")), client.name))
        order.sort()
        assert [place for place, _ in order] == [1, 2, 3, 4]
        crowd[0].catch_up()
        crowd[0].type("/who")
        owners = [line for line in crowd[0].catch_up() if ", owner" in line]
        assert owners == [f"  {order[0][1]}, owner"]
        with server.database() as database:
            query = "SELECT name FROM users WHERE id = (SELECT owner_id FROM rooms WHERE key = ?)"
            assert database.execute(query, (room,)).fetchall() == [(order[0][1],)]


# Who is sent out while their page of history is being read is not shown it.
def test_kick_and_history() -> None:
    session, room = fake_session("eve"), fake_room()
    room.take(session)
    database = SimpleNamespace(read=lambda _work: room.drop(session))
    journal = SimpleNamespace(removals=0)
    messages = Messages(Kit(database, journal, lambda: 0, *[None] * 4))
    with pytest.raises(NotPossible, match="you are not in lobby any more"):
        messages.history(session, History())
    assert session.client.shown == []
