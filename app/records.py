"""What lists have of each person, room, file, account and so on. Plain data."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.errors import Code
from app.signed import Signed
from app.times import Milliseconds, minute


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody who can log in, unless the account is disabled, as a deleted one is for good."""

    name: str
    is_admin: bool
    is_disabled: bool
    made_at: Milliseconds
    is_deleted: bool = False


@dataclass(frozen=True, slots=True)
class RoomRecord:
    """A room as it is kept, and how many are in it; `retention_days` is None by default.

    It has no `owner` when that account was deleted, and no moderator was there to have it.
    """

    name: str
    owner: str
    users: int
    topic: str
    made_at: Milliseconds
    retention_days: int | None
    e2ee: bool = False


@dataclass(frozen=True, slots=True)
class Connection:
    """Somebody who is connected; `user` is None before login. Numbers rise, and are not reused.

    `is_this` is the one that asked.
    """

    number: int
    user: str | None
    address: str
    wire: str
    rooms: Sequence[str]
    unread_bytes: int
    connected_at: Milliseconds
    is_this: bool = False


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody in a room; `away` is why they are away."""

    name: str
    role: str
    away: str | None


@dataclass(frozen=True, slots=True)
class RoomSummary:
    """A room and how many are in it."""

    name: str
    users: int
    topic: str


@dataclass(frozen=True, slots=True)
class Sanction:
    """A ban or a mute; `until` is when it ends, None for never."""

    user: str
    by: str
    reason: str
    until: Milliseconds | None

    def is_over(self, now: int) -> bool:
        """Whether its time has passed."""
        return self.until is not None and self.until <= now

    @property
    def terms(self) -> str:
        """Until when it holds, and why: " until 2026-11-22 14:02 UTC (reason)"."""
        until = "" if self.until is None else f" until {minute(self.until)} UTC"
        return until + (f" ({self.reason})" if self.reason else "")


@dataclass(frozen=True, slots=True)
class ServerSanction(Sanction):
    """One on the whole server: of a `user`, or of a `network` of addresses; the other is empty."""

    network: str = ""


@dataclass(frozen=True, slots=True)
class Token:
    """What logs in as its user without a password; the secret itself is shown but once."""

    number: int
    label: str
    made_at: Milliseconds
    used_at: Milliseconds


@dataclass(frozen=True, slots=True)
class SharedFile:
    """A file; `recipient` is who alone may have it, if it is not its room's.

    What is called one that its sender encrypted, only devices know.
    """

    id: int
    name: str
    size: int
    sha256: str
    user: str
    recipient: str | None
    at: Milliseconds
    e2ee: bool = False


@dataclass(frozen=True, slots=True)
class RoomRetention:
    """For how many days the messages of a room are kept; 0: for ever."""

    name: str
    days: int


@dataclass(frozen=True, slots=True)
class UserDevices:
    """A user's list of devices, None when there is none, and what devices say of themselves."""

    manifest: Signed | None
    devices: Sequence[Signed]


@dataclass(frozen=True, slots=True)
class ClaimedKey:
    """A key to begin a conversation with a device."""

    user: str
    device: str
    key: Signed


@dataclass(frozen=True, slots=True)
class OutOfReach:
    """A device for which nothing could be done, and why."""

    user: str
    device: str
    error: Code


@dataclass(frozen=True, slots=True)
class DeviceMail:
    """What a device of a user said to the reader's; `n` rises from item to item."""

    n: int
    user: str
    device: str
    body: str
