"""A live room: who is in it, who hears it, its newest messages, and who may do what there.

`present` says who is in it as of what was asked; `readers` follows as the journal releases it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from gevent.lock import RLock

from app.bounds import REPLAY_BYTES_MAX
from app.errors import Forbidden, NotPossible
from app.protocol import moderation, talk
from app.queries.rooms import SanctionKind, StoredRoom

if TYPE_CHECKING:
    from app.engine.recent import Recent
    from app.engine.session import Render, Send, Session, User


def first_that_fit(messages: Sequence[talk.Message]) -> Sequence[talk.Message]:
    """Return the first messages, as many as may be shown at once, but one at least."""
    sizes = accumulate(said.size_bytes for said in messages)
    count = sum(size <= REPLAY_BYTES_MAX for size in sizes)
    return messages[: max(1, count)]


def newest_that_fit(messages: Sequence[talk.Message]) -> Sequence[talk.Message]:
    """Return the last messages, as many as may be shown at once, but one at least."""
    return first_that_fit(messages[::-1])[::-1]


class Ranks:
    """The rooms that people are in, in order: the busiest first, then by name.

    They are kept so, since there may be many, and anybody may ask for a page of them.
    """

    def __init__(self) -> None:
        self._in_order: list[tuple[int, str]] = []
        self._of: dict[Room, tuple[int, str]] = {}

    def note(self, room: Room) -> None:
        """Put a room where it belongs, as of who is in it now and what it is called."""
        rank, before = (-len(room.present), room.key), self._of.get(room)
        if rank == before:
            return
        if before is not None:
            del self._of[room], self._in_order[bisect_left(self._in_order, before)]
        if room.present:
            self._of[room] = rank
            insort(self._in_order, rank)

    def keys_behind(self, people: int, key: str, count: int) -> list[str]:
        """Return the keys of the next rooms behind one with so many people; of 0, the first."""
        first = bisect_right(self._in_order, (-people, key)) if people else 0
        return [each for _, each in self._in_order[first : first + count]]


class Room:
    """A live room. Roles, bans and mutes are by user id, as they are in the database."""

    def __init__(self, key: str, stored: StoredRoom, recent: Recent) -> None:
        self.key = key
        self.id = stored.id
        self.name = stored.name
        self.topic = stored.topic
        self.owner_id = stored.owner_id
        self.moderator_ids = stored.moderator_ids
        self.sanctions = stored.sanctions
        self.recent = recent
        self.present: dict[User, int] = {}  # the number of each user's sessions
        self.ranks: Ranks | None = None  # among which it stands, while it is live
        self.readers: dict[Render, dict[Session, Send]] = {}
        self.is_lagging = False  # most readers had not read all that came before the last batch
        self.visits = 0  # of sessions whose departure is not released yet
        self.holds = 0  # on it, by who enters it or decides about it: see Rooms.holding
        self.deciding = RLock()
        self.is_gone = False  # it was deleted, and another may have its name
        self.roster = stored.roster  # who belongs to it, if it is encrypted
        self.is_being_encrypted = False  # it has no roster yet, and what is said is refused
        self.leaving: set[int] = set()  # who belongs to it, and is about to do so no more

    @property
    def is_deserted(self) -> bool:
        """Whether everybody has left, as of what was released, and nobody holds it."""
        return not (self.visits or self.holds)

    def role_of(self, user_id: int, *, is_admin: bool = False) -> str:
        """Return "admin", "owner", "moderator" or "": the highest that applies here."""
        if is_admin:
            return "admin"
        if user_id == self.owner_id:
            return "owner"
        return "moderator" if user_id in self.moderator_ids else ""

    def sanction(self, kind: SanctionKind, user_id: int, now: int) -> moderation.Sanction | None:
        """Return the ban or mute on a user that is in force."""
        sanction = self.sanctions[kind].get(user_id)
        return None if sanction is None or sanction.is_over(now) else sanction

    def check_is_there(self) -> None:
        """Raise NotPossible when the room was deleted."""
        if self.is_gone:
            raise NotPossible(f"there is no room {self.name}", code="no_such_room")

    def check_may_enter(self, user: User, now: int) -> None:
        """Raise Forbidden when the user is banned, NotPossible when the room was deleted."""
        self.check_is_there()
        ban = self.sanction("ban", user.id, now)
        if ban is not None:
            raise Forbidden(f"you are banned from {self.name}{ban.terms}", code="banned")

    def check_may_speak(self, user: User, now: int) -> None:
        """Raise Forbidden when the user is muted."""
        mute = self.sanction("mute", user.id, now)
        if mute is not None:
            raise Forbidden(f"you are muted in {self.name}{mute.terms}", code="muted")

    def away_of(self, user: User, now: int) -> str | None:
        """Return why a user is away; no word of it when they are muted here. None: they are not."""
        return user.away and ("" if self.sanction("mute", user.id, now) else user.away)

    @property
    def is_encrypted(self) -> bool:
        """Whether nothing may be said in the clear."""
        return self.roster is not None or self.is_being_encrypted

    def check_takes_plaintext(self) -> None:
        """Raise Forbidden when the room is encrypted."""
        if self.is_encrypted:
            raise Forbidden(
                f"{self.name} is encrypted; open it with: manage.py chat", code="e2ee_required"
            )

    def lacks(self, user: User) -> bool:
        """Whether a user has to become a member before they may enter."""
        if self.roster is None:
            return self.is_being_encrypted
        return user.id not in self.roster.members or user.id in self.leaving

    def has_member(self, user_id: int) -> bool:
        """Whether a user belongs to the room although they may not be there: it is encrypted."""
        return self.roster is not None and user_id in self.roster.members

    def sessions_of(self, user: User) -> list[Session]:
        """Return the user's sessions that are in the room."""
        return [session for session in user.sessions if session.rooms.get(self.key) is self]

    def everybody(self) -> list[Session]:
        """Return all sessions that are in the room."""
        return [session for user in self.present for session in self.sessions_of(user)]

    def take(self, session: Session) -> bool:
        """Take a session in among those present, and say whether it is its user's first one."""
        user = session.speaker
        session.rooms[self.key] = self
        self.present[user] = self.present.get(user, 0) + 1
        self.note_rank()
        return self.present[user] == 1

    def drop(self, session: Session) -> bool:
        """Take a session out of those present, and say whether it was its user's last one."""
        del session.rooms[self.key]
        user = session.speaker
        self.present[user] -= 1
        if self.present[user]:
            return False
        del self.present[user]
        self.note_rank()
        return True

    def note_rank(self) -> None:
        """Stand where it belongs among all rooms, when somebody came or went, or it was renamed."""
        if self.ranks is not None:
            self.ranks.note(self)


def not_encrypted(room: Room) -> NotPossible:
    """Return the refusal of what is encrypted, where all is in the clear."""
    return NotPossible(f"{room.name} is not encrypted; /encrypt it first", code="not_e2ee")
