"""The scenes that Greenroom plays alone: logins, idle sessions, and a start on a large database.

No peer has an account, a password or a history to compare. Each scene runs a server of its own, and
raises BenchError (or OSError) when it cannot be measured.
"""

import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from itertools import chain
from pathlib import Path

from dialects import Exchange, Greenroom
from generator import Crowd
from loads import Figures, Steady
from meter import Meter
from peers import Server, served
from process import BenchError

LOGINS = 300
LOGINS_IN_FLIGHT = 20
PROBES_PER_SECOND = 100
PROBES_MAX = 12_000  # two minutes of them: logins that take longer are a failure
IDLE_WARM_UP = 20  # sessions before the first look at the memory: code and hasher are loaded then
MESSAGES_AT_START = 1_000_000
LAST_BODY = "this was the last of them"
MS_PER_SECOND = 1_000

HouseScene = Callable[[Server, int], Figures]  # the server and its core

_greenroom = Greenroom()


def house_scenes(idle_sessions: int) -> dict[str, HouseScene]:
    """Return the scenes by name, in order."""
    return {"logins": logins, "idle": partial(idle, sessions=idle_sessions), "start": start}


def logins(server: Server, core: int) -> Figures:
    """Log 300 accounts in, 20 at a time, while two others talk: what it costs the two."""
    accounts = [f"visitor{number}" for number in range(LOGINS)]
    with served(server, core) as (process, crowd):
        for client in crowd.log_in(accounts, _greenroom.hello):
            crowd.hang_up(client)
        couple = crowd.log_in(["speaker", "listener"], _greenroom.hello)
        crowd.join(couple, "probe")
        crowd.settle()
        talk = Steady(crowd, [(couple[0], "probe")], len(couple), PROBES_PER_SECOND, PROBES_MAX)
        meter = Meter(process)
        for account in accounts:
            crowd.ask(crowd.connect(account), _greenroom.login(account))
            _talk_on(talk, crowd, LOGINS_IN_FLIGHT - 1)
        _talk_on(talk, crowd, 0)
        usage = meter.stop()
        talk.finish()
    return {"logins_per_second": LOGINS / usage.wall_seconds} | talk.figures() | usage.shares()


def _talk_on(talk: Steady, crowd: Crowd, unanswered_max: int) -> None:
    """Let the talk go on until no more than `unanswered_max` logins are under way."""
    while crowd.unanswered > unanswered_max:
        if talk.is_spent:
            raise BenchError(f"logins took more than {PROBES_MAX / PROBES_PER_SECOND:.0f} s")
        talk.step()


def idle(server: Server, core: int, sessions: int) -> Figures:
    """Log `sessions` accounts in, and leave them: the memory each takes."""
    with served(server, core) as (process, crowd):
        crowd.log_in((f"early{number}" for number in range(IDLE_WARM_UP)), _greenroom.hello)
        crowd.settle()
        before_bytes = process.rss_bytes()
        meter = Meter(process)
        crowd.log_in((f"idler{number}" for number in range(sessions)), _greenroom.hello)
        usage = meter.stop()
        crowd.settle()
        after_bytes = process.rss_bytes()
    return {
        "rss_per_session_bytes": (after_bytes - before_bytes) / sessions,
        "sessions": sessions,
        "rss_before_bytes": before_bytes,
        "rss_after_bytes": after_bytes,
        "registrations_per_second": sessions / usage.wall_seconds,
    }


def start(server: Server, core: int) -> Figures:
    """Start on a database of a million messages (which the page cache still holds), and join."""
    with tempfile.TemporaryDirectory(prefix="greenroom-bench-") as name:
        folder = Path(name)
        make_room(server, core, folder)
        fill_room(folder / "greenroom.db")
        began = time.monotonic()
        with (
            server.started(core, folder) as process,
            Crowd(_greenroom, process.accepting_port()) as crowd,
        ):
            visitor = crowd.connect("visitor")
            crowd.ask(visitor, Exchange(b"", b"login: "))
            crowd.await_answers()
            prompted = time.monotonic()
            crowd.ask(visitor, _greenroom.hello(visitor.name))
            crowd.await_answers()
            asked = time.monotonic()
            crowd.ask(visitor, Exchange(b"/join big\n", LAST_BODY.encode()))
            crowd.await_answers()
            replayed = time.monotonic()
            rss_bytes = process.rss_bytes()
            server.check_exit(process.stop())
    return {
        "exec_to_prompt_ms": (prompted - began) * MS_PER_SECOND,
        "join_to_replayed_ms": (replayed - asked) * MS_PER_SECOND,
        "messages": MESSAGES_AT_START,
        "rss_bytes": rss_bytes,
    }


def make_room(server: Server, core: int, folder: Path) -> None:
    """Let the server make its tables, an account and a room, and end."""
    with (
        server.started(core, folder) as process,
        Crowd(_greenroom, process.accepting_port()) as crowd,
    ):
        crowd.join(crowd.log_in(["owner"], _greenroom.hello), "big")
        server.check_exit(process.stop())


def fill_room(database: Path) -> None:
    """Write a million messages of the owner into the room: a second apart, up to now."""
    now_ms = time.time_ns() // 1_000_000
    bodies = (f"message {number} of a long history" for number in range(1, MESSAGES_AT_START))
    with closing(sqlite3.connect(database)) as connection, connection:
        [(room, owner)] = connection.execute(
            "SELECT rooms.id, users.id FROM rooms, users"
            " WHERE rooms.name = 'big' AND users.name = 'owner'"
        )
        connection.executemany(
            "INSERT INTO messages (room_id, user_id, is_action, body, said_at)"
            " VALUES (?, ?, FALSE, ?, ?)",
            (
                (room, owner, body, now_ms - (MESSAGES_AT_START - number) * MS_PER_SECOND)
                for number, body in enumerate(chain(bodies, [LAST_BODY]))
            ),
        )
