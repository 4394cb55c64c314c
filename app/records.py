"""What admins are shown of each account, room and session, in lists of them. Plain data."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.times import Milliseconds


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody who can log in, unless the account is disabled."""

    name: str
    is_admin: bool
    is_disabled: bool
    made_at: Milliseconds


@dataclass(frozen=True, slots=True)
class RoomRecord:
    """A room as it is kept, and how many are in it; `retention_days` is None by default."""

    name: str
    owner: str
    users: int
    topic: str
    made_at: Milliseconds
    retention_days: int | None


@dataclass(frozen=True, slots=True)
class Connection:
    """Somebody who is connected; `user` is None before login. Numbers rise, and are not reused."""

    number: int
    user: str | None
    address: str
    wire: str
    rooms: Sequence[str]
    unread_bytes: int
    connected_at: Milliseconds
