"""The client library's memory, without a socket: nothing twice, nothing missing; when to retry."""

from random import Random

from hypothesis import example, given
from hypothesis import strategies as st

from app.client.resume import Backoff, Event, Rooms

PAGE = 3  # messages of a page of history here


def joined(*, last_id: int, is_complete: bool = True) -> dict:
    return {"room": "lobby", "last_id": last_id, "is_complete": is_complete}


class World:
    """A room at a server, a client's memory of it, and the program that reads what is queued."""

    def __init__(self) -> None:
        self.newest_id = 0
        self.rooms = Rooms()
        self.queue: list[Event] = []
        self.shown: list[int] = []
        self.page: dict | None = None  # history's answer, on its way
        self.rooms.join(0, joined(last_id=0))

    def message(self, message_id: int) -> Event:
        return {"event": "message", "room": "lobby", "id": message_id}

    def put(self, event: Event | None) -> None:
        if event is not None:
            self.queue.append(event)

    def say(self, *, has_space: bool) -> None:
        self.newest_id += 1
        self.put(self.rooms.take(self.message(self.newest_id), has_space=has_space))

    def come_back(self, missed: int, replayed: int, *, is_complete: bool) -> None:
        """Lose the connection, miss messages, and join again; the replay may not be whole."""
        self.newest_id += missed
        ((_, since),) = self.rooms.shown()
        first = since + 1 if is_complete else max(since + 1, self.newest_id - replayed + 1)
        answer = joined(last_id=self.newest_id, is_complete=is_complete)
        self.put(self.rooms.join(since, answer))
        for message_id in range(first, self.newest_id + 1):
            self.put(self.rooms.take(self.message(message_id), has_space=True))

    def ask_history(self) -> None:
        if self.page is None and self.queue and self.queue[0]["event"] == "gap":
            since = self.rooms.ask("lobby")
            last = min(since + PAGE, self.newest_id)
            self.page = {
                "room": "lobby",
                "messages": [self.message(each) for each in range(since + 1, last + 1)],
                "has_more": last < self.newest_id,
                "last_id": last,
            }

    def read(self) -> None:
        """Let the program read what it can: up to a gap, or the answer that fills one."""
        if self.page is not None:
            self.queue[:1] = self.rooms.fill(self.page)
            self.page = None
        while self.queue and self.queue[0]["event"] != "gap":
            self.shown.append(self.queue.pop(0)["id"])


_losses = {"missed": st.integers(0, 8), "replayed": st.integers(0, 4), "is_complete": st.booleans()}
_step = st.one_of(
    st.tuples(st.just("say"), st.fixed_dictionaries({"has_space": st.booleans()})),
    st.tuples(st.just("come_back"), st.fixed_dictionaries(_losses)),
    st.just(("ask_history", {})),
    st.just(("read", {})),
)


# Whatever is lost, cut off or has no space, the program is shown each message once, in order, and
# in the end all of them; also when history's answer is overtaken by a lost connection.
@example(
    [
        ("say", {"has_space": False}),
        ("ask_history", {}),
        ("come_back", {"missed": 1, "replayed": 0, "is_complete": False}),
        ("read", {}),
    ]
)
@given(st.lists(_step, max_size=40))
def test_each_message_is_shown_once_in_order(steps: list[tuple[str, dict]]) -> None:
    world = World()
    for name, arguments in steps:
        getattr(world, name)(**arguments)
        assert world.shown == list(range(1, len(world.shown) + 1))
    while world.queue or world.page:
        world.ask_history()
        world.read()
    assert world.shown == list(range(1, world.newest_id + 1))


# What a server sends twice, or for a room that was left, is not shown.
def test_nothing_is_shown_twice_or_after_leaving() -> None:
    world = World()
    assert world.rooms.take(world.message(7), has_space=True) is not None
    assert world.rooms.take(world.message(7), has_space=True) is None
    world.rooms.leave("lobby")
    assert world.rooms.take(world.message(8), has_space=True) is None


# What was in a room before it was entered is asked for only by who says since when.
def test_what_was_there_before_is_not_asked_for() -> None:
    rooms = Rooms()
    rooms.join(None, joined(last_id=7))
    assert rooms.shown() == [("lobby", 7)]
    assert rooms.take({"room": "lobby", "id": 5}, has_space=True)  # the replay
    assert rooms.shown() == [("lobby", 5)]


# A page of history whose messages are all of people who are ignored is gone past.
def test_a_page_of_what_is_ignored_is_gone_past() -> None:
    rooms = Rooms()
    rooms.join(3, joined(last_id=9, is_complete=False))
    page = {"room": "lobby", "messages": [], "has_more": True, "last_id": 6}
    assert rooms.ask("lobby") == 3
    assert rooms.fill(page) == [{"event": "gap", "room": "lobby"}]
    assert rooms.ask("lobby") == 6


# A gap of a room that was left needs no filling.
def test_the_gap_of_a_room_that_was_left_is_forgotten() -> None:
    world = World()
    assert world.rooms.take(world.message(1), has_space=False) == {"event": "gap", "room": "lobby"}
    world.rooms.leave("lobby")
    assert world.rooms.ask("lobby") is None
    page = {"room": "lobby", "messages": [], "has_more": False, "last_id": 1}
    assert world.rooms.fill(page) == []


class Longest(Random):
    """Draws the most there is."""

    def uniform(self, _low: float, high: float) -> float:
        return high


# The wait doubles up to a bound, and stays there however long the server is away.
def test_the_wait_doubles_up_to_a_bound() -> None:
    backoff = Backoff(seconds_first=1, seconds_max=5, random=Longest())
    assert [backoff.next_seconds() for _ in range(5)] == [1, 2, 4, 5, 5]
    assert {backoff.next_seconds() for _ in range(3_000)} == {5}


# Each wait is drawn from nothing to its bound, so that a herd comes back spread out.
def test_the_wait_is_spread_over_all_of_its_bound() -> None:
    waits = [Backoff(seconds_first=1, random=Random(seed)).next_seconds() for seed in range(200)]
    assert min(waits) < 0.1
    assert max(waits) > 0.9


# A connection that held begins the waits anew; one that was cut at once does not.
def test_a_connection_that_held_begins_the_waits_anew() -> None:
    backoff = Backoff(seconds_first=1, seconds_max=60, random=Longest())
    assert [backoff.next_seconds() for _ in range(3)] == [1, 2, 4]
    backoff.note_connected(seconds=3)
    assert backoff.next_seconds() == 8
    backoff.note_connected(seconds=9)
    assert backoff.next_seconds() == 1
