"""Greenroom's own scenes that need no more than clients: a storm of logins, and a long history.

No peer has a password to hash or a message to page back to. Each scene runs a server of its own,
and raises BenchError (or OSError) when it cannot be measured.
"""

import random
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path
from statistics import median, quantiles

from accounts import DATABASE, NS_PER_MS, give_tokens, make_accounts, token_of
from couple import Couple
from dialects import Exchange, Greenroom, Ndjson
from generator import Client, Crowd, Door
from loads import Figures
from peers import Server, served
from process import ServerProcess
from scale import Scale

LAST_BODY = "this was the last of them"
OWNER = "owner"
ROOM = "big"
PAGE = 100  # messages
MS_PER_SECOND = 1_000

_greenroom = Greenroom()
_ndjson = Ndjson()


def logins(server: Server, core: int, scale: Scale) -> Figures:
    """Log many in by password, all at once, while two others talk: what it costs the two."""
    names = [f"visitor{number}" for number in range(scale.logins)]
    with served(server, core) as (process, crowd):
        couple = Couple(process, crowd)
        make_accounts(process.folder, names, password_of="speaker")
        for visitor in [crowd.connect(name) for name in names]:
            crowd.ask(visitor, _greenroom.login(visitor.name))
        figures = couple.talk_while(lambda: crowd.unanswered > 0)
    return {"logins_per_second": scale.logins / figures["seconds"]} | figures


def million(server: Server, core: int, scale: Scale) -> Figures:
    """Start on a long history (which the page cache still holds), join, and page back in it."""
    with tempfile.TemporaryDirectory(prefix="greenroom-bench-") as name:
        folder = Path(name)
        make_room(server, core, folder)
        fill_room(folder, scale.stored_messages)
        began = time.monotonic()
        with (
            server.started(core, folder) as process,
            Crowd(server.door, process.accepting_port()) as crowd,
        ):
            figures = _come_in(crowd, began) | {"messages": scale.stored_messages}
            figures["rss_bytes"] = process.rss_bytes()
            figures |= _page(process, crowd, scale)
            server.check_exit(process.stop())
    return figures


def _come_in(crowd: Crowd, began: float) -> Figures:
    """Return how long it took until the prompt, and then to see the end of the room's replay."""
    visitor = crowd.connect("visitor")
    crowd.ask(visitor, Exchange(b"", b"login: "))
    crowd.await_answers()
    prompted = time.monotonic()
    crowd.ask(visitor, _greenroom.hello(visitor.name))
    crowd.await_answers()
    asked = time.monotonic()
    crowd.ask(visitor, Exchange(f"/join {ROOM}\n".encode(), LAST_BODY.encode()))
    crowd.await_answers()
    return {
        "exec_to_prompt_ms": (prompted - began) * MS_PER_SECOND,
        "join_to_replayed_ms": (time.monotonic() - asked) * MS_PER_SECOND,
    }


def _page(process: ServerProcess, crowd: Crowd, scale: Scale) -> Figures:
    """Let a program read pages, one after the other, while two others talk."""
    newest = scale.stored_messages
    pages_back = range(newest, newest - scale.pages * PAGE, -PAGE)
    anywhere = random.Random(0)
    depths = {
        "newest": list(pages_back),
        "oldest": [PAGE * number for number in range(scale.pages, 1, -1)],
        "anywhere": [anywhere.randrange(PAGE, newest) for _ in pages_back],
    }
    [program] = crowd.log_in([OWNER], lambda name: _ndjson.login(token_of(name)), Door(_ndjson))
    crowd.join([program], ROOM)
    reader = PageReader(crowd, program)
    couple, figures = Couple(process, crowd), Figures()
    for depth, before_ids in depths.items():
        reader.begin(before_ids)
        talk = couple.talk_while(reader.is_busy)
        figures[f"page_{depth}_p50_ms"] = median(reader.times_ms)
        figures[f"page_{depth}_p99_ms"] = quantiles(reader.times_ms, n=100)[98]
    return figures | {"pages_per_second": len(reader.times_ms) / talk.pop("seconds")} | talk


class PageReader:
    """A program that asks for a page as soon as it has the one before."""

    def __init__(self, crowd: Crowd, program: Client) -> None:
        self._crowd = crowd
        self._program = program
        self._before_ids: Iterator[int] = iter(())
        self._asked_at = 0.0
        self.times_ms: list[float] = []

    def begin(self, before_ids: list[int]) -> None:
        """Ask for the first of other pages."""
        self._before_ids = iter(before_ids)
        self.times_ms = []
        self._ask(next(self._before_ids))

    def is_busy(self) -> bool:
        """Note a page that has come, and ask for the next; return whether there was one."""
        if self._program.awaited:
            return True
        self.times_ms.append((time.monotonic() - self._asked_at) * MS_PER_SECOND)
        before_id = next(self._before_ids, None)
        if before_id is not None:
            self._ask(before_id)
        return before_id is not None

    def _ask(self, before_id: int) -> None:
        self._asked_at = time.monotonic()
        self._crowd.ask(self._program, _ndjson.page(ROOM, before_id, PAGE))


def make_room(server: Server, core: int, folder: Path) -> None:
    """Let the server make its tables, an account and a room, and end; give the account a token."""
    with (
        server.started(core, folder) as process,
        Crowd(server.door, process.accepting_port()) as crowd,
    ):
        crowd.join(crowd.log_in([OWNER], _greenroom.hello), ROOM)
        server.check_exit(process.stop())
    give_tokens(folder, [OWNER])


def fill_room(folder: Path, messages: int) -> None:
    """Write so many messages of the owner into the room: a second apart, up to now."""
    now_ms = time.time_ns() // NS_PER_MS
    bodies = (f"message {number} of a long history" for number in range(1, messages))
    with closing(sqlite3.connect(folder / DATABASE)) as connection, connection:
        [(room, owner)] = connection.execute(
            "SELECT rooms.id, users.id FROM rooms, users WHERE rooms.name = ? AND users.name = ?",
            (ROOM, OWNER),
        )
        connection.executemany(
            "INSERT INTO messages (room_id, user_id, is_action, body, said_at)"
            " VALUES (?, ?, FALSE, ?, ?)",
            (
                (room, owner, body, now_ms - (messages - number) * MS_PER_SECOND)
                for number, body in enumerate(chain(bodies, [LAST_BODY]))
            ),
        )
