"""The oracle: what was seen and acknowledged, held against what the database has.

What it promises to notice:
  1. Something that anybody saw, or that was acknowledged, is not in the database.
  2. A room's messages came in another order than history has, twice, or not at all, to anybody
     who was there or came back with `since`.
  3. Something is stored twice, or though its sender was told that it is not.
  4. Something that was in the database is no more, or ids do not rise.
  5. At the end, letters are left for devices that had emptied their mailboxes.
  6. A file that was acknowledged is not there, or other bytes are.

It reads the database beside the server, with a connection that can't write.
"""

import asyncio
import hashlib
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

from app.values import times
from tests.fire.chaos.rooms import Stored, short
from tests.kit.databases import check_whole, file_bytes
from tests.kit.replay import check_logs_of_file

BUSY_SECONDS_MAX = 10
MESSAGES_READ_MAX = 200_000  # at once: far more than are said between two looks
FAULTS_KEPT_MAX = 200  # what comes after that is only counted

_NEWER = (
    "SELECT messages.id, rooms.name, body FROM messages JOIN rooms ON rooms.id = room_id"
    " WHERE messages.id > ? ORDER BY messages.id LIMIT ?"
)
_TOTALS = (
    "SELECT count(*), coalesce(sum(id), 0) FROM messages WHERE id <= ? AND room_id IS NOT NULL"
)


_LETTERS = "SELECT count(*) FROM to_device WHERE body IS NOT NULL"

Rooms = Mapping[str, Stored]


class Shared(NamedTuple):
    """A file that was acknowledged."""

    size: int
    sha256: str


class Found(NamedTuple):
    """What was read of the database at one time."""

    messages: list[tuple[int, str, str]]
    count: int  # of the messages that were known before
    sum_of_ids: int  # likewise
    files: dict[int, Shared]
    sums: dict[int, str]  # of the bytes of those that were not looked at before


class Observer(Protocol):
    """One of those who talk."""

    def take(self) -> Callable[[Rooms], Iterator[str]]:
        """Return what finds the faults in what it saw up to now, given all rooms by then."""


@dataclass
class Violation:
    """A promise that was broken."""

    cycle: int
    disturbance: str
    sentence: str


@dataclass
class Counts:
    """How much there was of everything."""

    said: int = 0
    acknowledged: int = 0
    seen: int = 0
    refused: int = 0
    retried: int = 0
    incomplete: int = 0  # returns that were told to page through history
    files_shared: int = 0
    files_fetched: int = 0
    arrivals: int = 0  # of clients in their rooms, again and again


@dataclass
class Oracle:
    """See the promises at the top of this file."""

    database: Path
    counts: Counts = field(default_factory=Counts)
    violations: list[Violation] = field(default_factory=list)
    violations_count: int = 0
    notes: list[str] = field(default_factory=list)  # what a person may want to know
    cycle: int = 0
    disturbance: str = "the beginning"

    def __post_init__(self) -> None:
        self.rooms: defaultdict[str, Stored] = defaultdict(Stored)
        self._room_of: dict[str, str] = {}  # by body
        self._acknowledged: list[tuple[str, int, str]] = []
        self._refused: list[str] = []
        self._files: dict[int, Shared] = {}
        self._looked_at: set[int] = set()
        self._last_id = self._count = self._sum_of_ids = 0

    def violate(self, sentence: str) -> None:
        """Write down that a promise was broken."""
        self.violations_count += 1
        if len(self.violations) < FAULTS_KEPT_MAX:
            self.violations.append(Violation(self.cycle, self.disturbance, sentence))

    def acknowledge(self, room: str, message_id: int, body: str) -> None:
        """Remember that a sender was told: it is stored."""
        self.counts.acknowledged += 1
        self._acknowledged.append((room, message_id, body))

    def refuse(self, body: str) -> None:
        """Remember that a sender was told of what it had sent once: it is not stored."""
        self._refused.append(body)

    def share(self, file_id: int, size: int, sha256: str) -> None:
        """Remember that a file was acknowledged."""
        self.counts.files_shared += 1
        self._files[file_id] = Shared(size, sha256)

    def unshare(self, file_id: int) -> None:
        """Remember that somebody is about to take a file back."""
        self._files.pop(file_id, None)
        self._looked_at.discard(file_id)

    def shared(self, file_id: int) -> Shared | None:
        """Return a file that was acknowledged, if nobody is about to take it back."""
        return self._files.get(file_id)

    async def learn(self) -> None:
        """Read what is stored by now; what was seen is compared with it later."""
        self._learn(await asyncio.to_thread(self._read, []))

    async def look(self, observers: Iterable[Observer]) -> None:
        """Compare. What comes while the database is read is left for the next time."""
        acknowledged, self._acknowledged = self._acknowledged, []
        refused, self._refused = self._refused, []
        files = dict(self._files)
        finders = [observer.take() for observer in observers]
        new_files = [file_id for file_id in files if file_id not in self._looked_at]
        found = await asyncio.to_thread(self._read, new_files)
        self._learn(found)
        for room, message_id, body in acknowledged:
            if not self._has(room, message_id, body):
                self.violate(f"acknowledged, but not stored: {message_id} {short(body)} in {room}")
        for body in refused:
            if body in self._room_of:
                self.violate(f"stored, though its sender was told otherwise: {short(body)}")
        self._look_at_files(files, found)
        for find in finders:
            for fault in find(self.rooms):
                self.violate(fault)

    def _has(self, room: str, message_id: int, body: str) -> bool:
        stored = self.rooms[room]
        place = stored.places.get(body)
        return place is not None and stored.ids[place] == message_id

    def _read(self, new_files: list[int]) -> Found:
        uri = f"{self.database.as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS_MAX)) as connection:
            count, sum_of_ids = connection.execute(_TOTALS, [self._last_id]).fetchone()
            messages = connection.execute(_NEWER, [self._last_id, MESSAGES_READ_MAX]).fetchall()
            whole = "SELECT id, size, sha256 FROM files WHERE sha256 IS NOT NULL"
            files = {
                file_id: Shared(size, sha256.hex())
                for file_id, size, sha256 in connection.execute(whole).fetchall()
            }
            sums = {file_id: _sum(connection, file_id) for file_id in new_files}
        return Found(messages, count, sum_of_ids, files, sums)

    def _learn(self, found: Found) -> None:
        if (found.count, found.sum_of_ids) != (self._count, self._sum_of_ids):
            self.violate(f"there were {self._count} messages, of which {found.count} are left")
        self._count, self._sum_of_ids = found.count, found.sum_of_ids
        for message_id, room, body in found.messages:
            if body in self._room_of:
                self.violate(f"stored twice: {short(body)}")
            self._room_of[body] = room
            self.rooms[room].add(message_id, body)
            self._last_id = message_id
            self._count += 1
            self._sum_of_ids += message_id

    def _look_at_files(self, files: dict[int, Shared], found: Found) -> None:
        for file_id, shared in files.items():
            if file_id not in self._files:
                continue  # it was taken back meanwhile
            if found.files.get(file_id) != shared:
                self.violate(f"file {file_id} was acknowledged, and is not there")
            elif found.sums.get(file_id, shared.sha256) != shared.sha256:
                self.violate(f"file {file_id} has other bytes than its sum says")
            self._looked_at.add(file_id)

    def check_integrity(self) -> None:
        """Let SQLite look at every page, and replay the logs. Blocks; the server has ended."""
        with closing(sqlite3.connect(self.database)) as connection:
            try:
                check_whole(connection)
                check_logs_of_file(self.database, times.now(), is_whole=False)
            except AssertionError as error:
                self.violate(str(error))
            (letters,) = connection.execute(_LETTERS).fetchone()
        if letters:
            self.violate(f"{letters} letters are left in mailboxes that were emptied")


def _sum(connection: sqlite3.Connection, file_id: int) -> str:
    return hashlib.sha256(file_bytes(connection, file_id)).hexdigest()
