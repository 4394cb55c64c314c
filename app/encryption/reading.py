"""Read messages, and check each against a lying server. Pure.

A message that can't be believed is shown as the sentence that says why. A message without a key
waits in the store, and is shown when the key comes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from app.encryption.attachments import harmless_file_name
from app.encryption.envelope import unpack
from app.encryption.flows import Json
from app.encryption.notices import Shown
from app.encryption.payloads import Encrypted, Envelope, parse_answer, room_key_of, user_key
from app.encryption.people import CHANGED, FIRST_USE, IMPORTED, PLAINTEXT
from app.encryption.refusals import (
    KeyMissing,
    Malformed,
    OwnDeviceCopied,
    PlaintextInjected,
    Replayed,
    Untrusted,
    WrongRoom,
    WrongSender,
)
from app.values.names import harmless

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.encryption.olm import Olm
    from app.encryption.payloads import FileReference
    from app.encryption.people import People
    from app.encryption.roomkeys import Decrypted, RoomKeys
    from app.encryption.rosters import Rosters
    from app.encryption.store import KeyStore

ID_MAX = (1 << 53) - 1  # of a message
WAITING_MAX = 1_000  # newest ones without a key; others can be fetched from history again


class Received(NamedTuple):
    """A message as the server shows it.

    `enc` is None in the clear. `is_live`: it came unasked, as new; not from history, nor as the
    replay after a join.
    """

    room: str
    id: int
    user: str
    device: str = ""
    enc: object = None
    body: str = ""
    is_live: bool = False


class Reader:
    """Messages to show; see the top of this file."""

    def __init__(
        self, store: KeyStore, olm: Olm, people: People, rosters: Rosters, keys: RoomKeys
    ) -> None:
        self._store = store
        self._olm = olm
        self._people = people
        self._rosters = rosters
        self._keys = keys

    def read(self, messages: Iterable[Received]) -> list[Shown]:
        """Return how to show messages, one for each, in order.

        Raises OwnDeviceCopied, and the other StoreRefused.
        """
        with self._store.transaction():
            return [self._show(message) for message in messages]

    def late(self, sid: str) -> list[Shown]:
        """Return, and forget, the messages that waited for a key. Inside a transaction."""
        shown = []
        for row_id in self._store.ids("waiting"):
            row = self._store.get("waiting", row_id) if row_id.startswith(f"{sid} ") else None
            if row:
                self._store.delete("waiting", row_id)
                shown.append(self._show(Received(**row)))
        return sorted(shown, key=lambda each: each.id)

    def _show(self, message: Received) -> Shown:
        room, user = harmless(message.room), harmless(message.user)
        try:
            return self._open(message)
        except KeyMissing as refusal:
            self._wait(message)
            return self._refused(room, user, message, refusal)
        except Untrusted as refusal:
            return self._refused(room, user, message, refusal)

    @staticmethod
    def _refused(room: str, user: str, message: Received, refusal: Untrusted) -> Shown:
        mark = CHANGED if message.enc is not None else PLAINTEXT
        return Shown(room, message.id, user, harmless(message.device), mark, refusal=refusal)

    def _wait(self, message: Received) -> None:
        enc = parse_answer(Encrypted, message.enc, "an encrypted message")
        late = message._replace(is_live=False)  # when it is read later, it is no longer new
        self._store.put("waiting", f"{enc.sid} {message.id}", late._asdict())
        waiting = self._store.ids("waiting")
        if len(waiting) > WAITING_MAX:  # anyone can send messages without a key
            self._store.delete("waiting", min(waiting, key=_message_id))

    def _open(self, message: Received) -> Shown:
        """Check and decrypt a message. Raises Untrusted, OwnDeviceCopied."""
        room, user = room_key_of(message.room), user_key(message.user)
        if message.enc is None:
            return self._open_plain(room, user, message)
        if not message.id:
            raise Malformed(what="an encrypted message")
        enc = parse_answer(Encrypted, message.enc, "an encrypted message")
        decrypted = self._keys.decrypt(room, user, message.device, enc)
        envelope = unpack(decrypted.plaintext)
        self._check_envelope(envelope, room, user, message.device)
        self._check_own(room, user, message.device, enc.sid, decrypted.number)
        self._check_new(envelope, enc.sid, decrypted.number, message)
        self._rosters.pin(room, message.id)
        return Shown(
            room,
            message.id,
            user,
            message.device,
            self._mark(user, decrypted),
            envelope.t,
            harmless(envelope.body or ""),
            _harmless_file(envelope.file),
            envelope.ts,
        )

    def _open_plain(self, room: str, user: str, message: Received) -> Shown:
        """Return a message in the clear.

        Raises PlaintextInjected if its room was encrypted by then.
        """
        if self._rosters.is_encrypted(room) and (
            message.is_live or not 0 < message.id <= self._rosters.encrypted_from(room)
        ):
            raise PlaintextInjected(what="a message", user=user)
        return Shown(room, message.id, user, "", PLAINTEXT, body=harmless(message.body))

    def _check_envelope(self, envelope: Envelope, room: str, user: str, device: str) -> None:
        """Compare the envelope with what the server shows. Raises WrongSender, WrongRoom."""
        if (envelope.sender.user, envelope.sender.device) != (user, device):
            raise WrongSender(user=user)
        if envelope.room != room:
            raise WrongRoom(user=user, room=room)
        if room.startswith("@") and user not in room[1:].split(","):
            raise WrongRoom(user=user, room=room)

    def _check_own(self, room: str, user: str, device: str, sid: str, index: int) -> None:
        """Check that this device sent a message under its name. Raises OwnDeviceCopied."""
        me = self._olm.me
        if me and (user, device) == (me.user, me.device):
            coming = self._keys.next_index(room, sid)
            if coming is not None and index >= coming:
                raise OwnDeviceCopied

    def _check_new(self, envelope: Envelope, sid: str, index: int, message: Received) -> None:
        """Check a message against those shown before.

        A message has one id for good, and is new once. Raises Replayed.
        """
        mid = f"{envelope.sender.user}/{envelope.sender.device}/{envelope.mid}"
        for kind, key in (("seen", f"{sid} {index}"), ("mid", mid)):
            row = self._store.get(kind, key)
            if row is None:
                self._store.put(kind, key, {"id": message.id})
            elif row["id"] != message.id or message.is_live:
                raise Replayed(user=envelope.sender.user)

    def _mark(self, user: str, decrypted: Decrypted) -> str:
        if decrypted.is_imported:
            return IMPORTED
        pin = self._people.find(user)
        if pin and pin.manifest.aik != decrypted.aik:
            return CHANGED
        return pin.mark if pin else FIRST_USE


def _message_id(row_id: str) -> int:
    """Return the id of the message in a waiting row."""
    return int(row_id.rpartition(" ")[2])


def _harmless_file(file: FileReference | None) -> FileReference | None:
    """Return a file with a name that is harmless."""
    if file is None:
        return None
    name, file_type = harmless_file_name(file.name), harmless(file.type)
    return file.model_copy(update={"name": name, "type": file_type})


def received(event: Json, me: str, *, is_live: bool | None = None) -> Received:
    """Return the message in an event or history line.

    `event` is a `message` or a `private`. `is_live`: a caller that knows its own request says so;
    else it is taken from the event.
    """
    room, message_id = event.get("room"), event.get("id")
    user = str(event.get("user", ""))
    if is_live is None:
        is_live = "event" in event and event.get("is_replayed") is not True
    if room is None:
        room = f"@{user},{event.get('recipient') or event.get('to') or me}"
    return Received(
        str(room),
        message_id if type(message_id) is int and 0 < message_id <= ID_MAX else 0,
        user,
        str(event.get("device") or ""),
        event.get("enc"),
        str(event.get("body") or ""),
        is_live,
    )
