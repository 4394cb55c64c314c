"""Files: the rights to share and to fetch them. Their bytes come and go over HTTP.

A session asks in the chat, and is given an address that is good for one transfer. A user who is
sent out of a room loses at once all rights on files there: addresses that were given out, and
transfers under way. A file is shown when all of it is stored, in its place among the room's other
events. An encrypted file is not shown: the message that names it does that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO
from typing import TYPE_CHECKING

from app.bounds import FILE_CHUNK_BYTES, FILE_IN_LINES_BYTES_MAX, ID_MAX
from app.engine import apply
from app.engine.decisions import check_may_act
from app.engine.entries import Decision
from app.engine.journal import Entry
from app.engine.presence import not_encrypted
from app.engine.tickets import DownloadTicket, UploadTicket
from app.errors import BadLine, Forbidden, NotPossible, Refusal, Remedy, TooLarge
from app.protocol import files
from app.queries import files as queries
from app.queries import locks
from app.queries import rooms as rooms_queries
from app.queries.files import NewFile, StoredFile
from app.values.names import harmless, parse_file_name

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from app.chat.accounts.accounts import Accounts
    from app.chat.files.transfers import Incoming, Transfers
    from app.chat.rooms.rooms import Rooms
    from app.engine.delivery import Delivery
    from app.engine.kit import Handlers, Kit
    from app.engine.presence import Room, Session, User
    from app.engine.tickets import Tickets


Read = Callable[[int], bytes]  # that many bytes, or fewer at the end; it may switch


class _Sent(Entry):
    """A file for one recipient, shown to both users' sessions."""

    __slots__ = ("accounts", "event", "user_ids")

    def __init__(
        self, sender: Session | None, accounts: Accounts, event: files.FileSent, *user_ids: int
    ) -> None:
        super().__init__(sender)
        self.accounts = accounts
        self.event = event
        self.user_ids = set(user_ids)

    def release(self, delivery: Delivery) -> None:
        """See Entry."""
        for user in filter(None, map(self.accounts.user_here, self.user_ids)):
            for session in user.sessions:
                if self.event.user not in session.ignored:
                    delivery.catch_up(session)
                    delivery.tell(session, self.event)


class Files:
    """Requests for files: those of sessions, and those over HTTP with their tokens."""

    def __init__(
        self,
        kit: Kit,
        transfers: Transfers,
        tickets: Tickets,
        accounts: Accounts,
        rooms: Rooms,
    ) -> None:
        self._database, self._journal = kit.database, kit.journal
        self._clock, self._acts = kit.clock, kit.acts
        self._transfers = transfers
        self._tickets = tickets
        self._accounts = accounts
        self._rooms = rooms

    def handlers(self) -> Handlers:
        """Return the method that carries out each command."""
        return {
            files.Send: self.send,
            files.Get: self.get,
            files.Files: self.list_files,
            files.Upload: self.upload,
            files.Download: self.download,
            files.Unshare: self.unshare,
        }

    def send(self, session: Session, command: files.Send) -> None:
        """Offer an address for a file. Switches. Raises Refusal."""
        if command.size is not None:
            self._transfers.check_size(command.size)
        if command.room and command.user:
            raise BadLine("a file is for a room or for a user, not for both", code="bad_arguments")
        _check_name(command)
        ticket = self._upload_ticket(session, command, command.size, e2ee=command.e2ee)
        token = self._tickets.issue(ticket)
        path, server = harmless(command.name), session.client.server
        session.client.show(
            files.UploadOffered(
                _url(token), ticket.name or queries.ENCRYPTED, ticket.expires_at, path, server
            )
        )

    def upload(self, session: Session, command: files.Upload) -> None:
        """Share a small file, which came in lines. Switches. Raises Refusal."""
        ticket = self._upload_ticket(session, command, len(command.data), e2ee=False)
        with self._tickets.holding(ticket):
            self._take_in(ticket, len(command.data), BytesIO(command.data).read, session)

    def get(self, session: Session, command: files.Get) -> None:
        """Offer a file to be fetched. Switches. Raises NotPossible if the user may not have it."""
        found = self._find(session, command.file)
        ticket = DownloadTicket(user=session.speaker, room_id=found.room_id, file=found)
        token, shared = self._tickets.issue(ticket), found.shared
        session.client.show(
            files.DownloadOffered(
                shared.id,
                _url(token),
                shared.name,
                shared.size,
                shared.sha256,
                ticket.expires_at,
                session.client.server,
            )
        )

    def download(self, session: Session, command: files.Download) -> None:
        """Show a small file in lines. Switches. Raises Refusal."""
        found = self._find(session, command.file)
        shared = found.shared
        if shared.size > FILE_IN_LINES_BYTES_MAX:
            raise TooLarge(
                "that is too large to be shown in lines", remedy=Remedy("get", shared.id)
            )
        data = b"".join(self._transfers.outgoing(shared.id))
        if not _may_fetch(session, found) or len(data) < shared.size:  # the read has switched
            raise _no_such_file(shared.id)
        session.client.show_at_leisure(files.FilePrinted(shared, data))

    def list_files(self, session: Session, command: files.Files) -> None:
        """Show the room's files, and the user's private ones. Switches.

        Raises Refusal.
        """
        room = session.room_or_refuse(command.room) if session.rooms or command.room else None
        room_id, user_id, count = room.id if room else None, session.speaker.id, command.count
        before_id = ID_MAX if command.before is None else command.before
        found = self._database.read(
            lambda connection: queries.newest(connection, room_id, user_id, before_id, count + 1)
        )
        if room is not None:
            session.check_is_in(room)  # again: it may have been sent out during the read
        has_more, shown = len(found) > count, found[-count:]
        before_id = shown[0].id if shown else 1
        session.client.show_at_leisure(files.FilesListed(shown, has_more, before_id))

    def unshare(self, session: Session, command: files.Unshare) -> None:
        """Remove a file: the sender's own, or as a moderator. Switches. Raises Refusal."""
        user = session.speaker
        found = self._database.read(lambda connection: queries.find(connection, command.file))
        if found is None or not (found.user_id == user.id or _may_fetch(session, found)):
            raise _no_such_file(command.file)
        shared, room = found.shared, _room_of(session, found)
        if found.user_id == user.id:
            self._transfers.withdraw(shared.id)
        else:
            self._withdraw_as_moderator(session, shared, room)
        session.client.show(files.Unshared(shared.id, shared.name))
        self._transfers.remove(shared.id)

    def _withdraw_as_moderator(
        self, session: Session, shared: files.SharedFile, room: Room | None
    ) -> None:
        user = session.speaker

        def check(role: str) -> None:
            if not role:
                raise Forbidden(
                    f"only {shared.user}, or a moderator, may remove {shared.name}",
                    code="not_allowed",
                )

        if room is None:
            check("")  # it is between two users
            return
        with self._rooms.deciding(room):
            if session.rooms.get(room.key) is not room:
                raise _no_such_file(shared.id)
            check(room.role_of(user.id, is_admin=user.is_admin))
            self._acts.write(
                session,
                "unshare",
                shared.user,
                lambda connection: queries.withdraw(connection, shared.id),
                room=room.name,
                reason=shared.name,
                check=lambda each: check(rooms_queries.role_of(each, room.id, user.id)),
            )

    def receive(self, token: str, size: int | None, read: Read) -> files.SharedFile:
        """Receive a file over HTTP and share it; `size` is in bytes, or None. Switches.

        `read` gives its bytes. Raises Refusal, and the errors of `read`; then nothing is kept. If
        it is refused before anything was read, the token is still good.
        """
        ticket = self._tickets.find(token, UploadTicket)
        sizes = {each for each in (size, ticket.size) if each is not None}
        for each in sizes:
            self._transfers.check_size(each)
        if len(sizes) > 1:
            raise _wrong_size()
        read(0)  # a request without a body is refused here
        with self._tickets.using(token, UploadTicket):
            return self._take_in(ticket, max(sizes, default=None), read, None)

    def offered(self, token: str) -> files.SharedFile:
        """Return the file that a token is good for. Raises NotPossible when there is none."""
        return self._tickets.find(token, DownloadTicket).file.shared

    def fetch(
        self, token: str, first: int, end: int, has_taken: Callable[[], bool]
    ) -> Iterator[bytes]:
        """Yield a token's file from `first` to before `end`. Switches.

        When `end` is the file's end, that uses up the token: as soon as `has_taken` says that the
        client has read it. Raises Refusal at the first step, or in the middle, when the user loses
        the right.
        """
        with self._tickets.using(token, DownloadTicket) as ticket:
            file, at = ticket.file.shared, first
            for data in self._transfers.outgoing(file.id, first):
                ticket.check()
                yield data[: end - at]
                at += len(data)
                if at >= end:
                    break
            if at < end:
                raise _no_such_file(file.id)  # no longer
            if end == file.size:
                ticket.is_used_up = has_taken

    def _upload_ticket(
        self,
        session: Session,
        command: files.Send | files.Upload,
        size: int | None,
        *,
        e2ee: bool,
    ) -> UploadTicket:
        """Return a new right to share a file. Switches. Raises Refusal when it is not allowed."""
        name, user = "" if e2ee else parse_file_name(command.name), session.speaker
        self._transfers.check_count(user.id)
        recipient = self._accounts.find(command.user) if command.user else None
        room_id = None
        if recipient is None:
            room = session.room_or_refuse(command.room)
            session.check_may_speak(self._clock(), room)
            _check_takes(room, e2ee=e2ee)
            room_id = room.id
        else:
            session.check_may_speak(self._clock())
        return UploadTicket(
            user=user, room_id=room_id, name=name, e2ee=e2ee, recipient=recipient, size=size
        )

    def _find(self, session: Session, file_id: int) -> StoredFile:
        """Return a file that a session may have. Switches. Raises NotPossible."""
        found = self._database.read(lambda connection: queries.find(connection, file_id))
        session.check_is_here()
        if found is None or not _may_fetch(session, found):
            raise _no_such_file(file_id)
        return found

    def _take_in(
        self, ticket: UploadTicket, size: int | None, read: Read, sender: Session | None
    ) -> files.SharedFile:
        """Keep and share a file; `sender` waits until it is shown. Switches. Raises Refusal."""
        recipient_id = ticket.recipient.id if ticket.recipient else None
        new = NewFile(ticket.room_id, recipient_id, ticket.user.id, ticket.name, ticket.e2ee)
        with self._transfers.incoming(new) as incoming:
            if size:
                incoming.reserve(size)
            while data := read(FILE_CHUNK_BYTES):
                ticket.check()
                incoming.add(data)
            if size not in (None, incoming.size):
                raise _wrong_size()
            return self._share(ticket, incoming, sender)

    def _share(
        self, ticket: UploadTicket, incoming: Incoming, sender: Session | None
    ) -> files.SharedFile:
        """Complete a file, and show it to those it is for.

        In a room it is a decision: a user who is sent out before has not shared the file, and one
        who is sent out later has. Switches. Raises Refusal.
        """
        user, recipient = ticket.user, ticket.recipient
        if ticket.room_id is None:
            ticket.check()
            shared = incoming.complete(self._clock()).shared
            if shared.e2ee:
                return shared
            sent = files.FileSent(shared.user, shared.recipient or "", *_what(shared))
            ids = (user.id, recipient.id) if recipient else (user.id,)
            self._journal.append(_Sent(sender, self._accounts, sent, *ids))
            return shared
        room = self._rooms.open_by_id(ticket.room_id)
        with self._rooms.deciding(room):
            ticket.check()
            room.check_may_enter(user, self._clock())
            room.check_may_speak(user, self._clock())
            _check_takes(room, e2ee=ticket.e2ee)  # again: it may have been encrypted since
            if ticket.e2ee:
                return incoming.complete(self._clock()).shared
            return self._show(room, user, incoming, sender)

    def _show(
        self, room: Room, user: User, incoming: Incoming, sender: Session | None
    ) -> files.SharedFile:
        """Complete a file for a room, which is shown it. Switches. Raises Refusal."""
        now = self._clock()
        facts: list[tuple[Room, apply.FileShared]] = []
        completed: list[files.SharedFile] = []

        def work(connection: Connection) -> None:
            locks.lock(connection, rooms=[room.id])
            check_may_act(connection, user.id, now, speaks=True)
            shared = incoming.write_complete(connection, now).shared
            completed.append(shared)
            facts.append((room, apply.FileShared(shared.user, *_what(shared))))

        decision = Decision(sender, facts, work, now)
        incoming.is_complete = True  # its last chunk is stored
        try:
            self._journal.carry(decision)
        except Refusal:
            incoming.is_complete = False
            raise
        return completed[0]


def _check_name(command: files.Send) -> None:
    """Check that a file has a name, or comes encrypted. Raises BadLine if both or neither."""
    if bool(command.name) == command.e2ee:
        raise BadLine(
            "a file has a name, or comes encrypted (e2ee) and without one", code="bad_arguments"
        )


def _check_takes(room: Room, *, e2ee: bool) -> None:
    """Check that a file is encrypted as its room is. Raises Refusal."""
    if not e2ee:
        room.check_takes_plaintext()
    elif not room.is_encrypted:
        raise not_encrypted(room)


def _room_of(session: Session, found: StoredFile) -> Room | None:
    """Return a file's room, if the session is in it."""
    return next((room for room in session.rooms.values() if room.id == found.room_id), None)


def _may_fetch(session: Session, found: StoredFile) -> bool:
    """Whether a session may fetch a file: from its room, or as one of the two users."""
    if found.room_id is not None:
        return _room_of(session, found) is not None
    return session.speaker.id in (found.user_id, found.recipient_id)


def _what(shared: files.SharedFile) -> tuple[int, str, int, str, int]:
    """Return the fields of a file that events have."""
    return shared.id, shared.name, shared.size, shared.sha256, shared.at


def _url(token: str) -> str:
    return f"/f/{token}"


def _no_such_file(file_id: int) -> NotPossible:
    return NotPossible(f"there is no file {file_id} here", code="no_such_file")


def _wrong_size() -> BadLine:
    return BadLine("that is not as many bytes as was said", code="wrong_size")
