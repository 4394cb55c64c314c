"""The service: which module does what a command asks, and what a server needs of all of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import gevent

from app import commands, device_commands, events, metrics, operations
from app.chat.accounts import Accounts
from app.chat.acts import Acts
from app.chat.administration import Administration
from app.chat.deletion import Deletion
from app.chat.device_keys import DeviceKeys
from app.chat.device_mail import DeviceMail
from app.chat.devices import Devices
from app.chat.encrypted_rooms import EncryptedRooms
from app.chat.endings import Endings
from app.chat.files import Files
from app.chat.in_force import InForce
from app.chat.journal import Journal, Write
from app.chat.messages import Messages
from app.chat.moderation import Moderation
from app.chat.own_account import OwnAccount
from app.chat.passwords import Hasher
from app.chat.private import Private
from app.chat.purging import Purging
from app.chat.retention import Retention
from app.chat.room_administration import RoomAdministration
from app.chat.rooms import Rooms
from app.chat.rosters import Rosters
from app.chat.sanctions import Present, Sanctions
from app.chat.session import OPERATOR, Client, Session, Visitor, only_for_admins
from app.chat.shutdown import Shutdown
from app.chat.status import Status
from app.chat.tickets import Tickets
from app.chat.tokens import Tokens
from app.chat.transfers import Transfers
from app.errors import Forbidden, Refusal
from app.shapes import Command, Level
from app.store import messages as messages_store
from app.store import sanctions as sanctions_store

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from app.chat.session import Clock
    from app.settings import Settings
    from app.store.database import Database

Handler = Callable[[Session, Any], None]


class Service:
    """Carries out commands of sessions, one method call a command."""

    def __init__(self, database: Database, settings: Settings, clock: Clock) -> None:
        """Take over the database. Switches, to read from it."""
        self._database = database
        self.sessions: set[Session] = set()  # of clients, whoever has logged in on them
        self.visitors: set[Visitor] = set()  # whoever speaks HTTP
        self._numbers = itertools.count(1)  # of sessions
        self._hasher = Hasher(settings.logins_waiting_max)
        self.journal = Journal(self._commit, database.read(messages_store.newest_id))
        self._tokens = Tokens(database, clock)
        in_force = InForce(database.read(lambda each: sanctions_store.in_force(each, clock())))
        self.accounts = Accounts(database, self._hasher, self._tokens, clock, settings, in_force)
        rosters = Rosters(database, self.journal, clock)
        self.rooms = Rooms(database, self.journal, clock, rosters, settings)
        acts = Acts(database, clock)
        self._encrypted_rooms = EncryptedRooms(self.journal, clock, acts, self.rooms)
        self._messages = Messages(database, self.journal, clock)
        self._private = Private(database, self.journal, clock, self.accounts)
        tickets = Tickets(clock)
        self._moderation = Moderation(
            database, acts, self.journal, clock, self.accounts, self.rooms, rosters, tickets
        )
        self._transfers = Transfers(database, self.journal, clock, settings)
        self.files = Files(
            database, self.journal, clock, acts, self._transfers, tickets, self.accounts, self.rooms
        )
        present = Present(self.sessions, self.visitors)
        endings = Endings(self.accounts, tickets, self.end)
        self.sanctions = Sanctions(
            database, acts, clock, self.accounts, in_force, tickets, present, endings, self.end
        )
        self._administration = Administration(
            database, clock, acts, self._hasher, self.accounts, self.sessions, endings
        )
        self._own_account = OwnAccount(self.accounts, self._administration, endings, self.end)
        self._room_administration = RoomAdministration(
            database, self.journal, clock, acts, self.accounts, self.rooms, tickets
        )
        self._devices = Devices(database, clock, self.accounts, self.sessions)
        self._deletion = Deletion(
            acts,
            self.journal,
            clock,
            self.accounts,
            self.rooms,
            rosters,
            in_force,
            self._devices,
            endings,
            self.end,
        )
        self._device_keys = DeviceKeys(database, clock, self._devices)
        self._device_mail = DeviceMail(database, clock, self._devices)
        self.shutdown = Shutdown(acts, self.sessions)
        self._purging = Purging(
            database, self.journal, clock, acts, self.accounts, self.rooms, self._transfers
        )
        self._retention = Retention(
            database, self.journal, clock, acts, self.rooms, self._transfers, settings
        )
        self.status = Status(
            database, self.journal, self._hasher, self.accounts, self.rooms, self.sessions, settings
        )
        self._handlers = self._handlers_by_command()
        self._journal_greenlet = gevent.spawn(self.journal.run)
        self._reaper_greenlets = [
            gevent.spawn(self._transfers.run),
            gevent.spawn(self._retention.run),
        ]

    def _handlers_by_command(self) -> Mapping[type[Command], Handler]:
        rooms, messages, private = self.rooms, self._messages, self._private
        moderation, files, administration = self._moderation, self.files, self._administration
        sanctions = self.sanctions
        room_administration = self._room_administration
        return {
            commands.Say: messages.say,
            commands.Emote: messages.emote,
            commands.History: messages.history,
            commands.Join: rooms.join,
            commands.Leave: rooms.leave,
            commands.Who: rooms.who,
            commands.Rooms: rooms.list_rooms,
            commands.Encrypt: self._encrypted_rooms.encrypt,
            commands.Roster: self._encrypted_rooms.show_roster,
            commands.Tell: private.tell,
            commands.Away: private.away,
            commands.Ignore: private.ignore,
            commands.Unignore: private.unignore,
            commands.Topic: moderation.topic,
            commands.Kick: moderation.kick,
            commands.Ban: moderation.ban,
            commands.Unban: moderation.unban,
            commands.Bans: moderation.bans,
            commands.Mute: moderation.mute,
            commands.Unmute: moderation.unmute,
            commands.Promote: moderation.promote,
            commands.Demote: moderation.demote,
            commands.Register: self._register,
            commands.Login: self._log_in,
            commands.Send: files.send,
            commands.Get: files.get,
            commands.Files: files.list_files,
            commands.Upload: files.upload,
            commands.Download: files.download,
            commands.Unshare: files.unshare,
            commands.Passwd: self._own_account.change_password,
            commands.Sessions: self._own_account.sessions,
            commands.Unregister: self._deletion.delete_own,
            commands.Tokens: self._tokens.list_or_revoke,
            operations.Announce: administration.announce,
            operations.UserList: administration.list_accounts,
            operations.UserCreate: administration.create,
            operations.UserPassword: administration.set_password,
            operations.UserAdmin: administration.set_admin,
            operations.UserDelete: self._deletion.delete,
            operations.UserDisable: administration.disable,
            operations.UserEnable: administration.enable,
            operations.ServerKick: sanctions.kick,
            operations.ServerBan: sanctions.ban,
            operations.ServerUnban: sanctions.unban,
            operations.ServerMute: sanctions.mute,
            operations.ServerUnmute: sanctions.unmute,
            operations.ServerBans: sanctions.bans,
            operations.RoomList: room_administration.list_rooms,
            operations.RoomCreate: room_administration.create,
            operations.RoomDelete: room_administration.delete,
            operations.RoomRename: room_administration.rename,
            operations.RoomOwner: room_administration.set_owner,
            operations.Shutdown: self.shutdown.plan,
            operations.Purge: self._purging.purge,
            operations.Retention: self._retention.show_or_set,
            operations.Vacuum: self._purging.vacuum,
            operations.Backup: self._purging.back_up,
            operations.Status: self.status.show,
            **_device_handlers(self._devices, self._device_keys, self._device_mail),
            commands.Ping: self._ping,
            commands.Help: _help,
            commands.Quit: _quit,
        }

    def connect(self, client: Client) -> Session:
        """Begin a session, on which nobody has logged in yet."""
        session = Session(client, next(self._numbers))
        self.sessions.add(session)
        client.show(events.Connected(self.accounts.is_open, self.accounts.needs_tls(client)))
        return session

    def connect_operator(self, client: Client) -> Session:
        """Begin a session of whoever runs the server: of a client that was seen to be theirs."""
        session = Session(client)
        session.user = OPERATOR
        return session

    def check_may_ask(self, session: Session, kind: type[Command]) -> None:
        """Raise Refusal when a session may not ask for that, whatever its arguments."""
        if not kind.is_for(session.level):
            raise _not_for(session, kind)

    def handle(self, session: Session, command: Command) -> None:
        """Do what a session asks. Switches. Raises Refusal; then nothing has happened.

        Answers come in the order of the questions: anything but talking waits until what the
        session did before was released, and is done when what it does itself is.
        """
        kind = type(command)
        if kind is not commands.Say:
            self.journal.settle(session)
        self.check_may_ask(session, kind)
        self._handlers[kind](session, command)
        if kind is not commands.Say:
            self.journal.settle(session)

    def end(self, session: Session, last_words: events.Event) -> None:
        """End a session here and now, whatever it is at: nothing of that happens any more.

        Never switches.
        """
        session.client.close(last_words)
        self.disconnect(session)

    def disconnect(self, session: Session) -> None:
        """End a session, however it came to an end; once more does nothing."""
        self.sessions.discard(session)
        if not session.is_operator:
            self.rooms.disconnect(session)
            self.accounts.detach(session)

    def close(self) -> None:
        """Commit and release what is under way, and stop. Switches."""
        self.journal.finish()
        self._journal_greenlet.kill()  # it waits for work, and there is none
        self.shutdown.stop()
        self._transfers.stop()
        self._retention.stop()
        gevent.joinall(self._reaper_greenlets)
        self._hasher.close()
        self._database.close()

    def _commit(
        self,
        messages: Sequence[messages_store.NewMessage],
        seen: Mapping[int, int],
        write: Write | None,
    ) -> Sequence[int]:
        if not (messages or seen or write):
            self._database.try_writing()
            return ()
        is_alone = self._database.is_sqlite and not seen and write is None
        if is_alone and (plain := messages_store.plain_batch(messages)):
            last_id = self._database.write_statement(*plain)
            return messages_store.ids_up_to(last_id, len(messages))

        def work(connection: Connection) -> Sequence[int]:
            messages_store.note_seen(connection, seen)
            ids = messages_store.store(connection, messages) if messages else ()
            if write is not None:
                write(connection)
            return ids

        return self._database.write_first(work)

    def _register(self, session: Session, command: commands.Register) -> None:
        self.accounts.register(session, command)
        metrics.LOGINS.labels("ok").inc()

    def _ping(self, session: Session, _command: commands.Ping) -> None:
        if session.user is not None:
            session.client.show(events.Done("Pong."))
        else:
            needs_tls = self.accounts.needs_tls(session.client)
            session.client.show(events.Greeted("Pong.", self.accounts.is_open, needs_tls))

    def _log_in(self, session: Session, command: commands.Login) -> None:
        try:
            self.accounts.log_in(session, command)
        except Refusal as refusal:
            metrics.LOGINS.labels(refusal.code).inc()
            raise
        metrics.LOGINS.labels("ok").inc()
        self._private.show_mail(session)


def _device_handlers(
    devices: Devices, keys: DeviceKeys, mail: DeviceMail
) -> Mapping[type[Command], Handler]:
    return {
        device_commands.DevicePut: devices.put,
        device_commands.ManifestPut: devices.put_manifest,
        device_commands.KeysQuery: devices.query,
        device_commands.KeysChanges: devices.changes,
        device_commands.KeysPut: keys.put,
        device_commands.KeysClaim: keys.claim,
        device_commands.DeviceSend: mail.send,
        device_commands.DeviceFetch: mail.fetch,
        device_commands.DeviceAck: mail.let_go,
    }


def _not_for(session: Session, kind: type[Command]) -> Refusal:
    session.speaker  # noqa: B018 (raises before login)
    if session.is_operator:
        return Forbidden("the operator takes no part in the chat", code="not_allowed")
    if kind.least is Level.OPERATOR:
        return Forbidden("only the operator may do that, with manage.py", code="not_allowed")
    return only_for_admins()


def _help(session: Session, command: commands.Help) -> None:
    level = max(session.level, Level.USER)  # what one may ask once one has logged in
    session.client.show(events.HelpShown(command.command, level))


def _quit(session: Session, _command: commands.Quit) -> None:
    session.client.close(events.SaidGoodbye())
