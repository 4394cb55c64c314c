"""The service: its parts, which carry out commands, and their use by a server."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Protocol

import gevent

from app.chat.accounts.accounts import Accounts
from app.chat.accounts.administration import Administration
from app.chat.accounts.endings import Endings
from app.chat.accounts.own_account import OwnAccount
from app.chat.accounts.passwords import Hasher
from app.chat.accounts.tokens import Tokens
from app.chat.devices.devices import Devices
from app.chat.devices.keys import DeviceKeys
from app.chat.devices.mail import DeviceMail
from app.chat.files.files import Files
from app.chat.files.transfers import Transfers
from app.chat.moderation.moderation import Moderation
from app.chat.moderation.sanctions import Sanctions
from app.chat.removal.deletion import Deletion
from app.chat.removal.purging import Purging
from app.chat.removal.retention import Retention
from app.chat.rooms.administration import RoomAdministration
from app.chat.rooms.encryption import EncryptedRooms
from app.chat.rooms.members import Rosters
from app.chat.rooms.rooms import Rooms
from app.chat.server.shutdown import Shutdown
from app.chat.server.status import Status
from app.chat.talk.messages import Messages
from app.chat.talk.private import Private
from app.engine.client import Client, Visitor
from app.engine.decisions import Acts
from app.engine.journal import Journal
from app.engine.kit import Handler, Handlers, Kit, Present
from app.engine.ledger import LocalLedger
from app.engine.presence import OPERATOR, Session, only_for_admins
from app.engine.server_bans import InForce
from app.engine.tickets import Tickets
from app.errors import Forbidden, Refusal
from app.measures import metrics
from app.protocol import server, talk
from app.protocol.accounts import Login, Register
from app.protocol.command import Command, Level
from app.protocol.event import Event
from app.queries import sanctions as sanctions_queries

if TYPE_CHECKING:
    from app.database.database import Database
    from app.engine.client import Clock
    from app.settings import Settings


class _Part(Protocol):
    """A part of the service that carries out commands."""

    def handlers(self) -> Handlers:
        """Return the method that carries out each command."""


class Service:
    """Carries out commands of sessions, one method call a command."""

    def __init__(self, database: Database, settings: Settings, clock: Clock) -> None:
        """Take over the database; start the journal and the reapers. Switches."""
        self._database = database
        self.sessions: set[Session] = set()  # of clients, logged in or not
        self.visitors: set[Visitor] = set()  # clients that speak HTTP
        self._numbers = itertools.count(1)  # of sessions
        self._hasher = Hasher(settings.logins_waiting_max)
        self.journal = Journal(LocalLedger(database))
        present = Present(self.sessions, self.visitors)
        in_force = InForce(database.read(lambda each: sanctions_queries.in_force(each, clock())))
        acts = Acts(database, self.journal, in_force, clock)
        kit = Kit(database, self.journal, clock, acts, settings, present, self.end)
        tokens, tickets, rosters = Tokens(kit), Tickets(clock), Rosters(kit)
        self.accounts = accounts = Accounts(kit, self._hasher, tokens, in_force)
        self.rooms = rooms = Rooms(kit, rosters)
        self._transfers = Transfers(kit)
        self.files = Files(kit, self._transfers, tickets, accounts, rooms)
        self._private = Private(kit, accounts)
        endings = Endings(kit, accounts, tickets)
        self.sanctions = Sanctions(kit, accounts, in_force, tickets, endings)
        administration = Administration(kit, self._hasher, accounts, endings)
        devices = Devices(kit, accounts)
        self._purging = Purging(kit, accounts, rooms, self._transfers)
        self._retention = Retention(kit, rooms, self._transfers)
        self.status = Status(kit, self._hasher, accounts, rooms)
        self.shutdown = Shutdown(kit)
        self._handlers = _merged(
            self,
            rooms,
            EncryptedRooms(kit, rooms),
            Messages(kit),
            self._private,
            Moderation(kit, accounts, rooms, rosters, tickets),
            self.files,
            tokens,
            OwnAccount(kit, accounts, administration, endings),
            Deletion(kit, accounts, rooms, in_force, devices, endings),
            administration,
            self.sanctions,
            RoomAdministration(kit, accounts, rooms, tickets),
            devices,
            DeviceKeys(kit, devices),
            DeviceMail(kit, devices),
            self._purging,
            self._retention,
            self.status,
            self.shutdown,
        )
        self._journal_greenlet = gevent.spawn(self.journal.run)
        self._reaper_greenlets = [
            gevent.spawn(self._transfers.run),
            gevent.spawn(self._retention.run),
        ]

    def handlers(self) -> Handlers:
        """Return the method that carries out each command."""
        return {
            Register: self._register,
            Login: self._log_in,
            server.Ping: self._ping,
            server.Help: _help,
            server.Quit: _quit,
        }

    def connect(self, client: Client) -> Session:
        """Begin a session, before its login."""
        session = Session(client, next(self._numbers))
        self.sessions.add(session)
        client.show(server.Connected(self.accounts.is_open, self.accounts.needs_tls(client)))
        return session

    def connect_operator(self, client: Client) -> Session:
        """Begin a session of the operator: its caller has checked that the client is theirs."""
        session = Session(client)
        session.user = OPERATOR
        return session

    def check_may_ask(self, session: Session, kind: type[Command]) -> None:
        """Raise Refusal when a session may not use a command at all."""
        if not kind.is_for(session.level):
            raise _not_for(session, kind)

    def handle(self, session: Session, command: Command) -> None:
        """Carry out a command. Switches. Raises Refusal; then nothing has happened.

        Answers come in the order of the commands. Each but `Say` waits until the session's earlier
        entries were released, and is done when its own entries are.
        """
        kind = type(command)
        if kind is not talk.Say:
            self.journal.settle(session)
        self.check_may_ask(session, kind)
        self._handlers[kind](session, command)
        if kind is not talk.Say:
            self.journal.settle(session)

    def end(self, session: Session, last_words: Event) -> None:
        """End a session at once, and the command under way.

        Never switches.
        """
        session.was_sent_away = True
        session.client.close(last_words)
        self.disconnect(session)

    def disconnect(self, session: Session) -> None:
        """Remove a session that has ended. A second call does nothing."""
        self.sessions.discard(session)
        if session.user is not None and not session.is_operator and not session.has_ended:
            self.rooms.disconnect(session)
            self.accounts.detach(session)

    def close(self) -> None:
        """Commit and release the entries under way, and stop. Switches."""
        self.shutdown.stop()
        self._transfers.stop()
        self._retention.stop()
        gevent.joinall(self._reaper_greenlets)
        self.journal.finish()
        self._journal_greenlet.kill()  # it waits for work, and there is none
        self._hasher.close()
        self._database.close()

    def _register(self, session: Session, command: Register) -> None:
        self.accounts.register(session, command)
        metrics.LOGINS.labels("ok").inc()

    def _ping(self, session: Session, _command: server.Ping) -> None:
        if session.user is not None:
            session.client.show(server.Ponged())
        else:
            needs_tls = self.accounts.needs_tls(session.client)
            session.client.show(server.Greeted(self.accounts.is_open, needs_tls))

    def _log_in(self, session: Session, command: Login) -> None:
        try:
            self.accounts.log_in(session, command)
        except Refusal as refusal:
            metrics.LOGINS.labels(refusal.code).inc()
            raise
        metrics.LOGINS.labels("ok").inc()
        self._private.show_mail(session)


def _merged(*parts: _Part) -> Handlers:
    """Return the handlers of all parts. Raises ValueError when two carry out one command."""
    merged: dict[type[Command], Handler] = {}
    for handlers in (part.handlers() for part in parts):
        if twice := merged.keys() & handlers.keys():
            raise ValueError(f"carried out twice: {twice}")
        merged.update(handlers)
    return merged


def _not_for(session: Session, kind: type[Command]) -> Refusal:
    session.speaker  # noqa: B018 (raises before login)
    if session.is_operator:
        return Forbidden("the operator takes no part in the chat", code="not_allowed")
    if kind.least is Level.OPERATOR:
        return Forbidden("only the operator may do that, with manage.py", code="not_allowed")
    return only_for_admins()


def _help(session: Session, command: server.Help) -> None:
    level = max(session.level, Level.USER)  # before login: the commands for after it
    session.client.show(server.HelpShown(command.command, level))


def _quit(session: Session, _command: server.Quit) -> None:
    session.client.close(server.SaidGoodbye())
