"""The model's rules of files: who may share one and fetch it, and who is shown so."""

from __future__ import annotations

from hashlib import sha256

from app.protocol import files
from app.values.names import BadNameError, harmless, parse_file_name
from tests.fire.fuzz.model_base import Base
from tests.fire.fuzz.state import TICKET_MILLISECONDS, File, Refused, Room, Seat, Ticket, in_force

FILE_BYTES_MAX = 8 << 20
ENCRYPTED = "[encrypted]"  # what is called so, only devices know
SERVER = "http://127.0.0.1:8888"


class Files(Base):
    """What is asked about files, and what comes over HTTP."""

    def _right(self, seat: Seat, command: files.Send | files.Upload) -> Ticket:
        """Return the right to share a file. Raises Refused."""
        e2ee = isinstance(command, files.Send) and command.e2ee
        try:
            name = "" if e2ee else parse_file_name(command.name)
        except BadNameError:
            raise Refused("bad_file_name") from None
        recipient = self.find(command.user) if command.user else None
        self.check_may_speak(seat)
        room = None
        if recipient is None:
            room = self.room_of(seat, command.room)
            self.check_may_speak(seat, room)
            self._check_takes(room, e2ee=e2ee)
        expires_at = self.now + TICKET_MILLISECONDS
        return Ticket(seat.me, expires_at, name, None, room, recipient, e2ee=e2ee)

    @staticmethod
    def _check_takes(room: Room, *, e2ee: bool) -> None:
        if e2ee != (room.roster is not None):
            raise Refused("not_e2ee" if e2ee else "e2ee_required")

    def _send(self, seat: Seat, command: files.Send) -> None:
        if command.size is not None and command.size > FILE_BYTES_MAX:
            raise Refused("too_large")
        if (command.room and command.user) or bool(command.name) == command.e2ee:
            raise Refused("bad_arguments")
        ticket = self._right(seat, command)
        ticket.size = command.size
        self.offered = ticket
        path, name = harmless(command.name), ticket.name or ENCRYPTED
        self.tell(seat, files.UploadOffered("", name, ticket.expires_at, path, SERVER))

    def _upload(self, seat: Seat, command: files.Upload) -> None:
        self._share(self._right(seat, command), command.data)

    def _share(self, ticket: Ticket, data: bytes) -> None:
        """Let a file be there. Raises Refused; it has used up an id all the same."""
        self.file_ids += 1
        room, owner, recipient = ticket.room, ticket.owner, ticket.recipient
        if room is not None:
            self.check_may_enter(room, owner)
            if in_force(room.mutes, owner, self.now):
                raise Refused("muted")
            self._check_takes(room, e2ee=ticket.e2ee)
        to = recipient.shown if recipient else None
        digest = sha256(data).hexdigest()
        name = ticket.name or ENCRYPTED
        shared = files.SharedFile(
            self.file_ids, name, len(data), digest, owner.shown, to, self.now, ticket.e2ee
        )
        self.files[shared.id] = File(shared, owner, data, room, recipient)
        if shared.e2ee:
            return  # the message that names it shows it
        what = (shared.id, shared.name, shared.size, shared.sha256, self.now)
        if room is not None:
            self.show(room, files.FileShared(room.shown, owner.shown, *what), by=owner)
            return
        sent = files.FileSent(owner.shown, to or "", *what)
        for account in {owner, recipient}:
            for seat in account.seats if account else ():
                if owner.shown not in account.ignored:
                    self.tell(seat, sent)

    def bring(self, path: str, data: bytes) -> str:
        """Take in a file that comes over HTTP, and return the code of the refusal, or nothing."""
        self.out.clear()
        ticket = self.tickets.get(path)
        if ticket is None or ticket.file or ticket.expires_at <= self.now:
            return "no_such_transfer"
        if ticket.size not in (None, len(data)):
            return "wrong_size"
        del self.tickets[path]
        try:
            self._share(ticket, data)
        except Refused as refused:
            return refused.code
        return ""

    def fetch(self, path: str) -> bytes | str:
        """Return the file that is fetched over HTTP, or the code of the refusal."""
        ticket = self.tickets.get(path)
        if ticket is None or ticket.file is None or ticket.expires_at <= self.now:
            return "no_such_transfer"
        del self.tickets[path]
        is_there = self.files.get(ticket.file.shared.id) is ticket.file
        return ticket.file.data if is_there or not ticket.file.data else "no_such_file"

    def _of(self, seat: Seat, file_id: int) -> File:
        """Return a file that a seat may have. Raises Refused."""
        file = self.files.get(file_id)
        if file is None or not self._may_fetch(seat, file):
            raise Refused("no_such_file")
        return file

    @staticmethod
    def _may_fetch(seat: Seat, file: File) -> bool:
        if file.room is not None:
            return file.room in seat.rooms
        return seat.account in (file.owner, file.recipient)

    def _get(self, seat: Seat, command: files.Get) -> None:
        file = self._of(seat, command.file)
        shared, expires_at = file.shared, self.now + TICKET_MILLISECONDS
        self.offered = Ticket(seat.me, expires_at, room=file.room, file=file)
        what = (shared.name, shared.size, shared.sha256, expires_at, SERVER)
        self.tell(seat, files.DownloadOffered(shared.id, "", *what))

    def _download(self, seat: Seat, command: files.Download) -> None:
        file = self._of(seat, command.file)
        self.tell(seat, files.FilePrinted(file.shared, file.data))

    def _files(self, seat: Seat, command: files.Files) -> None:
        room: Room | None = None
        if seat.rooms or command.room:
            room = self.room_of(seat, command.room)
        found = [
            file.shared
            for _, file in sorted(self.files.items())
            if (room is not None and file.room is room)
            or (file.room is None and seat.account in (file.owner, file.recipient))
        ]
        first_id = found[0].id if found else 1
        self.tell(seat, files.FilesListed(found, has_more=False, before_id=first_id))

    def is_in_limbo(self, file_id: int) -> bool:
        """Whether a file is of a room that was deleted, and will be removed some time."""
        file = self.files.get(file_id)
        return file is not None and file.room is not None and file.room.is_deleted

    def _unshare(self, seat: Seat, command: files.Unshare) -> None:
        file = self.files.get(command.file)
        if file is None or not (file.owner is seat.me or self._may_fetch(seat, file)):
            raise Refused("no_such_file")
        if file.owner is not seat.me and (file.room is None or not file.room.role(seat.account)):
            raise Refused("not_allowed")
        del self.files[command.file]
        self.done(seat)
