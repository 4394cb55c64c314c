"""Removing what is left of deleted rooms, in the background: a little at a time.

Whatever others write comes in between. What a crash or a full disk leaves is removed later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import gevent
import structlog
from gevent.event import Event as Signal

from app.errors import Unavailable
from app.settings import REMOVAL_PAUSE_SECONDS, REMOVAL_RETRY_SECONDS
from app.store import files as files_store
from app.store import rooms as store

if TYPE_CHECKING:
    from app.chat.transfers import Transfers
    from app.store.database import Database

log = structlog.get_logger()


class Removal:
    """The rooms that are to be removed."""

    def __init__(self, database: Database, transfers: Transfers) -> None:
        """Begin with those that were left when the server ended. Switches."""
        self._database = database
        self._transfers = transfers
        self._room_ids = list(database.read(store.given_up))
        self._has_work = Signal()
        self._is_stopping = Signal()
        if self._room_ids:
            self._has_work.set()

    def begin(self, room_id: int) -> None:
        """Remove a room soon. Nobody can be in it, and nothing said there is not stored yet."""
        self._room_ids.append(room_id)
        self._has_work.set()

    def run(self) -> None:
        """Remove, until `stop`, all that there is to remove. Switches."""
        while self._has_work.wait() and not self._is_stopping.is_set():
            try:
                self._remove(self._room_ids[0])
            except Unavailable as refusal:
                log.warning("a deleted room is not removed yet", reason=str(refusal))
                self._is_stopping.wait(REMOVAL_RETRY_SECONDS)
            else:
                self._note_removed()

    def stop(self) -> None:
        """Let `run` return, when it has done what it is at. Never switches."""
        self._is_stopping.set()
        self._has_work.set()

    def _note_removed(self) -> None:
        if self._is_stopping.is_set():
            return
        del self._room_ids[0]
        if not self._room_ids:
            self._has_work.clear()

    def _remove(self, room_id: int) -> None:
        """Remove a room, but what `stop` leaves. Switches. Raises Unavailable."""
        for file_id in self._database.read(lambda each: files_store.of_room(each, room_id)):
            self._transfers.remove(file_id)
        while not self._is_stopping.is_set():
            if self._database.write(lambda connection: store.remove_some(connection, room_id)):
                return
            gevent.sleep(REMOVAL_PAUSE_SECONDS)
