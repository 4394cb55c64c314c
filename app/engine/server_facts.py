"""Facts about the server: bans and mutes, accounts, announcements. See engine/facts.py.

Only bans and mutes are in memory. What else these say is in the tables, and sessions that it
touches are ended or changed where it is released.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.engine.facts import Fact
from app.engine.server_bans import key_of
from app.protocol.moderation import ServerSanction

if TYPE_CHECKING:
    from app.engine.server_bans import InForce
    from app.queries.rooms import SanctionKind


@dataclass(slots=True)
class ServerFact(Fact):
    """A fact that changes nothing in the server's memory, unless it says so."""

    def apply(self, in_force: InForce) -> None:
        """See Fact."""


@dataclass(slots=True)
class Sanctioned(ServerFact):
    """A user or a network was banned or muted, until a time, in milliseconds UTC, or for good."""

    kind: SanctionKind
    user_id: int | None
    user: str
    network: str
    by: str
    reason: str
    made_at: int
    until: int | None

    @property
    def terms(self) -> ServerSanction:
        """The ban or mute, as it is shown."""
        return ServerSanction(self.user, self.by, self.reason, self.until, self.network)

    def apply(self, in_force: InForce) -> None:
        """See Fact."""
        key = key_of(self.user_id, self.network)
        in_force.put(self.kind, key, self.terms, self.made_at)


@dataclass(slots=True)
class Lifted(ServerFact):
    """A ban or a mute ended before its time."""

    kind: SanctionKind
    user_id: int | None
    network: str

    def apply(self, in_force: InForce) -> None:
        """See Fact."""
        in_force.remove(self.kind, key_of(self.user_id, self.network))


@dataclass(slots=True)
class AccountEnded(ServerFact):
    """An account was deleted, and its bans and mutes with it."""

    user_id: int

    def apply(self, in_force: InForce) -> None:
        """See Fact."""
        in_force.forget(self.user_id)


@dataclass(slots=True)
class AdminSet(ServerFact):
    """A user became an admin, or is none any longer."""

    user_id: int
    is_admin: bool


@dataclass(slots=True)
class EnabledSet(ServerFact):
    """An account was disabled, or enabled again."""

    user_id: int
    is_enabled: bool


@dataclass(slots=True)
class PasswordSet(ServerFact):
    """An account has another password, and its tokens are no longer good."""

    user_id: int


@dataclass(slots=True)
class ServerKicked(ServerFact):
    """The sessions of a user, or from a network, were ended."""

    user_id: int | None
    network: str
    reason: str


@dataclass(slots=True)
class Announced(ServerFact):
    """A text was shown to all who are here."""

    text: str


@dataclass(slots=True)
class RetentionSet(ServerFact):
    """A room's messages are kept for other days; None: for the server's default."""

    room_id: int
    days: int | None
