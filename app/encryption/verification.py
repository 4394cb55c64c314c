"""Verify users: two persons compare numbers by voice. Pure.

That tells whether another party is in between.

`fingerprint` is 60 digits over both identity keys. A verification needs three short numbers only,
because each side is bound to its key before it sees the other's (SAS):

    A  start ->                B
    A           <- commit      B   the hash of B's key for this exchange
    A  key ->                  B
    A              <- key      B   A checks it against the hash; both show the numbers
    A  mac ->      <- mac      B   over the identity key of each, once its person said yes

The numbers come from both keys of this exchange and from both identity keys. A party in between
would have to guess three numbers of four digits, at the first try.
"""

from __future__ import annotations

import hashlib
import hmac
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vodozemac import Curve25519PublicKey, Sas

from app.encryption.olm import BINDING_ERRORS
from app.encryption.payloads import VerifyContent, VerifyStep
from app.encryption.postbox import Letter
from app.encryption.refusals import NothingToVerify, VerificationFailed
from app.protocol.signatures import PREFIX, context
from app.protocol.signed import decode, encode

if TYPE_CHECKING:
    from vodozemac import EstablishedSas

    from app.encryption.notices import Notices
    from app.encryption.people import Peer, People

ATTEMPT_MILLISECONDS_MAX = 600_000  # 10 minutes, for two people to find each other at a telephone
_GROUP_DIGITS = 5
_GROUPS_A_USER = 6


def fingerprint(one: tuple[str, str], other: tuple[str, str]) -> str:
    """Return 60 digits over two users, equal for both. Each is a name and an identity key."""
    halves = sorted(_digits(user, aik) for user, aik in (one, other))
    return " ".join(halves)


def _digits(user: str, aik: str) -> str:
    data = context("fingerprint") + f"{user}\0".encode() + decode(aik)
    digest = hashlib.sha512(data).digest()
    numbers = (int.from_bytes(digest[i * 5 : i * 5 + 5], "big") for i in range(_GROUPS_A_USER))
    return " ".join(f"{number % 10**_GROUP_DIGITS:0{_GROUP_DIGITS}}" for number in numbers)


@dataclass
class _Attempt:
    """One verification with a user.

    `is_first`: our side began it. `peer` is the one device that the attempt is with, once it is
    known.
    """

    vid: str
    user: str
    is_first: bool
    aik: str
    begun_at: int
    peer: Peer | None = None
    sas: Sas | None = None
    own_key: str = ""
    commitment: str = ""
    their_key: str = ""
    established: EstablishedSas | None = None
    is_confirmed: bool = False
    is_proved: bool = False


@dataclass
class Verified:
    """The result of a step of a verification.

    It has letters to send, a verified user with the verified identity, or a user whose verification
    failed.
    """

    letters: list[Letter] = field(default_factory=list)
    verified: tuple[str, str] | None = None
    failed: str = ""


class Verifications:
    """The verifications under way, in memory. A restart ends them."""

    def __init__(self, people: People, notices: Notices) -> None:
        self._people = people
        self._notices = notices
        self._attempts: dict[str, _Attempt] = {}

    def begin(self, user: str, peers: list[Peer], now: int) -> Verified:
        """Begin with a user's devices, or go on.

        If the user has begun, their attempt goes on. `now` is in ms. Raises NoKeys.
        """
        aik = self._people.pin_of(user).manifest.aik
        attempt = self._find(user, now)
        if attempt and not attempt.is_first and attempt.peer and not attempt.sas:
            return self._commit(attempt)
        attempt = _Attempt(uuid.uuid4().hex, user, is_first=True, aik=aik, begun_at=now)
        self._take_key_pair(attempt)
        self._attempts[user] = attempt
        return Verified([_letter(peer, attempt.vid, "start") for peer in peers])

    def confirm(self, user: str, me: Peer, own_aik: str, now: int, *, is_same: bool) -> Verified:
        """Take in whether both persons saw the same numbers. Raises NothingToVerify."""
        attempt = self._find(user, now)
        if attempt is None or attempt.established is None or attempt.peer is None:
            raise NothingToVerify(user=user)
        if not is_same:
            del self._attempts[user]
            return Verified([_letter(attempt.peer, attempt.vid, "cancel")], failed=user)
        attempt.is_confirmed = True
        info = _mac_info(attempt, me.user)
        proof = attempt.established.calculate_mac(own_aik, info)
        done = self._finish(attempt)
        done.letters.append(_letter(attempt.peer, attempt.vid, "mac", proof))
        return done

    def take(
        self, peer: Peer, content: VerifyContent, me: Peer, own_aik: str, now: int
    ) -> Verified:
        """Take in a step of the other side. Steps that fit no attempt are passed over."""
        if content.step == "start":
            return self._started(peer, content.vid, me, now)
        attempt = self._find(peer.user, now)
        if attempt is None or attempt.vid != content.vid:
            return Verified()
        if attempt.peer is None and attempt.is_first and content.step == "commit":
            attempt.peer = peer
        if attempt.peer != peer:
            return Verified()
        if content.step == "commit":
            return self._committed(attempt, peer, content.value)
        if content.step == "key":
            return self._keyed(attempt, peer, content.value, me, own_aik)
        if content.step == "mac":
            return self._proved(attempt, content.value)
        return self._fail(attempt)

    def _started(self, peer: Peer, vid: str, me: Peer, now: int) -> Verified:
        pin = self._people.find(peer.user)
        attempt = self._find(peer.user, now)
        is_ours_too = bool(attempt and attempt.sas)
        if pin is None or (is_ours_too and not _gives_way(attempt, me, peer)):
            return Verified()
        taken = _Attempt(vid, peer.user, is_first=False, aik=pin.manifest.aik, begun_at=now)
        taken.peer = peer
        self._attempts[peer.user] = taken
        if is_ours_too:
            return self._commit(taken)
        text = f"{peer.user} wants to compare numbers with you; type: /verify {peer.user}"
        self._notices.tell("verify_asked", text, user=peer.user)
        return Verified()

    def _commit(self, attempt: _Attempt) -> Verified:
        self._take_key_pair(attempt)
        assert attempt.peer is not None  # noqa: S101 - the device that began it
        commitment = _commitment(attempt.own_key, attempt.vid)
        return Verified([_letter(attempt.peer, attempt.vid, "commit", commitment)])

    def _committed(self, attempt: _Attempt, peer: Peer, commitment: str) -> Verified:
        if attempt.commitment or not attempt.is_first:
            return Verified()
        attempt.commitment = commitment
        return Verified([_letter(peer, attempt.vid, "key", attempt.own_key)])

    def _keyed(self, attempt: _Attempt, peer: Peer, key: str, me: Peer, own_aik: str) -> Verified:
        if attempt.their_key or attempt.sas is None:
            return Verified()
        attempt.their_key = key
        is_bound = hmac.compare_digest(attempt.commitment, _commitment(key, attempt.vid))
        if attempt.is_first and not is_bound:
            return self._fail(attempt)
        try:
            theirs = Curve25519PublicKey.from_base64(key)
            attempt.established = attempt.sas.diffie_hellman(theirs)
        except BINDING_ERRORS:
            return self._fail(attempt)
        self._show_numbers(attempt, peer, me, own_aik)
        if attempt.is_first:
            return Verified()
        return Verified([_letter(peer, attempt.vid, "key", attempt.own_key)])

    def _show_numbers(self, attempt: _Attempt, peer: Peer, me: Peer, own_aik: str) -> None:
        ours = f"{me.user} {me.device} {own_aik} {attempt.own_key}"
        theirs = f"{peer.user} {peer.device} {attempt.aik} {attempt.their_key}"
        sides = (ours, theirs) if attempt.is_first else (theirs, ours)
        assert attempt.established is not None  # noqa: S101 - by the caller
        numbers = attempt.established.bytes(" ".join((PREFIX + "sas", attempt.vid, *sides)))
        text = "-".join(str(number) for number in numbers.decimals)
        self._notices.tell(
            "verify_numbers",
            f"does {attempt.user} see {text}? type: /verify {attempt.user} yes, or no",
            user=attempt.user,
        )

    def _proved(self, attempt: _Attempt, proof: str) -> Verified:
        if attempt.established is None:
            return Verified()
        try:
            attempt.established.verify_mac(attempt.aik, _mac_info(attempt, attempt.user), proof)
        except BINDING_ERRORS:
            return self._fail(attempt)
        attempt.is_proved = True
        return self._finish(attempt)

    def _finish(self, attempt: _Attempt) -> Verified:
        """Return the user as verified, if both sides are done.

        That is when our person said so, and the proof of the other side is here.
        """
        if not (attempt.is_confirmed and attempt.is_proved):
            return Verified()
        del self._attempts[attempt.user]
        text = f"{attempt.user} is verified: nobody is in between"
        self._notices.tell("verified", text, user=attempt.user)
        return Verified(verified=(attempt.user, attempt.aik))

    def _fail(self, attempt: _Attempt) -> Verified:
        del self._attempts[attempt.user]
        self._notices.refuse(VerificationFailed(user=attempt.user))
        return Verified(failed=attempt.user)

    def _find(self, user: str, now: int) -> _Attempt | None:
        attempt = self._attempts.get(user)
        if attempt and not 0 <= now - attempt.begun_at < ATTEMPT_MILLISECONDS_MAX:
            del self._attempts[user]
            return None
        return attempt

    @staticmethod
    def _take_key_pair(attempt: _Attempt) -> None:
        attempt.sas = Sas()
        attempt.own_key = attempt.sas.public_key.to_base64()


def _gives_way(attempt: _Attempt | None, me: Peer, peer: Peer) -> bool:
    """Return whether our attempt gives way to theirs.

    When both began at once, exactly one side gives way.
    """
    is_waiting = attempt is not None and attempt.is_first and not attempt.commitment
    return is_waiting and peer.user < me.user


def _commitment(key: str, vid: str) -> str:
    return encode(hashlib.sha256(context("sas-commit") + f"{vid}\0{key}".encode()).digest())


def _mac_info(attempt: _Attempt, user: str) -> str:
    return f"{PREFIX}sas-mac {attempt.vid} {user}"


def _letter(peer: Peer, vid: str, step: VerifyStep, value: str = "") -> Letter:
    return Letter(peer, "verify", VerifyContent(vid=vid, step=step, value=value).dump())
