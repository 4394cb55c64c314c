"""Deleting accounts: by the operator, or by their users, who give their password again.

Deletion is for good, and the name is never given again. Messages and files stay under the name,
unless they are purged. A room of the user goes to a moderator. A room without moderators has no
owner, and admins see to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from app.engine import apply, server_facts
from app.engine.entries import Decision
from app.errors import LoginRefused
from app.protocol.accounts import AccountDeleted, EndedByDeletion, Unregister, UserDelete
from app.queries import accounts as accounts_queries
from app.queries import audit
from app.queries import deletion as queries
from app.queries.audit import Act

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from app.chat.accounts.accounts import Accounts
    from app.chat.accounts.endings import Endings
    from app.chat.devices.devices import Devices
    from app.chat.rooms.rooms import Rooms
    from app.engine.delivery import Delivery
    from app.engine.facts import Fact, Stream
    from app.engine.kit import Handlers, Kit
    from app.engine.presence import Session
    from app.engine.server_bans import InForce
    from app.queries.accounts import Account
    from app.queries.deletion import Left


class Deletion:
    """Deletes accounts. All methods switch, and raise Refusal."""

    def __init__(
        self,
        kit: Kit,
        accounts: Accounts,
        rooms: Rooms,
        in_force: InForce,
        devices: Devices,
        endings: Endings,
    ) -> None:
        self._acts, self._journal = kit.acts, kit.journal
        self._clock, self._end = kit.clock, kit.end
        self._accounts = accounts
        self._rooms = rooms
        self._in_force = in_force
        self._devices = devices
        self._endings = endings

    def handlers(self) -> Handlers:
        """Return the method that carries out each command."""
        return {
            UserDelete: self.delete,
            Unregister: self.delete_own,
        }

    def delete(self, session: Session, command: UserDelete) -> None:
        """Delete an account, as the operator."""
        account = self._accounts.find(command.user)
        self._delete(session, account, session.client.show, AccountDeleted(account.name))

    def delete_own(self, session: Session, command: Unregister) -> None:
        """Delete a session's own account, if the password is right."""
        account = self._accounts.confirmed(session, command.password)
        last_words = AccountDeleted(account.name, is_own=True)
        self._delete(session, account, partial(self._end, session), last_words)

    def _delete(
        self,
        session: Session,
        account: Account,
        show: Callable[[AccountDeleted], None],
        done: AccountDeleted,
    ) -> None:
        """Delete an account; its rights end and its rooms change in one atomic stretch.

        Switches. Raises Refusal.
        """
        facts: list[tuple[Stream, Fact]] = []
        act = Act(self._clock(), session.speaker.name, "delete user", account.name, "", "")

        def check(connection: Connection) -> None:
            if not accounts_queries.has_hash(connection, account.id, account.password_hash):
                raise LoginRefused("the account was changed meanwhile; log in again")

        def work(connection: Connection) -> None:
            self._acts.check(connection, session, check)
            rooms_left = queries.delete_account(connection, account.id, act.done_at)
            audit.record(connection, act)
            for room_id, left in rooms_left:
                of_room = _facts(account, left, act.actor)
                if room_id in live:
                    facts.extend((live[room_id], fact) for fact in of_room)
                else:
                    for fact in of_room:
                        fact.record(connection, room_id, act.done_at)
            facts.append((self._in_force, server_facts.AccountEnded(account.id)))

        def end(_delivery: Delivery) -> None:
            self._endings.end(account.id, EndedByDeletion(), spared=session)
            show(done)

        with self._rooms.loading_none() as rooms:
            session.check_is_here()  # again: the session had to wait
            live = {room.id: room for room in rooms}
            decision = Decision(session, facts, work, act.done_at, first=end)
            self._journal.carry(decision)
        self._devices.note_deletion(account)


def _facts(account: Account, left: Left, by: str) -> Iterator[Fact]:
    """Yield what the deletion of an account does to a room."""
    yield apply.AccountRemoved(account.id)
    if left.was_member:
        yield apply.MemberRemoved(account.id, account.name)
    if left.heir is not None:
        yield apply.OwnerSet(left.heir.id, left.heir.name, by)
