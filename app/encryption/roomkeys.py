"""Megolm: the keys of messages in rooms. By vodozemac; pure.

We have one session a room. Every device that may read is given its key, for the messages from then
on. The session is replaced after 100 messages, after 7 days, and as soon as a device that was given
its key may no longer read. A key of another device belongs to that device, which sent it over Olm,
and to one room: no message of another device, or in another room, is read with it.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from vodozemac import (
    ExportedSessionKey,
    GroupSession,
    InboundGroupSession,
    MegolmMessage,
    SessionKey,
)

from app.encryption.olm import BINDING_ERRORS
from app.encryption.payloads import Encrypted, RoomKeyContent
from app.encryption.refusals import (
    KeyMissing,
    Malformed,
    SaidBefore,
    SessionConflict,
    Tampered,
    UnknownAlgorithm,
    WrongRoom,
    WrongSender,
)

if TYPE_CHECKING:
    from app.encryption.people import Peer
    from app.encryption.store import Json, KeyStore

ALGORITHM = "megolm.v1"
MESSAGES_A_SESSION_MAX = 100  # one stolen key can read so many
SESSION_MILLISECONDS_MAX = 7 * 86_400_000
GIVEN_MILLISECONDS_MAX = 30 * 86_400_000  # as long as a mailbox may keep a key
UNUSED_MAX = 2_000  # keys of others that have read nothing yet: some 2 MB
_OWNERS_MAX = 8  # devices that claim one session: at most one is honest

_WHAT = "a key for messages"


class Decrypted(NamedTuple):
    """A message's plaintext, and its number in its session.

    `aik` is the identity of the sender when the key came.
    """

    plaintext: bytes
    number: int
    is_imported: bool
    aik: str


class RoomKeys:
    """Our sessions, and the keys of others. Methods that write are called inside a transaction."""

    def __init__(self, store: KeyStore) -> None:
        self._store = store

    # Our sessions.

    def lacking(self, room: str, peers: list[Peer], now: int) -> list[Peer]:
        """Return the devices that still need our session's key.

        Those are all of them if the session has to be replaced. `now` is in ms, here and below.
        """
        row = self._current(room, peers, now)
        given = self._given(row["sid"]) if row else {}
        return [peer for peer in peers if peer.key not in given]

    def is_ready(self, room: str, peers: list[Peer], now: int) -> bool:
        """Return whether our session may be used for these devices.

        It may not if a device that is none of them was given its key.
        """
        return self._current(room, peers, now) is not None

    def is_used_up(self, room: str, now: int) -> bool:
        """Return whether our session is too old or too much used.

        The devices are worth another look then.
        """
        row = self._store.get("outbound", room)
        return row is not None and not _is_usable(row, now)

    def _current(self, room: str, peers: list[Peer], now: int) -> Json | None:
        """Return our session's row, unless it has to be replaced."""
        row = self._store.get("outbound", room)
        if row is None or not _is_usable(row, now):
            return None
        lost = set(self._given(row["sid"])) - {peer.key for peer in peers}
        return None if lost else row

    def _given(self, sid: str) -> dict[str, int]:
        row = self._store.get("given", sid)
        return dict(row["peers"]) if row else {}

    def renew(self, room: str, peers: list[Peer], me: Peer, aik: str, now: int) -> str:
        """Return the id of our session.

        It is a new one if the old one may not be used for these devices.
        """
        current = self._current(room, peers, now)
        if current:
            return str(current["sid"])
        session = GroupSession()
        row = {"sid": session.session_id, "made_at": now, "count": 0}
        self._save(room, session, row)
        self._store.put("given", session.session_id, {"room": room, "made_at": now, "peers": {}})
        self.take(me, aik, self._content(room, session), is_own=True)
        for sid, given in self._store.rows("given"):
            if now - given["made_at"] > GIVEN_MILLISECONDS_MAX:
                self._store.delete("given", sid)
        return str(session.session_id)

    def give(self, room: str, peers: list[Peer]) -> str:
        """Return our session's key from the next message on.

        Notes that these devices are given it.
        """
        row = self._store.get("outbound", room) or {}
        session = GroupSession.from_pickle(row["pickle"], self._store.pickle_key)
        given = self._store.get("given", row["sid"]) or {}
        given["peers"].update({peer.key: session.message_index for peer in peers})
        self._store.put("given", row["sid"], given)
        return self._content(room, session).dump()

    def take_back(self, sid: str, keys: set[str]) -> None:
        """Note that devices were not given a key. It did not reach them."""
        given = self._store.get("given", sid)
        if given:
            given["peers"] = {k: i for k, i in given["peers"].items() if k not in keys}
            self._store.put("given", sid, given)

    def given_to(self, peer: Peer, me: Peer) -> list[str]:
        """Return all keys that a device was given lately.

        They are to be sent again. Each reads from the message on from which it was given.
        """
        contents = []
        for sid, given in self._store.rows("given"):
            index = given["peers"].get(peer.key)
            row = self._store.get("inbound", sid)
            if index is None or row is None:
                continue
            key = self._inbound(row["entries"][str(me)]).export_at(index)
            if key is not None:
                contents.append(_exported(given["room"], sid, index, key.to_base64()).dump())
        return contents

    def encrypt(self, room: str, plaintext: bytes) -> Json:
        """Encrypt a message; return its encrypted part. That is one step of the ratchet."""
        row = self._store.get("outbound", room) or {}
        session = GroupSession.from_pickle(row["pickle"], self._store.pickle_key)
        message = session.encrypt(plaintext)
        self._save(room, session, {**row, "count": row["count"] + 1})
        return {"alg": ALGORITHM, "sid": session.session_id, "ct": message.to_base64()}

    def next_index(self, room: str, sid: str) -> int | None:
        """Return the number of our session's next message.

        None if `sid` is not our current session.
        """
        row = self._store.get("outbound", room)
        return int(row["count"]) if row and row["sid"] == sid else None

    def _save(self, room: str, session: GroupSession, row: Json) -> None:
        pickle = session.pickle(self._store.pickle_key)
        self._store.put("outbound", room, {**row, "pickle": pickle})

    @staticmethod
    def _content(room: str, session: GroupSession) -> RoomKeyContent:
        return RoomKeyContent(
            room=room,
            sid=session.session_id,
            index=session.message_index,
            key=session.session_key.to_base64(),
        )

    # Keys of others.

    def take(
        self,
        owner: Peer,
        aik: str,
        content: RoomKeyContent,
        *,
        is_imported: bool = False,
        is_own: bool = False,
    ) -> None:
        """Keep a key that its owner sent.

        `is_imported`: it is from a file, which says that it is the owner's. Anyone may send keys
        without end, also of rooms without members: keys that have read nothing are bounded. Raises
        Malformed; SessionConflict if it contradicts another key of that owner, or too many claim
        the session.
        """
        session = _open(content)
        row = self._store.get("inbound", content.sid) or {"entries": {}}
        address = str(owner)
        known = row["entries"].get(address)
        if known is None and len(row["entries"]) >= _OWNERS_MAX:
            raise SessionConflict(user=owner.user)
        if known is not None:
            if known["room"] != content.room or known["ed25519"] != owner.ed25519:
                raise SessionConflict(user=owner.user)
            session = _earlier(self._inbound(known), session, owner.user)
            is_imported = is_imported and known["is_imported"]
        unused = str(known.get("unused", "")) if known else ""
        if known is None and not (is_imported or is_own):
            unused = self._note_unused(owner, content.sid)
        row["entries"][address] = {
            "room": content.room,
            "ed25519": owner.ed25519,
            "aik": aik,
            "is_imported": is_imported,
            "pickle": session.pickle(self._store.pickle_key),
            "unused": unused,
        }
        self._store.put("inbound", content.sid, row)

    def _note_unused(self, owner: Peer, sid: str) -> str:
        """Note a new key.

        If there are too many, the user who sent most of them loses the oldest of theirs.
        """
        ids = self._store.ids("unused")
        if len(ids) >= UNUSED_MAX:
            most, _ = Counter(row_id.split()[1].partition("/")[0] for row_id in ids).most_common(1)[
                0
            ]
            self._forget(next(each for each in ids if each.split()[1].partition("/")[0] == most))
        number = int(ids[-1].split()[0]) + 1 if ids else 0
        row_id = f"{number:019} {owner} {sid}"
        self._store.put("unused", row_id, {})
        return row_id

    def _forget(self, row_id: str) -> None:
        _, address, sid = row_id.split()
        self._store.delete("unused", row_id)
        row = self._store.get("inbound", sid) or {"entries": {}}
        row["entries"].pop(address, None)
        if row["entries"]:
            self._store.put("inbound", sid, row)
        else:
            self._store.delete("inbound", sid)

    def _note_used(self, sid: str, row: Json, address: str) -> None:
        """Keep a key for good: it has read a message."""
        row_id = row["entries"][address].pop("unused", "")
        if row_id:
            self._store.delete("unused", row_id)
            self._store.put("inbound", sid, row)

    def decrypt(self, room: str, user: str, device: str, enc: Encrypted) -> Decrypted:
        """Decrypt a message.

        The server shows it as said in a room by a device of a user. Raises KeyMissing, SaidBefore,
        WrongRoom, WrongSender, Tampered, UnknownAlgorithm.
        """
        if enc.alg != ALGORITHM:
            raise UnknownAlgorithm(user=user)
        row = self._store.get("inbound", enc.sid)
        if row is None:
            raise KeyMissing(user=user)
        entry = row["entries"].get(f"{user}/{device}")
        if entry is None:
            raise WrongSender(user=user)
        if entry["room"] != room:
            raise WrongRoom(user=user, room=room)
        session = self._inbound(entry)
        try:
            message = MegolmMessage.from_base64(enc.ct)
            if message.message_index() < session.first_known_index:
                raise SaidBefore(user=user)
            decrypted = session.decrypt(message)
        except BINDING_ERRORS as error:
            raise Tampered(user=user) from error
        self._note_used(enc.sid, row, f"{user}/{device}")
        number = decrypted.message_index
        return Decrypted(decrypted.plaintext, number, entry["is_imported"], entry["aik"])

    def _inbound(self, entry: Json) -> InboundGroupSession:
        return InboundGroupSession.from_pickle(entry["pickle"], self._store.pickle_key)

    # Files of keys.

    def export(self) -> list[Json]:
        """Return all keys. Each reads as early as it is known."""
        exported = []
        for sid, row in self._store.rows("inbound"):
            for address, entry in row["entries"].items():
                session = self._inbound(entry)
                index = session.first_known_index
                key = session.export_at(index)
                if key is not None:
                    content = _exported(entry["room"], sid, index, key.to_base64())
                    exported.append(
                        {
                            "owner": address,
                            "ed25519": entry["ed25519"],
                            "aik": entry["aik"],
                            "content": content.model_dump(),
                        }
                    )
        return exported


def _is_usable(row: Json, now: int) -> bool:
    is_young: bool = 0 <= now - row["made_at"] < SESSION_MILLISECONDS_MAX
    return is_young and int(row["count"]) < MESSAGES_A_SESSION_MAX


def _exported(room: str, sid: str, index: int, key: str) -> RoomKeyContent:
    return RoomKeyContent(room=room, sid=sid, index=index, key=key, is_exported=True)


def _open(content: RoomKeyContent) -> InboundGroupSession:
    try:
        if content.is_exported:
            session = InboundGroupSession.import_session(ExportedSessionKey(content.key))
        else:
            session = InboundGroupSession(SessionKey(content.key))
    except BINDING_ERRORS as error:
        raise Malformed(what=_WHAT) from error
    if (session.session_id, session.first_known_index) != (content.sid, content.index):
        raise Malformed(what=_WHAT)
    return session


def _earlier(
    known: InboundGroupSession, session: InboundGroupSession, user: str
) -> InboundGroupSession:
    """Return that of a session's two keys which reads more.

    Raises SessionConflict if they differ.
    """
    index = max(known.first_known_index, session.first_known_index)
    exports = [each.export_at(index) for each in (known, session)]
    if len({key.to_base64() for key in exports if key is not None}) != 1 or None in exports:
        raise SessionConflict(user=user)
    return min(known, session, key=lambda each: each.first_known_index)
