"""Olm: messages from one device to another. By vodozemac; pure.

Methods that use a ratchet are called inside a transaction of the store, so that each step is kept:
a session comes from the store, is used once, and goes back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vodozemac import Account, AnyOlmMessage, Curve25519PublicKey, Session

from app.encryption.payloads import (
    CONTROL_BYTES_MAX,
    Address,
    Control,
    ControlKind,
    OlmBody,
    Party,
    parse,
)
from app.encryption.people import Peer, peer_of
from app.encryption.refusals import (
    BadSignature,
    WedgedSession,
    WrongOwner,
    WrongRecipient,
)
from app.encryption.signing import open_signed, sign_as_device
from app.protocol.signatures import Kind
from app.protocol.signed import (
    FALLBACK,
    ONE_TIME,
    DeviceKeys,
    OneTimeKeyPayload,
    Signed,
    decode,
    encode,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.encryption.store import Json, KeyStore

BINDING_ERRORS = (ValueError, OverflowError, TypeError)  # vodozemac has no error of its own
ONE_TIME_KEYS = 50  # that the server holds for us when all is well
ONE_TIME_KEYS_OPEN_MAX = 4_000  # made and never used; the library forgets the oldest at 5,000
_SESSIONS_A_PEER_MAX = 5  # both sides may begin one at once, and some are lost


class Olm:
    """The device's Olm account, and its sessions with others."""

    def __init__(self, store: KeyStore) -> None:
        self._store = store
        self._me: Peer | None = None

    # The account.

    def create(self, user: str, device: str) -> None:
        """Make the keys of this device, inside a transaction."""
        self._save(Account(), {"user": user, "device": device, "made": 0, "used": 0})

    @property
    def me(self) -> Peer | None:
        """Return this device; None if it has not been made."""
        row = None if self._me else self._store.get("account")
        if row is not None:
            self._me = peer_of(row["user"], self._keys(self._load(row), row["device"]))
        return self._me

    def sign(self, kind: Kind, payload: str) -> Signed:
        """Sign a payload with this device's key."""
        return sign_as_device(self._load(self._row()), kind, payload)

    def _row(self) -> Json:
        row = self._store.get("account")
        assert row is not None  # noqa: S101 - made before anything else
        return row

    def _load(self, row: Json) -> Account:
        return Account.from_pickle(row["pickle"], self._store.pickle_key)

    def _save(self, account: Account, row: Json) -> None:
        row = {**row, "pickle": account.pickle(self._store.pickle_key)}
        self._store.put("account", "", row)

    @staticmethod
    def _keys(account: Account, device: str) -> DeviceKeys:
        return DeviceKeys(
            id=device,
            ed25519=account.ed25519_key.to_base64(),
            curve25519=account.curve25519_key.to_base64(),
        )

    # One-time keys: stored, then uploaded, then marked as published.

    def fill_up(self, count: int, *, with_fallback: bool) -> None:
        """Make the one-time keys that the server lacks.

        `count` is how many it has. Inside a transaction. `with_fallback`: make a fallback key too,
        if none waits to be uploaded.
        """
        row = self._row()
        account = self._load(row)
        lacking = ONE_TIME_KEYS - count - len(account.one_time_keys)
        lacking = min(lacking, ONE_TIME_KEYS_OPEN_MAX - row["made"] + row["used"])
        if lacking > 0:
            account.generate_one_time_keys(lacking)
            row["made"] += lacking
        if with_fallback and not _fallback_keys(account):
            account.generate_fallback_key()  # type: ignore[attr-defined]
        self._save(account, row)

    def unpublished(self) -> Json:
        """Return the fields of `keys.otk.put`.

        They are the same until the keys are marked as published.
        """
        row = self._row()
        account = self._load(row)
        one_time = _named(ONE_TIME, account.one_time_keys)
        fallback = _named(FALLBACK, _fallback_keys(account))
        return {
            "otk": [_offer(account, row, Kind.ONE_TIME_KEY, *named) for named in one_time],
            "fallback": next(
                (_offer(account, row, Kind.FALLBACK_KEY, *named) for named in fallback), None
            ),
        }

    def mark_published(self) -> None:
        """Note that the server has the keys, inside a transaction."""
        row = self._row()
        account = self._load(row)
        account.mark_keys_as_published()
        self._save(account, row)

    # Sessions.

    def can_reach(self, peer: Peer) -> bool:
        """Return whether there is a session to encrypt with."""
        return self._store.get("olm", peer.curve25519) is not None

    def begin(self, peer: Peer, signed: Signed) -> None:
        """Begin a session with another device's one-time key.

        The server handed the key out; that it is of this device is checked. Inside a transaction.
        Raises BadSignature, WrongOwner, Malformed.
        """
        what = "a one-time key"
        claimed = parse(OneTimeKeyPayload, signed.payload, what)
        kind = Kind.FALLBACK_KEY if claimed.kid.startswith(FALLBACK) else Kind.ONE_TIME_KEY
        open_signed(OneTimeKeyPayload, signed, kind, peer.ed25519, what=what, user=peer.user)
        if (claimed.user, claimed.device) != (peer.user, peer.device):
            raise WrongOwner(what=what, user=peer.user)
        try:
            session = self._load(self._row()).create_outbound_session(
                Curve25519PublicKey.from_base64(peer.curve25519),
                Curve25519PublicKey.from_base64(claimed.key),
            )
        except BINDING_ERRORS as error:
            raise BadSignature(what=what, user=peer.user) from error
        self._keep(peer.curve25519, session, self._sessions(peer.curve25519))

    def encrypt(self, peer: Peer, kind: ControlKind, content: str) -> str:
        """Return the body of a to-device item.

        The device is one that `can_reach`. Inside a transaction.
        """
        me = self.me
        assert me is not None  # noqa: S101 - made before anything else
        control = Control(sender=me.party, recipient=peer.party, kind=kind, content=content)
        first, *others = self._sessions(peer.curve25519)
        message_type, ciphertext = first.encrypt(control.dump().encode()).to_parts()
        self._keep(peer.curve25519, first, others)
        return OlmBody(
            sender=Address(user=me.user, device=me.device),
            curve25519=me.curve25519,
            type=1 if message_type else 0,
            ct=encode(ciphertext),
        ).dump()

    def decrypt(self, body: OlmBody, me: Party) -> Control:
        """Return the message in a body.

        The caller checks whether the sender may say it. Inside a transaction. Raises WedgedSession,
        WrongRecipient, Malformed.
        """
        control = parse(Control, self._plaintext(body), "a message between devices")
        if control.recipient != me:
            raise WrongRecipient(user=control.sender.user)
        return control

    def _plaintext(self, body: OlmBody) -> str:
        try:
            message = AnyOlmMessage.from_parts(body.type, decode(body.ct))
            plaintext = self._decrypt(message, body)
            return plaintext[:CONTROL_BYTES_MAX].decode()
        except BINDING_ERRORS as error:
            raise WedgedSession(user=body.sender.user) from error

    def _decrypt(self, message: AnyOlmMessage, body: OlmBody) -> bytes:
        """Decrypt with the session of a message.

        A first message begins one. Raises one of BINDING_ERRORS.
        """
        beginning = message.to_pre_key()
        sessions = self._sessions(body.curve25519)
        is_known = False
        for session in sessions:
            if beginning is not None and not session.session_matches(beginning):
                continue
            is_known = True
            try:
                plaintext: bytes = session.decrypt(message)
            except BINDING_ERRORS:
                continue
            self._keep(body.curve25519, session, [s for s in sessions if s is not session])
            return plaintext
        if beginning is None or is_known:  # a fallback key would begin the same one twice
            raise ValueError("no session can read it")
        row = self._row()
        account = self._load(row)
        sender = Curve25519PublicKey.from_base64(body.curve25519)
        session, plaintext = account.create_inbound_session(sender, beginning)
        self._save(account, {**row, "used": row["used"] + 1})
        self._keep(body.curve25519, session, sessions)
        return plaintext

    def _sessions(self, curve25519: str) -> list[Session]:
        row = self._store.get("olm", curve25519) or {"sessions": []}
        return [Session.from_pickle(p, self._store.pickle_key) for p in row["sessions"]]

    def _keep(self, curve25519: str, first: Session, others: list[Session]) -> None:
        """Store a peer's sessions, the one to encrypt with first."""
        kept = [first, *others][:_SESSIONS_A_PEER_MAX]
        pickles = [session.pickle(self._store.pickle_key) for session in kept]
        self._store.put("olm", curve25519, {"sessions": pickles})


def _fallback_keys(account: Account) -> dict[str, Curve25519PublicKey]:
    """Return the unpublished fallback key. The library's stubs do not have it."""
    return dict(account.fallback_key)  # type: ignore[attr-defined]


def _named(prefix: str, keys: dict[str, Curve25519PublicKey]) -> Iterable[tuple[str, str]]:
    return [(prefix + key_id, key.to_base64()) for key_id, key in keys.items()]


def _offer(account: Account, row: Json, kind: Kind, kid: str, key: str) -> Json:
    payload = OneTimeKeyPayload(user=row["user"], device=row["device"], kid=kid, key=key).dump()
    return {"kid": kid, **sign_as_device(account, kind, payload).model_dump()}
