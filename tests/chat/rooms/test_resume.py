"""Coming back: a program that joins with `since` misses nothing, and is shown nothing twice."""

import itertools
import signal
from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.bounds import RECENT_MESSAGES_MAX, SINCE_MESSAGES_MAX
from app.chat.rooms import rooms
from app.engine.presence import Session
from app.protocol import talk as protocol
from app.protocol.event import RoomEvent
from app.protocol.rooms import Join
from tests.kit.fakes import FakeClient
from tests.kit.house import House, hash_quickly
from tests.kit.program import Program
from tests.kit.server_process import ServerProcess

TALKER = "talker"
SAYING = {"say": {"body": "once"}, "me": {"body": "once"}, "msg": {"user": "other", "body": "once"}}


@pytest.fixture(scope="module")
def talker(server: ServerProcess) -> Program:
    return server.program().register(TALKER)


def _resume(server: ServerProcess, name: str, room: str, since: int) -> tuple[dict, list[int]]:
    """Return how a program is answered that comes back, and the ids of what it is replayed."""
    back = server.program().log_in(name)
    answer = back.call("join", room=room, since=since)
    replayed = back.catch_up()
    back.close()
    assert all(event.get("is_replayed") for event in replayed if event["event"] == "message")
    return answer, [event["id"] for event in replayed if event["event"] == "message"]


# What came after the last message seen is replayed, from memory or from the database; where that
# is too much, or what was seen is not there, it says so, and history has the rest.
def test_since(server: ServerProcess, talker: Program, new_name) -> None:
    room, name = new_name("room"), new_name("back")
    talker.call("join", room=room)
    ids = talker.say(*map(str, range(SINCE_MESSAGES_MAX + 5)), room=room)
    server.program().register(name).close()
    for missed in (0, 1, RECENT_MESSAGES_MAX - 1, RECENT_MESSAGES_MAX, SINCE_MESSAGES_MAX):
        answer, replayed = _resume(server, name, room, since=ids[-1 - missed])
        assert answer["is_complete"]
        assert replayed == ids[len(ids) - missed :]
    for since in (0, ids[0], ids[-SINCE_MESSAGES_MAX - 2], ids[-1] + 1, (1 << 63) - 1):
        answer, replayed = _resume(server, name, room, since=since)
        assert not answer["is_complete"]
        assert replayed == ids[-20:]
    back = server.program().log_in(name).join(room)
    paged, after, has_more = [], ids[0], True
    while has_more:
        page = back.call("history", after=after, count=300)
        paged += [message["id"] for message in page["messages"]]
        after, has_more = page["last_id"], page["has_more"]
    assert paged == ids[1:]


# A room that nobody spoke in has nothing to miss; without `since` it is complete by definition.
def test_since_in_a_silent_room(server: ServerProcess, talker: Program, new_name) -> None:
    room = new_name("room")
    assert talker.call("join", room=room, since=0)["is_complete"]
    talker.call("leave", room=room)
    assert talker.call("join", room=room)["is_complete"]


# The connection breaks before the answer, or the server with it: a retry is stored once, on
# whatever connection it comes, and the same txn of somebody else is another message.
def test_retries(start_server) -> None:
    server = start_server()
    bot, other = (server.program().register(name).join("lobby") for name in ("bot", "other"))
    bot.event("joined", user="other")
    ids = {}
    for op, fields in SAYING.items():
        ids[op] = first = bot.call(op, **fields, txn=f"{op}-1")["message_id"]
        assert bot.call(op, **fields, txn=f"{op}-1")["message_id"] == first
        in_one_go = [bot.ask(op, **fields, txn=f"{op}-2") for _ in range(3)]
        (second,) = {bot.answer(number)["message_id"] for number in in_one_go}
        assert second > first
    other.catch_up()
    shown = [line["body"] for line in other.lines if "body" in line]
    assert shown == ["once"] * 6
    for op, fields in SAYING.items():
        bot.ask(op, **fields, txn=f"{op}-3")  # and its answer never arrives
    server.stop_before_its_clients(signal.SIGKILL)
    server.start()
    assert other.receive_end().count(b'"body":"once"') in range(4)  # not all were so quick
    back = server.program().log_in("bot").join("lobby")
    stranger = server.program().register("stranger").join("lobby")
    for op, fields in SAYING.items():
        assert back.call(op, **fields, txn=f"{op}-1")["message_id"] == ids[op]
        third = back.call(op, **fields, txn=f"{op}-3")["message_id"]
        assert back.call(op, **fields, txn=f"{op}-3")["message_id"] == third > ids[op]
        assert stranger.call(op, **fields, txn=f"{op}-1")["message_id"] > third
    with server.database() as database:
        counts = database.execute("SELECT count(*) FROM messages GROUP BY user_id ORDER BY user_id")
        assert counts.fetchall() == [(9,), (3,)]


class _Listener(FakeClient):
    """A program that keeps the ids of what it hears; what is replayed is kept apart."""

    def __init__(self) -> None:
        super().__init__()
        self.rooms_max = 100
        self.render = self.render_ids
        self.live: list[int] = []

    @staticmethod
    def render_ids(event: RoomEvent) -> bytes:
        return b"%d " % event.id if isinstance(event, protocol.Said) else b""

    def send(self, data: bytes) -> bool:
        self.live += map(int, data.split())
        return True


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, new_database: Path) -> Iterator[House]:
    """A house with a short memory: each way to find what was missed is soon taken."""
    with pytest.MonkeyPatch.context() as patch:
        hash_quickly(patch)
        patch.setattr(rooms, "RECENT_MESSAGES_MAX", 4)
        patch.setattr(rooms, "SINCE_MESSAGES_MAX", 10)
        house = House(tmp_path_factory.mktemp("house"), new_database, history_replay=2)
        for name in ("talker", "back"):
            house.leave(house.register(name))
        yield house
        house.close()


def _page_on(house: House, session: Session, room: str, since: int, count: int) -> list[int]:
    """Return the ids after `since`, as history has them."""
    paged, has_more = [], True
    while has_more:
        after = paged[-1] if paged else since
        page = house.do(session, protocol.History(room=room, after=after, count=count))
        paged += [said.id for said in page.messages]
        has_more = page.has_more
    return paged


_rooms = itertools.count()


def _begin(house: House) -> tuple[str, Session, Session]:
    """Return a new room, somebody who talks there, and somebody who comes back to it."""
    room = f"room{next(_rooms)}"
    talker, back = (house.log_in(name, _Listener()) for name in ("talker", "back"))
    house.do(talker, Join(room))
    return room, talker, back


# An id that is newer than all of a room is of another room, or of a time that was lost.
def test_since_an_id_of_another_room(house: House) -> None:
    room, talker, back = _begin(house)
    house.say(talker, room, "here")
    house.do(talker, Join(f"not-{room}"))
    house.say(talker, f"not-{room}", "elsewhere")
    since = talker.rooms[f"not-{room}"].head_id
    assert not house.do(back, Join(room, since)).is_complete


# What is said at that moment does not push out of memory what one is about to be replayed.
@pytest.mark.parametrize("missed", range(6))
def test_what_is_said_at_that_moment(house: House, missed: int) -> None:
    room, talker, back = _begin(house)
    house.say(talker, room, *"12345")
    since = talker.rooms[room].head_id
    house.say(talker, room, *["x"] * missed)
    house.do(talker, protocol.Say("at that moment", room=room))
    entered = house.do(back, Join(room, since))
    house.service.journal.settle(talker)
    seen = [said.id for said in entered.messages] + back.client.live
    assert (entered.is_complete, len(seen), seen) == (True, missed + 1, sorted(seen))
    for session in (talker, back):
        house.leave(session)


# However much was missed, and however much is said while one comes back: by the replay, or by
# history where it was not whole, and live from there, one has all of it, once and in order.
@settings(max_examples=25)
@given(st.integers(0, 16), st.integers(0, 16), st.integers(0, 16), st.integers(0, 5))
def test_no_gap_and_nothing_twice(house, before: int, missed: int, during: int, pause: int) -> None:
    room, talker, back = _begin(house)

    def talk(count: int) -> None:
        for _ in range(count):
            house.do(talker, protocol.Say("x", room=room))
            gevent.sleep(0.001 * (pause % 3))

    talk(before)
    house.service.journal.settle(talker)
    since = talker.rooms[room].head_id
    talk(missed)
    other = gevent.spawn(talk, during)
    gevent.sleep(0.001 * pause)
    entered = house.do(back, Join(room, since))
    seen = [said.id for said in entered.messages]
    if not entered.is_complete:
        seen = _page_on(house, back, room, since, count=3)
    other.join()
    house.service.journal.settle(talker)
    newest_seen = seen[-1] if seen else since
    seen += [message_id for message_id in back.client.live if message_id > newest_seen]
    stored = _page_on(house, back, room, 0, count=100)
    assert seen == [message_id for message_id in stored if message_id > since]
    assert len(stored) == before + missed + during
    if entered.is_complete:
        assert not set(back.client.live) & {said.id for said in entered.messages}
    for session in (talker, back):
        house.leave(session)
