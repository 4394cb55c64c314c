"""Chaos: a short run of it, and that its oracle sees what it is there to see."""

import re
import subprocess
import sys

import pytest

from tests.chaos.canary import Ping
from tests.chaos.hub import HubWatch
from tests.chaos.rooms import Stored, Track, Visit
from tests.chaos.trends import Sample, faults
from tests.server_process import ROOT

RUN_SECONDS_MAX = 90  # on a busy machine


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


# Everybody talks while the server is killed and told to stop, and nothing of it is lost.
def test_a_short_run_finds_nothing() -> None:
    arguments = ["--seconds", "4", "--seed", "8", "--clients", "30", "--rate", "100"]
    arguments += ["--only", "SIGKILL", "--only", "SIGTERM"]
    command = [sys.executable, "-m", "tests.chaos", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=RUN_SECONDS_MAX, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^kills +[1-9]", done.stdout, re.MULTILINE), done.stdout
    assert "\n0 violations" in done.stdout


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


# A figure that grows a little all the time is told of; one that jumps about, or grew once, is not.
def test_only_what_grows_all_the_time_is_a_leak() -> None:
    def samples(descriptors: list[float]) -> list[Sample]:
        return [Sample(n * 5.0, 50e6, each, 10) for n, each in enumerate(descriptors)]

    assert list(faults(samples([20 + n for n in range(20)])))
    assert not list(faults(samples([20, 90, 21, 20, 70, 20, 19, 20, 21, 20, 60, 20, 20, 21, 20])))
    assert not list(faults(samples([20] * 7 + [23] * 8)))


# A late answer counts, but not for what the machine made everybody wait, nor while it is excused.
def test_a_late_answer_counts_unless_there_was_no_core(tmp_path) -> None:
    pings = [Ping(10, 0.3, 0.29), Ping(20, 0.3, 0.0)]
    watch = HubWatch(tmp_path / "blocks", pings)
    watch.excuse(19.9, 20.1)
    assert list(watch.faults()) == []
    pings.append(Ping(30, 0.3, 0.1))
    assert len(list(watch.faults())) == 1
