"""Accounts: registering, logging in, changing a password; and the users who are here."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import structlog

from app.bounds import LOGIN_FAILURES_MAX, NAME_CHARS_MAX
from app.chat.accounts.passwords import Hasher
from app.chat.accounts.tokens import Tokens
from app.engine.client import Client
from app.engine.entries import Decision, Then
from app.engine.limits import Throttle
from app.engine.presence import Session, User
from app.engine.server_facts import PasswordSet
from app.errors import BadNameError, Forbidden, LoginRefused, NotPossible, Refusal, Remedy
from app.protocol import accounts
from app.queries import accounts as queries
from app.queries import locks
from app.queries import tokens as tokens_queries
from app.queries.accounts import Account, NameTakenError
from app.queries.tokens import KnownToken
from app.values.names import Name, parse_name, parse_new_name
from app.values.networks import origin

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from app.engine.kit import Kit
    from app.engine.server_bans import InForce


_WRONG = "wrong name or password"
_COUNTED = {"bad_name", "bad_password", "name_taken", "disabled", "banned"}
_NO_TOKEN = "that token does not log anybody in any more"  # noqa: S105 (it is a sentence)

log = structlog.get_logger()


class Accounts:
    """The accounts, and the users who are here: those with a session that is logged in."""

    def __init__(self, kit: Kit, hasher: Hasher, tokens: Tokens, in_force: InForce) -> None:
        self._database, self._clock, settings = kit.database, kit.clock, kit.settings
        self._journal = kit.journal
        self._in_force = in_force
        self._hasher = hasher
        self.is_open = settings.registration == "open"
        self._requires_tls = settings.require_tls
        self._throttle = Throttle(settings.login_attempts, seconds=60)
        self._registrations = Throttle(settings.registrations_per_ip_per_hour, seconds=3_600)
        self._tokens = tokens
        self._here: dict[int, User] = {}
        self._changes = 0  # of accounts, by others than their users, since the start

    @property
    def users_here(self) -> int:
        """The number of users who are here."""
        return len(self._here)

    def user_here(self, user_id: int) -> User | None:
        """Return a user who is here, by id; None if they are not."""
        return self._here.get(user_id)

    def find(self, name_text: str, *, ever: bool = False) -> Account:
        """Return the account of a name, in any spelling; with `ever`, also a deleted one.

        Switches. Raises NotPossible when there is none.
        """
        try:
            name = parse_name(name_text)
        except BadNameError:
            name = None
        look = queries.find_ever if ever else queries.find
        account = name and self._database.read(lambda connection: look(connection, name))
        if not account:
            raise NotPossible(f"there is no user {name_text[:NAME_CHARS_MAX]}", code="no_such_user")
        return account

    def register(self, session: Session, command: accounts.Register) -> None:
        """Make an account, and log in as it. Switches. Raises Refusal."""
        self._check_may_log_in(session)
        if not self.is_open:
            raise Forbidden(
                "registration is closed here; ask the operator for an account",
                code="registration_closed",
            )
        with self._counting_refusals(session):
            self._register(session, command)

    def _register(self, session: Session, command: accounts.Register) -> None:
        self._check_may_register(session)
        changes, name = self._changes, parse_new_name(command.name)
        password_hash = self._hasher.hash(session.client, command.password)
        self._check_may_register(session)  # again: many may have come at once
        self._registrations.note(origin(session.client.address), time.monotonic())
        try:
            account = self._database.write(
                lambda connection: queries.create(connection, name, password_hash, self._clock())
            )
        except NameTakenError as error:
            raise name_taken(name) from error
        log.info("registered", user=account.name, address=session.client.address)
        self._attach(session, account, set(), command, changes)

    def log_in(self, session: Session, command: accounts.Login) -> None:
        """Log in, by password or by token. Switches. Raises Refusal."""
        self._check_may_log_in(session)
        changes = self._changes
        with self._counting_refusals(session):
            if command.token:
                account, ignored = self._known_by_token(session, command.token)
            else:
                account, ignored = self._known_by_password(session, command)
            self._attach(session, account, ignored, command, changes)

    def _known_by_password(
        self, session: Session, command: accounts.Login
    ) -> tuple[Account, set[str]]:
        try:
            name = parse_name(command.name)
        except BadNameError:
            name = None
        keys = [f"address {origin(session.client.address)}", f"name {name.key if name else ''}"]
        self._check_throttle(keys)
        account: Account | None = None

        def stored() -> str | None:
            nonlocal account
            account, _ = self._database.read(lambda connection: _load(connection, name))
            return account.password_hash if account else None

        is_right, new_hash = self._hasher.verify(session.client, command.password, stored)
        self._check_throttle(keys)  # again: many may have guessed at once
        if account is None or not is_right:
            raise self._login_failure(session, keys, _WRONG)
        if new_hash:
            if not self._database.write(partial(_put_hash, account=account, new=new_hash)):
                raise self._login_failure(session, keys, _WRONG)
            account = account._replace(password_hash=new_hash)
        now, ignored = self._database.read(lambda connection: _load(connection, name))
        if now is None or now.password_hash != account.password_hash:  # it was changed since
            raise self._login_failure(session, keys, _WRONG)
        return now, ignored

    def _known_by_token(self, session: Session, token: str) -> tuple[Account, set[str]]:
        keys = [f"address {origin(session.client.address)}"]
        self._check_throttle(keys)

        def work(connection: Connection) -> tuple[KnownToken | None, Account | None, set[str]]:
            known = self._tokens.find(connection, token)
            return known, *_load(connection, parse_name(known.user_key) if known else None)

        known, account, ignored = self._database.read(work)
        if known is None or account is None:
            raise self._login_failure(session, keys, _NO_TOKEN)
        self._tokens.note_use(known)
        return account, ignored

    def change_password(self, session: Session, command: accounts.Passwd, then: Then) -> None:
        """Set the user's password, and end their tokens. The old one must be right.

        `then` is called where that takes effect. Switches. Raises Refusal.
        """
        account = self.confirmed(session, command.old)
        password_hash = self._hasher.hash(session.client, command.new)
        session.check_is_here()  # again: it may have been ended while the hash was made

        def work(connection: Connection) -> None:
            if not _put_hash(connection, account, password_hash):
                raise LoginRefused(_WRONG)
            tokens_queries.revoke_all(connection, account.id)

        about = [(self._in_force, PasswordSet(account.id))]
        decision = Decision(session, about, work, self._clock(), then=then)
        try:
            self._journal.carry(decision)
        except LoginRefused as error:
            raise self._failure(session, _own_keys(session), _WRONG) from error

    def confirmed(self, session: Session, password: str) -> Account:
        """Return a session's account, if its user's password is right. Switches.

        Raises Refusal.
        """
        keys = _own_keys(session)
        self._check_throttle(keys)
        account = self.find(session.speaker.name)
        is_right, _ = self._hasher.verify(session.client, password, lambda: account.password_hash)
        self._check_throttle(keys)  # again: many may have guessed at once
        if not is_right:
            raise self._failure(session, keys, _WRONG)
        session.check_is_here()
        return account

    def detach(self, session: Session) -> None:
        """Forget a session that ended. A second call does nothing."""
        user = session.user
        if user is not None and session in user.sessions:
            user.sessions.discard(session)
            if not user.sessions:
                self._here.pop(user.id, None)

    def note_change(self, user_id: int) -> Sequence[Session]:
        """Make logins under way check the account again; return the account's sessions."""
        self._changes += 1
        user = self._here.get(user_id)
        return list(user.sessions) if user else ()

    def note_admin(self, user_id: int, *, is_admin: bool) -> None:
        """Set whether a user who is here is an admin."""
        self._changes += 1
        user = self._here.get(user_id)
        if user is not None:
            user.is_admin = is_admin

    def _attach(
        self,
        session: Session,
        account: Account,
        ignored: set[str],
        command: accounts.Register | accounts.Login,
        changes: int,
    ) -> None:
        """Log a session in to an account, read after `changes` changes.

        Switches. Raises Refusal.
        """
        self._check_may_attach(session, account)
        used = command.token if isinstance(command, accounts.Login) else ""
        token = self._tokens.make(account, command.remember) if command.remember else None
        if command.remember and token is None:
            raise _changed_meanwhile()
        while changes != self._changes:
            changes, account = self._changes, self._as_it_is_now(account, used)
        self._check_may_attach(session, account)  # again: the lines above may have switched
        user = self._here.get(account.id)
        if user is None:
            user = self._here[account.id] = User(account.id, account.name, ignored)
        user.is_admin = account.is_admin  # as of this login, for all sessions
        user.sessions.add(session)
        session.user = user
        session.ignored = user.ignored
        session.mute = self._in_force.mute_of(user.id, session.client.address, self._clock())
        session.client.show(accounts.LoggedIn(user.name, token))

    def _check_may_attach(self, session: Session, account: Account) -> None:
        """Raise Refusal when an account may not log in. Its secret was right.

        The secret was checked before, and much may have happened since the account was read.
        """
        session.check_is_here()
        if account.is_disabled:
            raise LoginRefused("this account is disabled; ask the operator", code="disabled")
        ban = self._in_force.ban_of_user(account.id, self._clock())
        if ban is not None:
            raise LoginRefused(f"you are banned from this server{ban.terms}", code="banned")

    def _as_it_is_now(self, account: Account, token: str) -> Account:
        """Return the account again. Raises LoginRefused if its secret is no longer valid. Switches.

        A change by an admin takes effect on sessions that are here. A login under way must not slip
        through with an account that was read before.
        """
        now = self.find(account.name)
        if now.password_hash != account.password_hash:
            raise _changed_meanwhile()
        if token and not self._database.read(lambda each: self._tokens.find(each, token)):
            raise LoginRefused(_NO_TOKEN)
        return now

    def needs_tls(self, client: Client) -> bool:
        """Whether logins are refused on a connection: others could listen in."""
        return self._requires_tls and not client.is_secure

    def _check_may_log_in(self, session: Session) -> None:
        if session.user is not None:
            raise NotPossible(
                f"you are logged in as {session.user.name} already", code="already_logged_in"
            )
        if self.needs_tls(session.client):
            raise Forbidden("log in over TLS", code="tls_required", remedy=Remedy("tls"))

    def _check_throttle(self, keys: list[str]) -> None:
        wait_seconds = max(self._throttle.wait_seconds(key, time.monotonic()) for key in keys)
        if wait_seconds > 0:
            raise LoginRefused(
                f"too many failed logins; wait {math.ceil(wait_seconds)} seconds and try again",
                code="wait",
            )

    @contextmanager
    def _counting_refusals(self, session: Session) -> Iterator[None]:
        """Count refusals against the address: they cost the server more than the client.

        Wrong passwords and tokens are counted elsewhere. Raises LoginRefused when there were too
        many.
        """
        key = f"address {origin(session.client.address)}"
        self._check_throttle([key])
        try:
            yield
        except Refusal as refusal:
            if refusal.code in _COUNTED:
                self._throttle.note(key, time.monotonic())
            raise

    def _check_may_register(self, session: Session) -> None:
        wait_seconds = self._registrations.wait_seconds(
            origin(session.client.address), time.monotonic()
        )
        if wait_seconds > 0:
            raise LoginRefused(
                "too many new accounts from your address; "
                f"wait {math.ceil(wait_seconds / 60)} minutes and try again",
                code="wait",
            )

    def _login_failure(self, session: Session, keys: list[str], sentence: str) -> LoginRefused:
        """Count a failed login, and return its refusal: final for the last one of a connection."""
        session.login_failures += 1
        is_final = session.login_failures >= LOGIN_FAILURES_MAX
        goodbye = "; that was one too many, goodbye" if is_final else ""
        return self._failure(session, keys, f"{sentence}{goodbye}", is_final=is_final)

    def _failure(
        self, session: Session, keys: list[str], sentence: str, *, is_final: bool = False
    ) -> LoginRefused:
        """Count a wrong password or token, and return its refusal."""
        for key in keys:
            self._throttle.note(key, time.monotonic())
        log.info("login failed", address=session.client.address)
        return LoginRefused(sentence, is_final=is_final)


def _put_hash(connection: Connection, account: Account, new: str) -> bool:
    """Replace an account's hash, unless another replaced it before; return whether."""
    locks.lock(connection, users=[account.id])
    if not queries.has_hash(connection, account.id, account.password_hash):
        return False
    queries.change(connection, account.id, password_hash=new)
    return True


def name_taken(name: Name) -> NotPossible:
    """Return the refusal of a name that is taken."""
    return NotPossible(
        f"the name {name.shown}, or one that looks the same, is taken; choose another",
        code="name_taken",
    )


def _own_keys(session: Session) -> list[str]:
    """Return the keys that count a user's own wrong passwords."""
    return [
        f"address {origin(session.client.address)}",
        f"name {parse_name(session.speaker.name).key}",
    ]


def _changed_meanwhile() -> LoginRefused:
    return LoginRefused("the account was changed meanwhile; log in again")


def _load(connection: Connection, name: Name | None) -> tuple[Account | None, set[str]]:
    account = queries.find(connection, name) if name else None
    return account, queries.ignored_names(connection, account.id) if account else set()
