"""Acts between two users: private messages, away notes, ignoring.

A private message is shown to every session of its recipient when it is released. Without a session,
it waits in the database for the next login. The id up to which a user was shown their messages is
stored right after that message was shown, and after all messages before it were. A crash, or the
end of a connection, in between shows a message twice rather than never.

A mailbox is bounded, for each sender and for all: the fuller it is, the less one sender may leave
there. No stored message is ever removed for that.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from heapq import nsmallest
from typing import TYPE_CHECKING

from app.bounds import (
    IGNORED_A_USER_MAX,
    MAILBOX_MAX,
    MAILBOX_OF_ONE_MAX,
    MAILBOX_PAGE,
    MAILBOX_SHOWN_MAX,
    MAILBOXES_COUNTED_MAX,
)
from app.chat.accounts.accounts import Accounts
from app.chat.talk.messages import check_content
from app.engine.journal import SaidEntry
from app.errors import NotPossible, Remedy, Unavailable
from app.protocol import talk
from app.queries import accounts as accounts_queries
from app.queries import messages as queries
from app.queries.device_mail import share
from app.queries.messages import NewMessage
from app.values.names import harmless

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from app.engine.delivery import Delivery
    from app.engine.kit import Handlers, Kit
    from app.engine.presence import Session, User


class _SaidPrivately(SaidEntry):
    """A message to one user."""

    __slots__ = ("private",)

    said: talk.PrivateMessage

    def __init__(
        self,
        session: Session,
        private: Private,
        said: talk.PrivateMessage,
        message: NewMessage,
    ) -> None:
        super().__init__(session, message, said)
        self.private = private

    def check_again(self) -> None:
        """See Entry."""
        self.sender.check_was_not_sent_away()
        self.sender.check_is_not_muted(self.said.at)

    def release(self, delivery: Delivery) -> None:
        """See Entry."""
        self.private.release(self, delivery)


class Private:
    """Private messages, away notes and ignoring."""

    def __init__(self, kit: Kit, accounts: Accounts) -> None:
        self._database, self._journal, self._clock = kit.database, kit.journal, kit.clock
        self._accounts = accounts
        self._unread: OrderedDict[int, Counter[int]] = OrderedDict()  # by recipient, then sender
        self._head_id = kit.database.read(queries.newest_id)  # up to which they were released
        self._removals = 0  # the journal's number when these were counted

    def handlers(self) -> Handlers:
        """Return the method that carries out each command."""
        return {
            talk.Tell: self.tell,
            talk.Away: self.away,
            talk.Ignore: self.ignore,
            talk.Unignore: self.unignore,
        }

    def tell(self, session: Session, command: talk.Tell) -> None:
        """Send a private message. Switches. Raises Refusal."""
        check_content(command)
        recipient = self._accounts.find(command.user)
        self._check_mailbox(session.speaker, recipient.id, recipient.name)
        self._journal.wait_for_room()
        user, now, txn = session.speaker, self._clock(), command.txn or None
        session.check_may_speak(now)
        said: talk.PrivateMessage
        if command.enc is not None:
            device_id, enc = session.device_or_refuse.device_id, command.enc
            said = talk.PrivatelySaidEncrypted(user.name, recipient.name, device_id, enc, now)
            body = enc.dump()
        else:
            device_id, body = None, harmless(command.body)
            said = talk.PrivatelySaid(user.name, recipient.name, body, now)
        message = NewMessage(None, recipient.id, user.id, False, body, now, txn, device_id)
        self._journal.append(_SaidPrivately(session, self, said, message))

    def _check_mailbox(self, sender: User, recipient_id: int, name: str) -> None:
        """Raise Unavailable when the sender's share of a mailbox is full. Switches, if it counts.

        A sender may exceed it by the number of their sessions: each has one message on its way.
        """
        here = self._accounts.user_here(recipient_id)
        if here is not None and not here.has_mail:
            return
        if self._removals != self._journal.removals:
            self._unread.clear()
            self._removals = self._journal.removals
        counts = self._unread.get(recipient_id)
        if counts is None:
            seen_id = self._journal.seen_id(recipient_id)
            counts = Counter(self._database.read(_unread_reader(recipient_id, seen_id)))
            self._unread[recipient_id] = counts
            if len(self._unread) > MAILBOXES_COUNTED_MAX:
                self._unread.popitem(last=False)
        most = share(MAILBOX_MAX - counts.total(), MAILBOX_OF_ONE_MAX)
        if counts[sender.id] >= most:
            raise Unavailable(
                f"{name} has too much to read already; write again when they have read it",
                code="mailbox_full",
            )

    def release(self, entry: _SaidPrivately, delivery: Delivery) -> None:
        """Show a stored message to its recipient and its sender."""
        said, sender, recipient_id = entry.said, entry.sender, entry.message.recipient_id
        self._head_id = max(self._head_id, said.id)
        recipient = self._accounts.user_here(recipient_id) if recipient_id else None
        if recipient is not None and entry.is_new:
            self._show(recipient, said, delivery)
        if recipient_id is not None and entry.is_new and recipient_id in self._unread:
            self._unread[recipient_id][sender.speaker.id] += 1
        if isinstance(said, talk.PrivatelySaidEncrypted):
            if entry.is_new and recipient is not sender.user:
                _show_own_devices(sender.speaker, said, delivery)
            name, body = said.to, ""
        else:
            name, body = said.recipient, said.body
        delivery.catch_up(sender)
        away = recipient.away if recipient else None
        sender.client.show(talk.PrivatelySent(said.id, name, body, away))

    def _show(self, user: User, said: talk.PrivateMessage, delivery: Delivery) -> None:
        here = [session for session in user.sessions if not session.client.is_closing]
        for session in here:
            if said.user not in session.ignored:
                delivery.catch_up(session)
                delivery.tell(session, said)
        if not here:
            user.has_mail = True
        elif user.has_mail:
            user.shown_early_id = said.id
        else:
            self._journal.note_seen(user.id, said.id)

    def show_mail(self, session: Session) -> None:
        """Show a user at login the messages that wait. Switches."""
        user = session.speaker
        if len(user.sessions) > 1 and not user.has_mail:
            return
        user.has_mail = True
        # Messages released from here on are shown to this session as they come.
        shown_id, up_to_id = self._journal.seen_id(user.id), self._head_id
        first_id, older = self._database.read(_newest_reader(user.id, shown_id, up_to_id))
        shown_id = max(shown_id, first_id - 1)
        while messages := self._database.read(_mail_reader(user.id, shown_id, up_to_id)):
            heard = [said for said in messages if said.user not in user.ignored]
            session.client.show_at_leisure(talk.MailShown(heard, self._clock(), older))
            session.client.wait_until_read()
            if session.client.is_closing:
                return  # the next session of the user is shown it
            shown_id, older = messages[-1].id, 0
            self._journal.note_seen(user.id, shown_id)
        user.has_mail = False
        self._unread.pop(user.id, None)
        if user.shown_early_id:
            self._journal.note_seen(user.id, user.shown_early_id)

    def away(self, session: Session, command: talk.Away) -> None:
        """Set the user as away, or back again. Raises Refusal."""
        user = session.speaker
        if command.why:
            session.check_may_speak(self._clock())
        if user.away is not None and not command.why:
            user.away = None
            session.client.show(talk.CameBack())
        else:
            user.away = harmless(command.why)
            session.client.show(talk.WentAway())

    def ignore(self, session: Session, command: talk.Ignore) -> None:
        """Ignore another user, or show the ignored ones. Switches. Raises NotPossible."""
        user = session.speaker
        if not command.user:
            session.client.show_at_leisure(_ignored(user, command))
            return
        other = self._accounts.find(command.user)
        if other.id == user.id:
            raise NotPossible("you can't ignore yourself", code="yourself")
        if len(user.ignored) >= IGNORED_A_USER_MAX:
            raise NotPossible(
                f"you ignore {IGNORED_A_USER_MAX} users, as many as anybody may",
                code="too_many",
                remedy=Remedy("unignore"),
            )
        self._database.write(
            lambda connection: accounts_queries.ignore(connection, user.id, other.id)
        )
        user.ignored.add(other.name)
        session.client.show(talk.IgnoreBegun(other.name))

    def unignore(self, session: Session, command: talk.Unignore) -> None:
        """Stop ignoring another user. Switches. Raises NotPossible."""
        user, other = session.speaker, self._accounts.find(command.user, ever=True)
        if other.name not in user.ignored:
            raise NotPossible(f"you do not ignore {other.name}", code="not_ignored")
        self._database.write(
            lambda connection: accounts_queries.unignore(connection, user.id, other.id)
        )
        user.ignored.discard(other.name)
        session.client.show(talk.IgnoreEnded(other.name))


def _ignored(user: User, command: talk.Ignore) -> talk.IgnoredListed:
    after, count = command.after.casefold(), command.count
    behind = (name for name in user.ignored if name.casefold() > after)
    found = nsmallest(count + 1, behind, key=str.casefold)
    return talk.IgnoredListed(found[:count], len(found) > count)


def _show_own_devices(user: User, said: talk.PrivatelySaidEncrypted, delivery: Delivery) -> None:
    """Show a message to its sender's sessions with a device. They can read it."""
    for session in user.sessions:
        if session.device is not None:
            delivery.catch_up(session)
            delivery.tell(session, said)


def _mail_reader(
    user_id: int, shown_id: int, up_to_id: int
) -> Callable[[Connection], list[talk.PrivateMessage]]:
    def work(connection: Connection) -> list[talk.PrivateMessage]:
        after_id = max(shown_id, accounts_queries.seen_id(connection, user_id))
        return queries.mail(connection, user_id, after_id, up_to_id, MAILBOX_PAGE)

    return work


def _newest_reader(
    user_id: int, shown_id: int, up_to_id: int
) -> Callable[[Connection], tuple[int, int]]:
    def work(connection: Connection) -> tuple[int, int]:
        after_id = max(shown_id, accounts_queries.seen_id(connection, user_id))
        return queries.newest_mail(connection, user_id, after_id, up_to_id, MAILBOX_SHOWN_MAX)

    return work


def _unread_reader(user_id: int, seen_id: int) -> Callable[[Connection], dict[int, int]]:
    def work(connection: Connection) -> dict[int, int]:
        after_id = max(seen_id, accounts_queries.seen_id(connection, user_id))
        return queries.unread(connection, user_id, after_id)

    return work
