"""One device of one user, with all parts joined. Pure.

    device = Device(store, "alice")
    run(device.start(now), ask)                       # after each login
    message_id = run(device.say("lobby", "hi", now), ask)["message_id"]
    device.pushed(event)                              # td, keys_changed, keys_low, roster
    run(device.attend(now), ask)                      # what the pushes left to do
    for shown in device.read([received(event, me)]): ...
    for notice in device.notices.take(): ...

A condition, and two promises:
  1. The caller runs one flow after the other, and other methods only between their steps.
  2. The next `start` makes up for a flow that ended half-way, by a crash or a lost connection: no
     message to send is lost, and no step of a ratchet is taken twice.
  3. No answer of a server has to be believed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.encryption.directory import Directory, users_named
from app.encryption.flows import Ask, Flow, Json
from app.encryption.keyfile import export_keys, import_keys
from app.encryption.notices import Notices, Shown
from app.encryption.olm import Olm
from app.encryption.outbox import Outbox
from app.encryption.owndevices import OwnDevices
from app.encryption.payloads import (
    Content,
    Control,
    FileReference,
    MessageKind,
    RoomKeyContent,
    VerifyContent,
    parse,
    private_room,
    room_key_of,
    user_key,
)
from app.encryption.people import CHANGED, FIRST_USE, Peer, People
from app.encryption.postbox import Letter, Postbox
from app.encryption.reading import Reader, Received
from app.encryption.refusals import (
    Malformed,
    ManifestVanished,
    NotApproved,
    UnknownDevice,
    WrongRoom,
)
from app.encryption.roomkeys import RoomKeys
from app.encryption.rosters import Roster, Rosters
from app.encryption.sealing import COST, Cost
from app.encryption.sending import Sender
from app.encryption.store import ids_without_passphrase
from app.encryption.verification import Verifications, Verified, fingerprint
from app.protocol.signed import DevicePayload
from app.values.names import harmless

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from app.encryption.store import KeyStore


class Device:
    """A device; see the top of this file.

    `notices` holds what is to be told to the person. `now` is in ms, in all methods.
    """

    def __init__(self, store: KeyStore, user: str) -> None:
        """Open a user's device in a store, or make it.

        Raises StoreRefused; Malformed if the store is another user's.
        """
        self._store = store
        self.notices = Notices()
        self._olm = Olm(store)
        self._people = People(store)
        self._rosters = Rosters(store)
        self._keys = RoomKeys(store)
        self._directory = Directory(store, self._people, self._olm, self.notices)
        self._outbox = Outbox(store)
        self._postbox = Postbox(
            store, self._olm, self._people, self._directory, self._outbox, self.notices
        )
        self._sender = Sender(
            store,
            self._olm,
            self._people,
            self._directory,
            self._rosters,
            self._keys,
            self._postbox,
            self._outbox,
            self.notices,
        )
        self._own = OwnDevices(
            store, self._olm, self._people, self._directory, self._postbox, self.notices
        )
        self._reader = Reader(store, self._olm, self._people, self._rosters, self._keys)
        self._verifications = Verifications(self._people, self.notices)
        self._to_do: set[str] = set()
        self._own.create(user_key(user))
        if self._own.me.user != user_key(user):
            raise Malformed(what=f"keys of {self._own.me.user}")

    @property
    def me(self) -> Peer:
        """Return this device."""
        return self._own.me

    @property
    def is_approved(self) -> bool:
        """Return whether this device may speak for its user."""
        return self._directory.is_approved

    @property
    def code(self) -> str:
        """The code that approves this device. The user types it at an approved one."""
        return self._own.code

    # The connection.

    def start(self, now: int) -> Flow[None]:
        """Do all that is due after a login.

        Among it: finish what was left half-done. Raises EncryptionRefusal, ServerRefused.
        """
        self._rosters.doubt()
        self._directory.doubt_all()
        yield from self._own.register()
        yield from self._directory.changes()
        yield from self._fetch(now)
        yield from self._sender.flush(now)

    def pushed(self, event: Json) -> bool:
        """Take in an event that the server sent unasked.

        Returns whether `attend` has something to do.
        """
        kind = event.get("event")
        if kind == "roster":
            self._rosters.doubt(_room_named(event.get("room")))
        elif kind == "keys_changed":
            users = users_named(event.get("users"))
            self._directory.doubt(users)
            if self.me.user in users:
                self._to_do.add("keys_changed")
        elif kind in ("td", "keys_low"):
            self._to_do.add(str(kind))
        return bool(self._to_do)

    def attend(self, now: int) -> Flow[None]:
        """Do what pushes left to do. Raises EncryptionRefusal, ServerRefused."""
        while self._to_do:
            kind = self._to_do.pop()
            if kind == "td":
                yield from self._fetch(now)
            elif kind == "keys_low":
                yield from self._own.fill_up()
            else:
                yield from self._own.settle()

    def _fetch(self, now: int) -> Flow[None]:
        numbers = yield from self._postbox.fetch(self, now)
        yield from self._deliver(numbers, now)

    def _deliver(self, numbers: Iterable[str], now: int) -> Flow[None]:
        for number in numbers:
            yield from self._sender.deliver(number, now)

    # Rooms.

    def encrypt_room(self, room: str) -> Flow[Roster]:
        """Make a room encrypted, for good. Returns its roster.

        Raises ServerRefused; else as `roster`.
        """
        yield Ask("room.encrypt", {"room": room_key_of(room)})
        return (yield from self.roster(room))

    def roster(self, room: str) -> Flow[Roster]:
        """Return the roster of an encrypted room.

        Raises Downgraded, NotEncrypted, Malformed, ServerRefused.
        """
        return (yield from self._sender.roster(room_key_of(room)))

    def is_encrypted(self, room: str) -> bool:
        """Return whether a room was ever seen encrypted.

        Then it is for good, whatever the server says. Raises Malformed.
        """
        return self._rosters.is_encrypted(room_key_of(room))

    def remember_encrypted(self, rooms: set[str], users: set[str]) -> None:
        """Note what other keys of our user saw. That is rooms, and users with keys."""
        private = {private_room(self.me.user, user) for user in users - {self.me.user}}
        self._rosters.remember(rooms | private)

    def accept(self, room: str, users: Iterable[str]) -> Flow[Roster]:
        """Accept new members: they may read from now on. Raises NotAMember; else as `roster`."""
        self._rosters.doubt(room_key_of(room))
        yield from self.roster(room)
        return self._rosters.accept(room_key_of(room), {user_key(user) for user in users})

    def say(self, room: str, body: str, now: int, *, kind: MessageKind = "text") -> Flow[Json]:
        """Send a text to a room; return the server's answer.

        The answer comes when it is stored. With kind `me`, it is a deed. Raises Withheld or
        Untrusted when nothing was sent, and why; TooLong; ServerRefused.
        """
        content = Content(t=kind, body=harmless(body))
        return (yield from self._sender.say(room_key_of(room), content, now))

    def say_privately(self, user: str, body: str, now: int) -> Flow[Json]:
        """Send a text to one user. Raises as `say`."""
        return (yield from self.say(private_room(self.me.user, user), body, now))

    def is_private_to(self, user: str) -> Flow[bool]:
        """Return whether a user has, or ever had, keys.

        Messages to them alone are encrypted then. Raises Untrusted if the server brings keys that
        can't be believed; ServerRefused.
        """
        other = user_key(user)
        yield from self._directory.refresh([other])
        self._directory.check(other)
        is_known = self._people.find(other) is not None
        if not is_known and self._rosters.is_encrypted(private_room(self.me.user, other)):
            raise ManifestVanished(user=other)  # other keys of ours have seen that user's
        return is_known

    @property
    def rooms_unsent(self) -> set[str]:
        """The rooms with messages that the server has not stored."""
        rows = (self._outbox.row(number) or {} for number in self._outbox.numbers())
        return {row["draft"]["room"] for row in rows if "draft" in row}

    def say_file(self, room: str, file: FileReference, now: int) -> Flow[Json]:
        """Tell a room of a file that the server has.

        The server has its ciphertext. Raises as `say`.
        """
        content = Content(t="file", file=file)
        return (yield from self._sender.say(room_key_of(room), content, now))

    def read(self, messages: Iterable[Received]) -> list[Shown]:
        """Return how to show messages, one for each, in order.

        They may be live or old. Raises OwnDeviceCopied: then this device must not send any more.
        """
        return self._reader.read(messages)

    # People.

    def keyless(self, users: Iterable[str]) -> Flow[list[str]]:
        """Return those of some users who have no keys.

        They can read nothing that is encrypted. Raises ServerRefused.
        """
        known = sorted(user_key(user) for user in users)
        yield from self._directory.refresh(known)
        return [user for user in known if self._directory.is_keyless(user)]

    def mark(self, user: str) -> str:
        """Return the mark for a name. It is verified, first use, or changed."""
        return self._people.mark(user_key(user))

    def is_doubted(self, user: str) -> bool:
        """Return whether a user's identity was last in doubt.

        Then a person has to decide. Raises NoKeys.
        """
        return self._people.pin_of(user_key(user)).mark == CHANGED

    def is_first_use(self, user: str) -> bool:
        """Return whether an identity is neither verified nor in doubt."""
        return self.mark(user) == FIRST_USE

    def fingerprint(self, user: str) -> Flow[str]:
        """Return the 60 digits to compare with a user's.

        They are the same if no party is in between. Raises NoKeys, NotApproved, ServerRefused.
        """
        other = user_key(user)
        self._directory.doubt([other])
        yield from self._directory.refresh([other])
        return fingerprint((self.me.user, self._own_aik), (other, self._people.aik_shown(other)))

    @property
    def _own_aik(self) -> str:
        aik = self._directory.own_aik
        if aik is None:
            raise NotApproved(device=self.me.device, approval=self.code)
        return aik

    def trust(self, user: str, now: int) -> Flow[None]:
        """Accept the identity that a user has now.

        The user's devices are asked again for the keys that were refused. Raises NoKeys,
        ServerRefused.
        """
        other = user_key(user)
        self._people.trust(other)
        self._directory.doubt([other])
        yield from self._directory.refresh([other])
        for peer in self._people.pin_of(other).peers:
            numbers = yield from self._postbox.renew(peer.user, peer.device, now)
            yield from self._deliver(numbers, now)

    def verify(self, user: str, now: int) -> Flow[None]:
        """Begin to compare numbers with a user, or agree.

        Raises NoKeys, NotApproved, ServerRefused.
        """
        other = user_key(user)
        self._own_aik  # noqa: B018 - raises without an identity
        yield from self._directory.refresh([other])
        peers = self._people.pin_of(other).peers
        yield from self._postbox.reach(peers, now)
        yield from self._conclude(self._verifications.begin(other, peers, now), now)

    def confirm(self, user: str, now: int, *, is_same: bool) -> Flow[None]:
        """Say whether both persons saw the same numbers.

        Raises NothingToVerify, NotApproved, ServerRefused.
        """
        other = user_key(user)
        verified = self._verifications.confirm(other, self.me, self._own_aik, now, is_same=is_same)
        yield from self._conclude(verified, now)

    def _conclude(self, verified: Verified, now: int) -> Flow[None]:
        """Carry out the result of a step of a verification."""
        if verified.verified:
            self._people.set_verified(*verified.verified)
        if verified.failed:
            self._people.set_failed(verified.failed)
        yield from self._write(verified.letters, now)

    def _write(self, letters: list[Letter], now: int) -> Flow[None]:
        reachable = yield from self._postbox.reach([letter.to for letter in letters], now)
        with self._store.transaction():
            numbers = self._postbox.seal(each for each in letters if each.to in reachable)
        yield from self._deliver(numbers, now)

    # Messages from other devices; see Receiver.

    def take(self, peer: Peer | None, control: Control, now: int) -> Flow[None] | None:
        """Take in a message of a device, inside a transaction.

        Returns a flow to run after the transaction, or None. Raises Untrusted.
        """
        if control.kind == "approved" and control.sender.user == self.me.user:
            self._own.take_approved(control.content)
            return self._own.settle()
        if peer is None:
            raise UnknownDevice(user=control.sender.user, device=control.sender.device)
        if control.kind == "room_key":
            self._take_key(peer, control.content)
            return None
        if control.kind == "renew":
            return self._resend(peer, now)
        content = parse(VerifyContent, control.content, "a step of a verification")
        aik = self._directory.own_aik
        if aik is None:
            return None
        return self._conclude(self._verifications.take(peer, content, self.me, aik, now), now)

    def _take_key(self, peer: Peer, content: str) -> None:
        key = parse(RoomKeyContent, content, "a key for messages")
        if key.room.startswith("@") and key.room != private_room(self.me.user, peer.user):
            raise WrongRoom(user=peer.user, room=key.room)
        self._keys.take(peer, self._people.pin_of(peer.user).manifest.aik, key)
        for shown in self._reader.late(key.sid):
            self.notices.add(shown)

    def _resend(self, peer: Peer, now: int) -> Flow[None]:
        """Give a device its keys again.

        At most once an hour. Each key reads from the message on from which it was given.
        """
        if self._postbox.may_repeat("resent", peer, now):
            letters = [Letter(peer, "room_key", key) for key in self._keys.given_to(peer, self.me)]
            yield from self._write(letters, now)

    # Devices and keys.

    def devices(self) -> Flow[list[tuple[DevicePayload, bool]]]:
        """Return our user's devices, and whether each is approved. Raises ServerRefused."""
        return (yield from self._own.list_devices())

    def approve(self, device: str, code: str, now: int) -> Flow[None]:
        """Approve another device, by the code that it shows.

        Raises ApprovalFailed, NoSuchDevice, NotApproved, Untrusted, ServerRefused.
        """
        numbers = yield from self._own.approve(device, code, now)
        yield from self._deliver(numbers, now)

    def revoke(self, device: str) -> Flow[None]:
        """Revoke a device of our user.

        Raises NoSuchDevice, NotApproved, Untrusted, ServerRefused.
        """
        yield from self._own.revoke(device)

    def begin_anew(self) -> Flow[None]:
        """Make another identity: all other users have to trust it.

        For when no approved device is left. Raises ServerRefused.
        """
        yield from self._own.begin_anew()

    def export_keys(self, passphrase: str, cost: Cost = COST) -> bytes:
        """Return a file with all keys of this device. Raises ValueError for an empty passphrase."""
        return export_keys(self._keys, self.me.user, passphrase, cost)

    def import_keys(self, path: Path, passphrase: str) -> tuple[int, int]:
        """Take in a file of `export_keys`.

        Returns how many keys it had, and how many were refused. Raises KeyFileRefused.
        """
        return import_keys(self._store, self._keys, self.me.user, path, passphrase)


def seen_encrypted(path: Path) -> tuple[set[str], set[str]]:
    """Return what a file of keys has seen encrypted.

    That is rooms, and users. The keys need not be open. Raises StoreUnusable.
    """
    return ids_without_passphrase(path, "room"), ids_without_passphrase(path, "pin")


def _room_named(room: object) -> str | None:
    """Return the room that the server names. None if it names none: that stands for each."""
    try:
        return room_key_of(str(room))
    except Malformed:
        return None
