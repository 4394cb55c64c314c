"""Administration: acts on accounts, announcements, and lists, for admins and the operator.

Like moderation, an act is an entry of the journal, written with its record in the audit. It takes
effect where it is released, in one atomic stretch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from heapq import nsmallest
from typing import TYPE_CHECKING

from app.bounds import PAGE_ITEMS_MAX, REPLAY_BYTES_MAX
from app.chat.accounts.accounts import name_taken
from app.chat.accounts.passwords import Hasher
from app.engine import server_facts
from app.errors import BadLine, Forbidden, NotPossible
from app.protocol import accounts as protocol
from app.protocol import server
from app.queries import accounts as queries
from app.queries.accounts import NameTakenError
from app.values.names import harmless, parse_name, parse_new_name

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from app.chat.accounts.accounts import Accounts
    from app.chat.accounts.endings import Endings
    from app.engine.decisions import Change
    from app.engine.delivery import Delivery
    from app.engine.kit import Handlers, Kit
    from app.engine.presence import Session
    from app.engine.server_facts import ServerFact
    from app.protocol.event import Done, Ended, Noticed
    from app.queries.accounts import Account


class Administration:
    """The acts of admins and of the operator. All of them switch, and raise Refusal."""

    def __init__(self, kit: Kit, hasher: Hasher, accounts: Accounts, endings: Endings) -> None:
        self._database, self._clock, self._acts = kit.database, kit.clock, kit.acts
        self._sessions = kit.present.sessions
        self._hasher = hasher
        self._accounts = accounts
        self._endings = endings

    def handlers(self) -> Handlers:
        """Return the method that carries out each command."""
        return {
            server.Announce: self.announce,
            protocol.UserList: self.list_accounts,
            protocol.UserCreate: self.create,
            protocol.UserPassword: self.set_password,
            protocol.UserAdmin: self.set_admin,
            protocol.UserDisable: self.disable,
            protocol.UserEnable: self.enable,
        }

    def announce(self, session: Session, command: server.Announce) -> None:
        """Show an announcement to all users who are here."""
        text = harmless(command.text).strip()
        if not text:
            raise BadLine("say what is to be announced", code="bad_arguments")
        session.check_may_speak(self._clock())

        def tell(_delivery: Delivery) -> None:
            session.client.show(server.ToldEverybody())
            tell_everybody(self._sessions, server.Announced(text))

        fact = server_facts.Announced(text)
        self._acts.decide(session, None, [fact], "announce", reason=text, then=tell)

    def list_accounts(self, session: Session, command: protocol.UserList) -> None:
        """Show a page of the accounts."""
        after_key = parse_name(command.after).key if command.after else ""
        found = self._database.read(
            lambda connection: queries.page(connection, after_key, PAGE_ITEMS_MAX + 1)
        )
        has_more = len(found) > PAGE_ITEMS_MAX
        session.client.show_at_leisure(protocol.AccountsListed(found[:PAGE_ITEMS_MAX], has_more))

    def create(self, session: Session, command: protocol.UserCreate) -> None:
        """Make an account."""
        name, is_admin = parse_new_name(command.user), command.is_admin
        password_hash = self._hasher.hash(session.client, command.password)

        def change(connection: Connection) -> None:
            queries.create(connection, name, password_hash, self._clock(), is_admin=is_admin)

        try:
            self._acts.write(session, "create", name.shown, change)
        except NameTakenError as error:
            raise name_taken(name) from error
        session.client.show(protocol.AccountMade(name.shown, is_admin))

    def set_password(self, session: Session, command: protocol.UserPassword) -> None:
        """Set an account's password, and end its tokens and sessions: the old one may be known."""
        account = self._account(session, command.user)
        password_hash = self._hasher.hash(session.client, command.password)

        fact, last_words = server_facts.PasswordSet(account.id), protocol.EndedByPassword(True)
        done = protocol.PasswordSet(account.name)
        change = _setting(account, password_hash=password_hash)
        self._end(session, account, "passwd", fact, change, last_words, done)

    def set_admin(self, session: Session, command: protocol.UserAdmin) -> None:
        """Make an account an admin, or undo that; also in open sessions."""
        account, is_admin = self._account(session, command.user), command.is_admin
        fact = server_facts.AdminSet(account.id, is_admin)

        def note(_delivery: Delivery) -> None:
            self._accounts.note_admin(account.id, is_admin=is_admin)

        action, change = "admin" if is_admin else "unadmin", _setting(account, is_admin=is_admin)
        self._acts.decide(session, None, [fact], action, account.name, change, then=note)
        session.client.show(protocol.AdminSet(account.name, is_admin))

    def disable(self, session: Session, command: protocol.UserDisable) -> None:
        """Disable an account: end its tokens and sessions, and refuse its logins."""
        account = self._account(session, command.user)
        fact, last_words = server_facts.EnabledSet(account.id, False), protocol.EndedByDisabling()
        done, change = protocol.AccountDisabled(account.name), _setting(account, is_disabled=True)
        self._end(session, account, "disable", fact, change, last_words, done)

    def enable(self, session: Session, command: protocol.UserEnable) -> None:
        """Enable a disabled account."""
        account = self._account(session, command.user)
        fact = server_facts.EnabledSet(account.id, True)
        change = _setting(account, is_disabled=False)
        self._acts.decide(session, None, [fact], "enable", account.name, change)
        session.client.show(protocol.AccountEnabled(account.name))

    def list_sessions(self, session: Session, command: protocol.Sessions) -> None:
        """Show a page of the user's sessions; to admins, of all sessions.

        The page ends early before it is too long for an outbox.
        """
        user = session.speaker
        sessions = self._sessions if user.is_admin else user.sessions
        behind = (each for each in sessions if each.number > command.after)
        found = nsmallest(PAGE_ITEMS_MAX + 1, behind, key=lambda each: each.number)
        shown = list(_up_to_a_page(found, session))
        has_more = len(shown) < len(found)
        session.client.show_at_leisure(protocol.SessionsListed(shown, has_more))

    def _end(
        self,
        session: Session,
        account: Account,
        action: str,
        fact: ServerFact,
        change: Change,
        last_words: Ended,
        done: Done,
    ) -> None:
        """End the rights of an account, by an act that changes it. Switches. Raises Refusal."""

        def end(_delivery: Delivery) -> None:
            self._endings.end(account.id, last_words)
            session.client.show(done)

        both = self._endings.ending_tokens(account.id, change)
        self._acts.decide(session, None, [fact], action, account.name, both, then=end)

    def _account(self, session: Session, name: str) -> Account:
        """Return an account that the session may act on. Switches. Raises Refusal."""
        account = self._accounts.find(name)
        if account.id == session.speaker.id:
            raise NotPossible("you can't do that to yourself", code="yourself")
        if account.is_admin and not session.is_operator:
            raise Forbidden(f"{account.name} is an admin", code="not_allowed")
        return account


def _setting(account: Account, **values: object) -> Change:
    return lambda connection: queries.change(connection, account.id, **values)


def tell_everybody(sessions: Set[Session], notice: Noticed) -> None:
    """Show a notice to all sessions that are logged in. Never switches."""
    for each in list(sessions):
        if each.user is not None:
            each.client.show(notice)


def _up_to_a_page(sessions: Sequence[Session], asking: Session) -> Iterator[protocol.Connection]:
    size_bytes = 0
    for each in sessions[:PAGE_ITEMS_MAX]:
        rooms = sorted(room.name for room in each.rooms.values())
        size_bytes += sum(len(name.encode()) for name in rooms)
        yield protocol.Connection(
            each.number,
            each.user.name if each.user else None,
            each.client.address,
            each.client.wire,
            rooms,
            each.client.unread_bytes,
            each.client.connected_at,
            each is asking,
        )
        if size_bytes > REPLAY_BYTES_MAX:
            return
