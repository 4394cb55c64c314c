"""Chaos: a short run of it, and that its oracle sees what it is there to see."""

import io
import itertools
import json
import multiprocessing
import socket
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import gevent
import pytest
from rich.console import Console

from tests.fire.chaos.circle import Circle
from tests.fire.chaos.kind import run_chaos
from tests.fire.chaos.plan import Plan
from tests.fire.chaos.rooms import Stored, Track, Visit
from tests.fire.chaos.run import Options
from tests.fire.chaos.server import ChaosServer
from tests.fire.chaos.trends import Sample, faults
from tests.kit.canary import ANSWER_SECONDS_MAX, Line, Ping
from tests.kit.cores import Starved
from tests.kit.hub_judge import HubJudge
from tests.kit.hub_watch import BlockRecorder


@pytest.fixture
def stored() -> Stored:
    """A room with four messages."""
    room = Stored()
    for message_id, body in ((3, "a"), (4, "b"), (7, "c"), (9, "d")):
        room.add(message_id, body)
    return room


def _followed(*seen: tuple[int, str]) -> Track:
    track = Track()
    track.begin_at(3)
    for message_id, body in seen:
        track.see(message_id, body)
    return track


# Everybody talks while the server is killed, and at last told to stop: nothing of it is lost, and
# what was encrypted is read.
def test_a_short_run_finds_nothing() -> None:
    told = io.StringIO()
    options = Options(
        seconds=0, seed=8, clients=20, messages_a_second=100, confidants=3, only=("SIGKILL",)
    )
    run = run_chaos(options, Console(file=told))
    assert run.oracle.violations_count == 0, told.getvalue()
    assert run.kills == 1
    assert run.oracle.counts.files_shared
    assert run.canary.pings
    assert run.circle.read_count > run.circle.said_count > 0


# A server that does not start again is the worst that can be found. It is told of as anything else,
# and what it left is kept.
def test_a_server_that_does_not_start_again_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def end_and_spoil(server: ChaosServer, _signal: int) -> int:
        server.kill()
        server.database_path.write_bytes(b"no database any more")
        return 0

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(ChaosServer, "ended", end_and_spoil)
    told = io.StringIO()
    options = Options(seconds=0, seed=8, clients=6, confidants=0, only=("SIGKILL",))
    run = run_chaos(options, Console(file=told))
    assert [(each.cycle, each.disturbance) for each in run.oracle.violations] == [(1, "SIGKILL")]
    assert "the server did not start" in run.oracle.violations[0].sentence
    assert f"the database and the log are in {run.folder}" in told.getvalue()
    assert [*run.folder.rglob("greenroom.db")]
    assert run.server.log


# The order of the seed has each disturbance once before any comes again, and is the same again.
def test_each_disturbance_comes_once_before_any_comes_again() -> None:
    plan = Plan(7, (), has_disk=True)
    names = [step.disturbance.name for step in itertools.islice(plan.storm(), 40)]
    assert sorted(names[: len(plan.names)]) == sorted(plan.names)
    again = Plan(7, (), has_disk=True).storm()
    assert [step.disturbance.name for step in itertools.islice(again, 40)] == names


# Who silently gets nothing more is behind, though nothing that they saw is wrong.
def test_the_oracle_sees_who_gets_nothing_more(stored: Stored) -> None:
    assert _followed((4, "b"), (7, "c")).is_behind(stored)
    assert not _followed((4, "b"), (7, "c"), (9, "d")).is_behind(stored)
    visit = Visit()
    assert visit.is_behind(stored)
    visit.see("c", is_live=True)
    assert visit.is_behind(stored)
    for body in ("d", "said later"):
        visit.see(body, is_live=True)
        assert not visit.is_behind(stored)


# Who saw all of a room, from where they began on, has nothing to complain of; not the second time.
def test_the_oracle_is_content_with_all_of_a_room(stored: Stored) -> None:
    track = _followed((4, "b"), (7, "c"))
    assert list(track.take()(stored)) == []
    track.see(9, "d")
    assert list(track.take()(stored)) == []


# The oracle names each way in which what a program saw of a room can differ from what is stored.
@pytest.mark.parametrize(
    ("seen", "said"),
    [
        ([(4, "b"), (9, "d")], "missed 1 messages, first 7 c"),
        ([(4, "b"), (7, "c"), (7, "c")], "saw 1 messages twice"),
        ([(7, "c"), (4, "b")], "saw ids in another order than they rise"),
        ([(4, "b"), (8, "x")], "saw 1 messages that are not in the database, first 8 x"),
        ([(4, "c")], "saw 1 messages again, or under another id, first 4 c"),
        ([(3, "a"), (4, "b")], "saw 1 messages again, or under another id, first 3 a"),
    ],
)
def test_the_oracle_sees_what_a_program_missed(
    stored: Stored, seen: list[tuple[int, str]], said: str
) -> None:
    assert said in list(_followed(*seen).take()(stored))


# What came live while a program paged through history is seen once.
def test_a_program_that_pages_sees_each_message_once(stored: Stored) -> None:
    track = _followed()
    track.put_aside()
    track.see(7, "c")
    track.see(9, "d")
    track.page([(4, "b"), (7, "c")])
    track.go_on(is_paged=True)
    assert list(track.take()(stored)) == []
    assert track.last_id == 9


# A person sees no ids; the oracle sees a line that is left out, made up, or live a second time.
@pytest.mark.parametrize(
    ("lines", "live_from", "is_content"),
    [
        ([(False, "a"), (False, "b"), (True, "c")], 2, True),
        ([(False, "a"), (True, "c")], 0, False),
        ([(True, "x")], 0, False),
        ([(True, "b")], 2, False),
    ],
)
def test_the_oracle_sees_what_a_person_missed(
    stored: Stored, lines: list[tuple[bool, str]], live_from: int, is_content: bool
) -> None:
    visit = Visit()
    for is_live, body in lines:
        visit.see(body, is_live=is_live)
    assert (list(visit.take()(stored, live_from)) == []) == is_content


# Of an encrypted room it sees what is read as something else, by another, or twice; what was
# refused, and is there all the same; and what did not go out.
@pytest.mark.parametrize(
    ("happen", "said"),
    [
        (lambda circle: circle.read("bob", "alice", "hello", 7), []),
        (lambda circle: circle.read("bob", "bob", "hello", 7), ["did not say: hello"]),
        (lambda circle: circle.read("bob", "alice", "hello", 8), ["message 8 to bob, and was 7"]),
        (lambda circle: circle.read("bob", "alice", "bye", 7), ["bye to bob, and was hello"]),
        (lambda circle: circle.read("bob", "alice", "no", 8), ["told is not stored: no"]),
        (lambda circle: circle.give_up(circle.owed), ["alice could not say later"]),
    ],
)
def test_the_oracle_sees_what_devices_read(
    happen: Callable[[Circle], None], said: list[str]
) -> None:
    complaints: list[str] = []
    circle = Circle(["alice", "bob"], complaints.append)
    for text in ("hello", "bye", "no", "later"):
        circle.say("alice", text)
    circle.acknowledge("hello", 7)
    circle.refuse("no")
    circle.owe("hello")
    circle.owe("later")
    happen(circle)
    assert len(complaints) == len(said)
    assert all(part in each for part, each in zip(said, complaints, strict=True))


# A figure that grows a little all the time is told of; one that jumps about, or grew once, is not.
def test_only_what_grows_all_the_time_is_a_leak() -> None:
    def samples(descriptors: list[float]) -> list[Sample]:
        return [Sample(n * 5.0, 50e6, each, 10) for n, each in enumerate(descriptors)]

    assert list(faults(samples([20 + n for n in range(20)])))
    assert not list(faults(samples([20, 90, 21, 20, 70, 20, 19, 20, 21, 20, 60, 20, 20, 21, 20])))
    assert not list(faults(samples([20] * 7 + [23] * 8)))


# A late answer counts, but not for what the machine made everybody wait, nor while it is excused.
def test_a_late_answer_counts_unless_there_was_no_core(tmp_path: Path) -> None:
    pings = [Ping(10, 0.3, 0.29), Ping(20, 0.3, 0.0)]
    judge = HubJudge(tmp_path, lambda: pings)
    judge.excuse(19.9, 20.1)
    assert list(judge.faults(2)) == []
    pings.append(Ping(30, 0.3, 0.1))
    assert len(list(judge.faults(2))) == 1


# Nor does a block, unless the hub itself had the core: then no other thread's wait excuses it.
def test_a_hub_that_computes_is_not_excused_by_who_waits(tmp_path: Path) -> None:
    path = tmp_path / "blocks"
    judge = HubJudge(tmp_path, list)
    block = {"at": 10, "seconds": 0.3, "collecting_seconds": 0, "stack": ["x"]}
    waited = {**block, "ran_seconds": 0.02, "starved_seconds": 0.25}
    computed = {**block, "ran_seconds": 0.29, "starved_seconds": 0.25}
    path.write_text(json.dumps(waited) + "\n")
    assert list(judge.long_blocks()) == []
    path.write_text("\n".join(map(json.dumps, [waited, computed])) + "\n")
    assert len(list(judge.long_blocks())) == 1


def _block_and_record(path: Path) -> None:
    """Keep the hub for 0.3 s: first without a core, then with one all the time."""
    BlockRecorder(path)
    for clock in (time.monotonic, time.thread_time):
        gevent.sleep(0.05)
        gevent.spawn(_hold, clock).join()


def _hold(clock: Callable[[], float]) -> None:
    ends = clock() + 0.3
    while clock() < ends:
        if clock is time.monotonic:
            time.sleep(0.01)


# For how long the hub itself had a core is written down with each block, and where it was.
def test_a_block_says_how_long_the_hub_had_a_core(tmp_path: Path) -> None:
    path = tmp_path / "blocks"
    process = multiprocessing.get_context("spawn").Process(target=_block_and_record, args=(path,))
    process.start()
    process.join()
    blocks = [json.loads(line) for line in path.read_text().splitlines()]
    ran = [block["ran_seconds"] for block in blocks]
    assert ran[0] < 0.1 < ran[-1]
    assert all(block["stack"][-1].endswith("in _hold") for block in blocks)


# Of all that the canary is told only the answer to its ping is one, and only if it says so.
def test_what_is_no_answer_is_not_taken_for_one() -> None:
    ours, theirs = socket.socketpair()
    with closing(Line(ours)) as line, theirs:
        theirs.sendall(b'{"event":"notice","id":1}\n{"id":1,"ok":true}\n')
        assert line.ask([], "ping").seconds < ANSWER_SECONDS_MAX
        theirs.sendall(b'{"id":1,"ok":true}\n{"id":2,"ok":false,"error":"busy"}\n')
        with pytest.raises(ConnectionAbortedError, match="busy"):
            line.ask([], "ping")
        theirs.sendall(b'{"id":2,"ok":true}\n{"id":3,"ok')
        theirs.shutdown(socket.SHUT_WR)
        with pytest.raises(ConnectionResetError):
            line.ask([], "ping")


# A canary that does not ping is told of, but not for the time that is excused.
def test_a_canary_that_is_silent_is_told_of(tmp_path: Path) -> None:
    pings: list[Ping] = []
    judge = HubJudge(tmp_path, lambda: pings)
    judge.excuse(0, 100)
    assert list(judge.faults(104)) == []
    assert len(list(judge.faults(106))) == 1
    pings += [Ping(106 + n / 10, 0.001, 0.0) for n in range(60)]
    assert list(judge.faults(112)) == []
    judge.excuse(112, 130)
    assert list(judge.faults(134)) == []


# Threads that wait together excuse no more than one of them; none excuses more than went by.
def test_threads_that_wait_together_excuse_one_wait() -> None:
    before = Starved(10.0, ({"1": 1.0, "2": 5.0, "3": 0.0}, {"9": 2.0}), (0.0, 0.0))
    after = Starved(10.3, ({"1": 1.05, "2": 5.05, "3": 0.05}, {"9": 2.01}), (0.0, 0.0))
    assert before.until(after) == pytest.approx(0.06)
    assert before.until(after._replace(stolen_seconds=(1.0, 0.0))) == pytest.approx(0.3)
