"""Tickets: the right to send or to fetch one file, once, for a while. Kept in memory alone.

A user who asks in the chat is given a token of 256 random bits. A client that brings it over HTTP
has the right. It is used up when an upload begins, or when a download was taken whole. The ticket
is looked at until the transfer ends: a user who loses the right loses it at once.

Beyond the bounds, the user who holds most loses first, so that no crowd of accounts keeps a
stranger out.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from app.bounds import (
    TICKET_SECONDS_MAX,
    TICKETS_A_USER_MAX,
    TICKETS_MAX,
    TRANSFER_SECONDS_GRANTED,
    TRANSFERS_A_USER_MAX,
    TRANSFERS_MAX,
)
from app.engine.limits import Shares
from app.errors import Forbidden, NotPossible, Unavailable
from app.measures import metrics

if TYPE_CHECKING:
    from app.engine.client import Clock
    from app.engine.presence import User
    from app.queries.accounts import Account
    from app.queries.files import StoredFile


@dataclass(eq=False, slots=True, kw_only=True)
class Ticket:
    """A right of `user`. They lose it when they are sent out of its room or the server."""

    user: User
    room_id: int | None
    expires_at: int = 0
    is_revoked: bool = False
    is_crowded_out: bool = False
    is_used_up: Callable[[], bool] = lambda: False  # called when a client brings the token

    def check(self) -> None:
        """Raise Refusal when the right is gone, or the transfer makes way."""
        if self.is_crowded_out:
            raise _too_many()
        if self.is_revoked:
            raise Forbidden("you were sent out or muted meanwhile", code="sent_out")


@dataclass(eq=False, slots=True, kw_only=True)
class UploadTicket(Ticket):
    """The right to share a file; `size` in bytes, or None.

    An encrypted one (`e2ee`) has no name.
    """

    name: str
    e2ee: bool = False
    recipient: Account | None
    size: int | None


@dataclass(eq=False, slots=True, kw_only=True)
class DownloadTicket(Ticket):
    """The right to fetch a file."""

    file: StoredFile


Kind = TypeVar("Kind", bound=Ticket)


@dataclass
class Tickets:
    """All tickets: those that wait for their transfer, by digest and by age, and those in use."""

    clock: Clock
    _waiting: dict[bytes, Ticket] = field(default_factory=dict)
    _in_use: dict[Ticket, int] = field(default_factory=dict)  # and since when, in milliseconds UTC
    _waiting_of: Shares[bytes] = field(default_factory=Shares)  # by user id
    _in_use_of: Shares[Ticket] = field(default_factory=Shares)

    def __post_init__(self) -> None:
        metrics.show_kept("tickets", lambda: len(self._waiting))
        metrics.show_kept("transfers", lambda: len(self._in_use))

    def issue(self, ticket: Ticket) -> str:
        """Keep a new ticket, and return its token.

        Beyond the bound of a user, their oldest ticket is lost; beyond the bound of all, the oldest
        of the user who has most.
        """
        self._forget_expired()
        self._forget_used_up(list(self._waiting_of.of(ticket.user.id)))
        mine = self._waiting_of.of(ticket.user.id)
        if len(mine) >= TICKETS_A_USER_MAX:
            self._forget(mine[0])
        elif len(self._waiting) >= TICKETS_MAX:
            most = self._waiting_of.largest()
            self._forget(mine[0] if len(mine) >= len(most) else most[0])
        token = secrets.token_urlsafe(32)
        ticket.expires_at = self.clock() + TICKET_SECONDS_MAX * 1000
        self._waiting[_digest(token)] = ticket
        self._waiting_of.add(ticket.user.id, _digest(token))
        return token

    def _forget(self, digest: bytes) -> None:
        self._waiting_of.remove(self._waiting.pop(digest).user.id, digest)

    def find(self, token: str, kind: type[Kind]) -> Kind:
        """Return the ticket of a token. Raises NotPossible: unknown, used, expired or revoked."""
        self._forget_used_up([_digest(token)])
        ticket = self._waiting.get(_digest(token))
        if not isinstance(ticket, kind) or ticket.expires_at <= self.clock():
            raise NotPossible(
                "there is nothing at this address; ask for a new one", code="no_such_transfer"
            )
        return ticket

    @contextmanager
    def using(self, token: str, kind: type[Kind]) -> Iterator[Kind]:
        """Hold the ticket of a token during its transfer. Raises Refusal.

        That uses up the right to send a file. The right to fetch one is kept until its ticket is
        used up, so that a transfer that was broken off can go on.
        """
        ticket = self.find(token, kind)
        if ticket in self._in_use:
            raise Unavailable(
                "somebody is fetching from this address; try again in a minute", code="busy"
            )
        with self.holding(ticket):
            ticket.is_crowded_out = False  # of an earlier transfer
            if not isinstance(ticket, DownloadTicket):
                self._forget(_digest(token))
            yield ticket

    @contextmanager
    def holding(self, ticket: Ticket) -> Iterator[None]:
        """Hold a ticket that needs no token during its transfer. Raises Unavailable."""
        user_id = ticket.user.id
        mine = len(self._in_use_of.of(user_id))
        if mine >= TRANSFERS_A_USER_MAX:
            raise _too_many()
        if len(self._in_use) >= TRANSFERS_MAX:
            self._make_way(mine)
        self._in_use[ticket] = self.clock()
        self._in_use_of.add(user_id, ticket)
        try:
            yield
        finally:
            self._end(ticket)

    def _make_way(self, mine: int) -> None:
        """End a transfer for a user with `mine` under way. Raises Unavailable.

        It is the newest one of the user with most. Where that would make nothing fairer, it is the
        oldest of all, if it had its time and the new user has none.
        """
        most = self._in_use_of.largest()
        oldest, since = next(iter(self._in_use.items()))
        if len(most) > mine + 1:
            losing = most[-1]
        elif not mine and self.clock() - since >= TRANSFER_SECONDS_GRANTED * 1000:
            losing = oldest
        else:
            raise _too_many()
        losing.is_crowded_out = True
        self._end(losing)

    def _end(self, ticket: Ticket) -> None:
        self._in_use.pop(ticket, None)
        self._in_use_of.remove(ticket.user.id, ticket)

    def revoke(self, room_id: int, user_id: int) -> None:
        """Take all rights in a room from a user, also those in use."""
        self._revoke(lambda ticket: (ticket.room_id, ticket.user.id) == (room_id, user_id))

    def revoke_of_all(self, room_id: int) -> None:
        """Take all rights in a room from all users."""
        self._revoke(lambda ticket: ticket.room_id == room_id)

    def revoke_everywhere(self, user_id: int) -> None:
        """Take all rights from a user."""
        self._revoke(lambda ticket: ticket.user.id == user_id)

    def revoke_uploads(self, user_id: int) -> None:
        """Take from a user the rights to share files."""
        self._revoke(lambda ticket: ticket.user.id == user_id and isinstance(ticket, UploadTicket))

    def _revoke(self, is_meant: Callable[[Ticket], bool]) -> None:
        for digest, ticket in list(self._waiting.items()):
            if is_meant(ticket):
                self._forget(digest)
        for ticket in filter(is_meant, self._in_use):
            ticket.is_revoked = True

    def _forget_used_up(self, digests: Iterable[bytes]) -> None:
        for digest in digests:
            if digest in self._waiting and self._waiting[digest].is_used_up():
                self._forget(digest)

    def _forget_expired(self) -> None:
        now = self.clock()
        for digest, ticket in list(self._waiting.items()):
            if ticket.expires_at > now:
                return  # so are all later ones
            self._forget(digest)


def _too_many() -> Unavailable:
    return Unavailable("too many files are under way; try again in a minute", code="busy")


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="replace")).digest()
