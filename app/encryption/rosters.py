"""Know a room's members, and which may have its keys. Pure.

Members who are there at our first look are accepted. Later ones wait until the person accepts them,
and wait again after they were gone: the server can't add a reader. A room that was seen encrypted
stays so for good. A private conversation is a room of its two users; no server can change them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.encryption.payloads import parse_answer, user_key
from app.encryption.refusals import Downgraded, NotAMember, NotEncrypted
from app.protocol.signed import Shape, UserKey

if TYPE_CHECKING:
    from app.encryption.store import Json, KeyStore


class RosterAnswer(Shape):
    """The server's answer about a room. `e2ee_from` is the id of its last message in the clear."""

    rev: int
    e2ee: bool
    e2ee_from: int = 0
    members: list[str]


@dataclass(frozen=True)
class Roster:
    """A room as it was last seen."""

    rev: int | None
    members: frozenset[UserKey]
    accepted: frozenset[UserKey]

    @property
    def waiting(self) -> list[UserKey]:
        """The members who may not read yet what we send."""
        return sorted(self.members - self.accepted)


class Rosters:
    """The rooms that were seen encrypted."""

    def __init__(self, store: KeyStore) -> None:
        self._store = store
        self._fresh: dict[str, Roster] = {}

    def is_encrypted(self, room: str) -> bool:
        """Return whether a room was ever seen encrypted. `room` may be a private conversation."""
        return self._store.get("room", room) is not None

    def is_known(self, room: str) -> bool:
        """Return whether a room's members were ever seen. Then later ones have to wait."""
        row = self._store.get("room", room)
        return row is not None and row["accepted"] is not None

    def encrypted_from(self, room: str) -> int:
        """Return the last id that may be in the clear.

        It is 0 for a room that was never seen encrypted.
        """
        row = self._store.get("room", room)
        return int(row["e2ee_from"] or 0) if row else 0

    def find(self, room: str) -> Roster | None:
        """Return a room's roster. None if it has to be asked for."""
        if room.startswith("@"):
            users = frozenset(room[1:].split(","))
            return Roster(None, users, users)
        return self._fresh.get(room)

    def doubt(self, room: str | None = None) -> None:
        """Forget a room's roster, so that it is asked for.

        Without a room, forget each. The accepted members stay stored.
        """
        if room is None:
            self._fresh.clear()
        else:
            self._fresh.pop(room, None)

    def observe(self, room: str, answer: Json, me: str) -> Roster:
        """Take in the server's answer about a room.

        `me` is our user. Raises Downgraded, NotEncrypted, Malformed.
        """
        said = parse_answer(RosterAnswer, {k: answer.get(k, 0) for k in _FIELDS}, "a roster")
        row = self._store.get("room", room)
        if not said.e2ee:
            raise Downgraded(room=room) if row else NotEncrypted(room=room)
        members = frozenset(user_key(name) for name in said.members) | {me}
        was_accepted = set(row["accepted"]) if row and self.is_known(room) else members
        roster = Roster(said.rev, members, members & was_accepted)
        known = row["e2ee_from"] if row else None
        self._keep(room, roster, said.e2ee_from if known is None else known)
        return roster

    def pin(self, room: str, before_id: int) -> None:
        """Note that a message of a room was encrypted.

        From that id on the room counts as encrypted, whatever the server says. `before_id` is the
        id of that message.
        """
        row = self._store.get("room", room) or {"e2ee_from": before_id, "accepted": None}
        if row["e2ee_from"] is None or row["e2ee_from"] >= before_id:
            with self._store.transaction():
                self._store.put("room", room, {**row, "e2ee_from": max(0, before_id - 1)})

    def remember(self, rooms: set[str]) -> None:
        """Note rooms that other keys of ours have seen encrypted.

        From which message on is not known.
        """
        with self._store.transaction():
            for room in sorted(rooms):
                if not self.is_encrypted(room):
                    self._store.put("room", room, {"e2ee_from": None, "accepted": None})

    def accept(self, room: str, users: set[str]) -> Roster:
        """Accept members: they may read from now on. Raises NotAMember."""
        roster = self.find(room)
        if roster is None or not users <= roster.members:
            raise NotAMember(user=", ".join(sorted(users)), room=room)
        accepted = Roster(roster.rev, roster.members, roster.accepted | users)
        self._keep(room, accepted, self.encrypted_from(room))
        return accepted

    def _keep(self, room: str, roster: Roster, e2ee_from: int) -> None:
        with self._store.transaction():
            row = {"e2ee_from": e2ee_from, "accepted": sorted(roster.accepted)}
            self._store.put("room", room, row)
        self._fresh[room] = roster


_FIELDS = tuple(RosterAnswer.model_fields)
