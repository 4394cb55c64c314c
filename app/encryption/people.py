"""Check users' manifests, and pin them at first sight. Pure.

A manifest lists the devices of a user, signed by the user's identity key (AIK). A server may
replace a manifest that was seen only by a later one of the same identity. Anything else is refused
here. Code that shares keys asks here which devices may have them.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from app.encryption.payloads import Party, parse
from app.encryption.refusals import (
    BadSignature,
    IdentityChanged,
    Malformed,
    ManifestForked,
    ManifestRolledBack,
    ManifestVanished,
    NoKeys,
    UnknownDevice,
    WrongOwner,
)
from app.encryption.signing import verify
from app.protocol.signatures import Kind
from app.protocol.signed import DeviceKeys, Key, ManifestPayload, Signed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.encryption.store import Json, KeyStore

_WHAT = "the list of devices"

VERIFIED, FIRST_USE, CHANGED, IMPORTED, PLAINTEXT = "✓", "~", "!", "i", "-"


class Peer(Party):
    """A device on its user's manifest."""

    curve25519: Key

    def __str__(self) -> str:
        return f"{self.user}/{self.device}"

    @property
    def key(self) -> str:
        """The device's key in tables: name and signing key.

        A later device of the same name has another one.
        """
        return f"{self} {self.ed25519}"

    @property
    def party(self) -> Party:
        """The device as messages between devices name it."""
        return Party(user=self.user, device=self.device, ed25519=self.ed25519)


def peer_of(user: str, device: DeviceKeys) -> Peer:
    """Return a user's device as a Peer."""
    return Peer(user=user, device=device.id, ed25519=device.ed25519, curve25519=device.curve25519)


def read_manifest(user: str, signed: Signed) -> ManifestPayload:
    """Check a manifest by itself, and return its payload.

    Raises Malformed, WrongOwner, BadSignature.
    """
    manifest = parse(ManifestPayload, signed.payload, _WHAT)
    verify(signed, Kind.MANIFEST, manifest.aik, what=_WHAT, user=user)
    if manifest.user != user:
        raise WrongOwner(what=_WHAT, user=user)
    for keys in zip(*((d.id, d.ed25519, d.curve25519) for d in manifest.devices), strict=True):
        if len(set(keys)) != len(manifest.devices):
            raise Malformed(what=_WHAT)
    return manifest


@dataclass(frozen=True)
class Pin:
    """The known identity of a user.

    `changed` is another identity that the server has shown since.
    """

    signed: Signed
    manifest: ManifestPayload
    is_verified: bool = False
    is_failed: bool = False  # a verification failed: another party may be in between
    changed: Signed | None = None

    @property
    def peers(self) -> list[Peer]:
        """The devices that may have keys."""
        return [peer_of(self.manifest.user, device) for device in self.manifest.devices]

    @property
    def shown(self) -> ManifestPayload:
        """The manifest that the server shows now."""
        return read_manifest(self.manifest.user, self.changed) if self.changed else self.manifest

    @property
    def mark(self) -> str:
        """The mark beside the user's name."""
        if self.changed or self.is_failed:
            return CHANGED
        return VERIFIED if self.is_verified else FIRST_USE

    def dump(self) -> Json:
        """Return the row to store."""
        return {
            "signed": self.signed.dump(),
            "is_verified": self.is_verified,
            "is_failed": self.is_failed,
            "changed": self.changed.dump() if self.changed else None,
        }


def _load(row: Json) -> Pin:
    signed = parse(Signed, row["signed"], _WHAT)
    return Pin(
        signed,
        parse(ManifestPayload, signed.payload, _WHAT),
        row["is_verified"],
        row["is_failed"],
        parse(Signed, row["changed"], _WHAT) if row["changed"] else None,
    )


class People:
    """The pinned identities of users, and the trust in each."""

    def __init__(self, store: KeyStore) -> None:
        self._store = store
        self._pins: dict[str, Pin] = {}
        self._read_pins()

    def _read_pins(self) -> None:
        self._pins = {user: _load(row) for user, row in self._store.rows("pin")}

    @contextmanager
    def together(self) -> Iterator[None]:
        """Observe many users in one transaction.

        If it fails, the pins are read again from the store.
        """
        try:
            with self._store.transaction():
                yield
        except BaseException:
            self._read_pins()
            raise

    def find(self, user: str) -> Pin | None:
        """Return a user's pin, or None."""
        return self._pins.get(user)

    def pin_of(self, user: str) -> Pin:
        """Return a user's pin. Raises NoKeys."""
        pin = self.find(user)
        if pin is None:
            raise NoKeys(user=user)
        return pin

    def peer(self, user: str, device: str) -> Peer:
        """Return a device from its user's pinned list. Raises UnknownDevice."""
        pin = self.find(user)
        for peer in pin.peers if pin else ():
            if peer.device == device:
                return peer
        raise UnknownDevice(user=user, device=device)

    def mark(self, user: str) -> str:
        """Return the mark for a name. It is FIRST_USE for an unknown user."""
        pin = self.find(user)
        return pin.mark if pin else FIRST_USE

    def observe(self, user: str, signed: Signed | None) -> None:
        """Take in the manifest that the server shows.

        `signed` is None if it shows none. Raises Untrusted for one that can't be believed; the pin
        stays then, and nothing may be sent to this user until the server shows a better one.
        """
        pin = self.find(user)
        if signed is None:
            if pin:
                raise ManifestVanished(user=user)
            return
        manifest = read_manifest(user, signed)
        if pin is None:
            self._keep(user, Pin(signed, manifest))
            return
        self._compare(user, pin, signed, manifest)
        if signed != pin.signed or pin.changed:
            self._keep(user, replace(pin, signed=signed, manifest=manifest, changed=None))

    def _compare(self, user: str, pin: Pin, signed: Signed, manifest: ManifestPayload) -> None:
        """Check that a manifest may follow the pinned one.

        Raises IdentityChanged, ManifestRolledBack, ManifestForked.
        """
        if manifest.aik != pin.manifest.aik:
            self._keep(user, replace(pin, changed=signed))
            raise IdentityChanged(user=user)
        if manifest.seq < pin.manifest.seq:
            raise ManifestRolledBack(user=user)
        if manifest.seq == pin.manifest.seq and signed.payload != pin.signed.payload:
            raise ManifestForked(user=user)

    def check_may_send(self, user: str) -> None:
        """Refuse a user whose identity is in doubt. Raises IdentityChanged."""
        pin = self.find(user)
        if pin and pin.mark == CHANGED:
            raise IdentityChanged(user=user)

    def aik_shown(self, user: str) -> str:
        """Return the identity that `trust` would accept, to compare it. Raises NoKeys."""
        return self.pin_of(user).shown.aik

    def trust(self, user: str) -> None:
        """Accept the identity that the server shows now.

        It counts as seen first now. Raises NoKeys.
        """
        pin = self.pin_of(user)
        signed = pin.changed or pin.signed
        self._keep(user, Pin(signed, read_manifest(user, signed)))

    def set_verified(self, user: str, aik: str) -> None:
        """Note that two persons compared their numbers.

        Raises NoKeys; BadSignature if the identity has changed since.
        """
        pin = self.pin_of(user)
        if pin.manifest.aik != aik or pin.changed:
            raise BadSignature(what="the verification", user=user)
        self._keep(user, replace(pin, is_verified=True, is_failed=False))

    def set_failed(self, user: str) -> None:
        """Note that a verification failed. Raises NoKeys."""
        self._keep(user, replace(self.pin_of(user), is_verified=False, is_failed=True))

    def _keep(self, user: str, pin: Pin) -> None:
        with self._store.transaction():
            self._store.put("pin", user, pin.dump())
        self._pins[user] = pin
