"""Files on their way to or from the database, in chunks.

Every chunk is a transaction of its own. Only one of them at a time is on its way to the writer's
thread, and one from a reader's. So a message waits for one chunk at most, however many files are
under way, and memory holds one chunk for each. A file that is not completed is discarded; one that
a crash leaves behind is found at the next start. One that is being sent to another server is not
taken for such a rest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import structlog
from gevent.event import Event as Signal
from gevent.lock import Semaphore

from app.bounds import FILE_CHUNK_BYTES, FILE_REAP_SECONDS, FILES_A_USER_MAX, ID_MAX
from app.errors import Remedy, TooLarge, Unavailable
from app.measures import metrics
from app.queries import files as queries
from app.queries import locks
from app.queries.files import NewFile, QuotaExceededError, TooManyFilesError
from app.values.times import DAY_MILLISECONDS

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from app.database.database import Work
    from app.engine.kit import Kit


Result = TypeVar("Result")

log = structlog.get_logger()


class Incoming:
    """A file of which a part is stored. All methods switch; they raise TooLarge and NotStored."""

    def __init__(self, transfers: Transfers, file_id: int) -> None:
        self.file_id = file_id
        self.size = 0
        self.is_complete = False
        self._transfers = transfers
        self._reserved = 0
        self._chunks = 0
        self._sha256 = hashlib.sha256()

    def reserve(self, size: int) -> None:
        """Make sure that the file may have that many bytes."""
        self._transfers.reserve(self.file_id, size)
        self._reserved = size

    def add(self, data: bytes) -> None:
        """Keep the next chunk. Each but the last has FILE_CHUNK_BYTES, so that any can be found."""
        if self.size + len(data) > self._reserved:
            self.reserve(self.size + len(data))
        file_id, place = self.file_id, self._chunks
        self._transfers.write(
            lambda connection: queries.add_chunk(connection, file_id, place, data)
        )
        self._sha256.update(data)
        self.size += len(data)
        metrics.FILE_BYTES_IN.inc(len(data))
        self._chunks += 1

    def complete(self, now: int) -> queries.StoredFile:
        """Complete the file as of `now`, so that it is found; return it. Switches."""
        stored = self._transfers.write(lambda connection: self.write_complete(connection, now))
        self.is_complete = True
        return stored

    def write_complete(self, connection: Connection, now: int) -> queries.StoredFile:
        """Do so in a transaction; the caller sets `is_complete` when it is committed."""
        queries.complete(connection, self.file_id, self.size, self._sha256.digest(), now)
        stored = queries.find(connection, self.file_id)
        assert stored is not None  # noqa: S101 (a file under way is removed by no other)
        return stored


class Transfers:
    """The bytes of all files."""

    def __init__(self, kit: Kit) -> None:
        self._database, self._journal, self._clock = kit.database, kit.journal, kit.clock
        self._bytes_max = kit.settings.file_bytes_max
        self._quota_bytes = kit.settings.file_quota_bytes
        self._days_max = kit.settings.file_days_max
        self._under_way: set[int] = set()  # files that are not complete yet
        self._writing = Semaphore()
        self._reading = Semaphore()
        self._is_stopping = Signal()

    @contextmanager
    def incoming(self, new: NewFile) -> Iterator[Incoming]:
        """Give a file that comes in; unless it is completed, all of it is discarded. Switches.

        Raises TooLarge when its user has too many.
        """
        now = self._clock()
        try:
            file_id = self.write(lambda connection: queries.begin(connection, new, now))
        except TooManyFilesError as error:
            raise _too_many_files() from error
        self._under_way.add(file_id)
        incoming = Incoming(self, file_id)
        try:
            yield incoming
        finally:
            self._under_way.discard(file_id)
            if not incoming.is_complete:
                self._remove_or_leave(file_id)

    def outgoing(self, file_id: int, first: int = 0) -> Iterator[bytes]:
        """Yield a file's chunks from byte `first` on, while it exists. Switches.

        Raises NotStored.
        """
        place, skipped = divmod(first, FILE_CHUNK_BYTES)
        while data := self._read(file_id, place)[skipped:]:
            metrics.FILE_BYTES_OUT.inc(len(data))
            yield data
            place, skipped = place + 1, 0

    def check_size(self, size: int) -> None:
        """Raise TooLarge when no file may have so many bytes."""
        if size > self._bytes_max:
            raise TooLarge(f"a file has at most {self._bytes_max} bytes")

    def check_count(self, user_id: int) -> None:
        """Raise TooLarge when a user has the most files allowed. Switches."""
        if self._database.read(lambda connection: queries.has_as_many(connection, user_id)):
            raise _too_many_files()

    def reserve(self, file_id: int, size: int) -> None:
        """Count a file's size against its user's quota. Switches. Raises TooLarge, NotStored."""
        self.check_size(size)
        quota = self._quota_bytes
        try:
            self.write(lambda connection: queries.reserve(connection, file_id, size, quota))
        except QuotaExceededError as error:
            raise TooLarge(
                f"your files have at most {quota} bytes together",
                code="over_quota",
                remedy=Remedy("unshare"),
            ) from error

    def write(self, work: Work[Result]) -> Result:
        """Run short work in the writer's thread, one at a time. Switches.

        Raises NotStored, and Unavailable at shutdown.
        """
        with self._writing:
            self._journal.wait_for_room()
            return self._database.write(work)

    def _read(self, file_id: int, place: int) -> bytes:
        with self._reading:
            data = self._database.read(lambda connection: queries.chunk(connection, file_id, place))
        return data or b""

    def discard(self, file_id: int, made_before: int = ID_MAX) -> None:
        """Remove a file made before then, unless it is under way. Switches. Raises Unavailable."""
        if file_id not in self._under_way and self.write(
            lambda connection: queries.withdraw_due(connection, file_id, made_before)
        ):
            self.remove(file_id)

    def withdraw(self, file_id: int) -> None:
        """End a file: it is found no longer. Switches. Raises Unavailable."""
        self.write(lambda connection: queries.withdraw(connection, file_id))

    def remove(self, file_id: int) -> None:
        """Remove the chunks of an ended file. Switches. Raises Unavailable."""
        while not self.write(lambda connection: queries.remove_some(connection, file_id)):
            pass

    def _remove_or_leave(self, file_id: int) -> None:
        """Remove a file's chunks, if that is possible; else it is done later. Switches."""
        try:
            self.write(lambda connection: locks.let_file_go(connection, file_id))
            self.remove(file_id)
        except Unavailable as refusal:
            log.warning("left a part of a file behind", file=file_id, reason=str(refusal))

    def run(self) -> None:
        """Remove old files and those of a crash, until `stop`. Switches."""
        is_over = False
        while not is_over:
            try:
                self.reap()
            except Unavailable as refusal:
                log.warning("old files not removed", reason=str(refusal))
            is_over = self._is_stopping.wait(FILE_REAP_SECONDS)

    def stop(self) -> None:
        """Make `run` return after its current work. Never switches."""
        self._is_stopping.set()

    def reap(self) -> None:
        """Remove old files, and those that were left behind. Switches. Raises Unavailable."""
        made_before = self._clock() - self._days_max * DAY_MILLISECONDS
        due = self._database.read(lambda connection: queries.due(connection, made_before))
        for file_id in due:
            self.discard(file_id, made_before)


def _too_many_files() -> TooLarge:
    return TooLarge(
        f"you share {FILES_A_USER_MAX} files, as many as anybody may",
        code="over_quota",
        remedy=Remedy("unshare"),
    )
