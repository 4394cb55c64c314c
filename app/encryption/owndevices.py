"""Make this device; approve and revoke our user's others. Flows.

The first device makes the identity of its user. Each later one shows a code. The user types the
code at an approved device, which then sends the identity to the new one.
"""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.encryption import approval
from app.encryption.flows import Ask, Flow, Json, ServerRefused
from app.encryption.olm import ONE_TIME_KEYS
from app.encryption.payloads import ApprovedContent, parse
from app.encryption.people import Peer, peer_of
from app.encryption.postbox import Letter
from app.encryption.refusals import IdentityChanged, NoSuchDevice, NotApproved, Revoked, Withheld
from app.encryption.signing import public_key, sign_as_user
from app.protocol.signatures import Kind
from app.protocol.signed import DeviceKeys, DevicePayload, ManifestPayload, Signed, encode

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.encryption.directory import Directory
    from app.encryption.notices import Notices
    from app.encryption.olm import Olm
    from app.encryption.people import People, Pin
    from app.encryption.postbox import Postbox
    from app.encryption.store import KeyStore

_Devices = tuple[DeviceKeys, ...]

_DEVICE_ID_BYTES = 5  # 8 characters that a person can type
_ATTEMPTS_MAX = 3  # while other devices of ours change the list too
_ONE_TIME_KEYS_LOW = ONE_TIME_KEYS // 2  # below so many, more are made


class OwnDevices:
    """Our user's devices; see the top of this file."""

    def __init__(
        self,
        store: KeyStore,
        olm: Olm,
        people: People,
        directory: Directory,
        postbox: Postbox,
        notices: Notices,
    ) -> None:
        self._store = store
        self._olm = olm
        self._people = people
        self._directory = directory
        self._postbox = postbox
        self._notices = notices
        self._was_approved = False  # as the person was last told

    @property
    def code(self) -> str:
        """The code to type at an approved device."""
        row = self._store.get("approval")
        return str(row["code"]) if row else ""

    @property
    def me(self) -> Peer:
        """Return this device."""
        me = self._olm.me
        assert me is not None  # noqa: S101 - made by `create`
        return me

    def create(self, user: str) -> None:
        """Make the keys of this device, if it has none."""
        if self._olm.me is None:
            device = base64.b32encode(os.urandom(_DEVICE_ID_BYTES)).decode().lower()
            with self._store.transaction():
                self._olm.create(user, device)
                self._store.put("approval", "", {"code": approval.new_code()})

    # This device.

    def register(self) -> Flow[None]:
        """Register this device and its one-time keys.

        If its user has no identity, make one. In that order: as soon as other users see the device
        on a list, they begin sessions with it. After each login, because it also says for which
        device the connection speaks. The registration is the same to the letter each time. Raises
        ServerRefused.
        """
        yield Ask("keys.device.put", self._device_payload().model_dump())
        yield from self.fill_up()
        self._directory.doubt([self.me.user])
        yield from self._directory.refresh([self.me.user])
        if self._people.find(self.me.user) is None:
            yield from self._found()
        self._was_approved = self._directory.is_approved
        if not self._was_approved:
            self._notices.refuse(self._why_not_approved)

    def _device_payload(self) -> Signed:
        keys = _listed(self.me)
        tag = approval.tag(self.code, approval.REQUEST, keys, self.me.user)
        payload = DevicePayload(user=self.me.user, device=keys, approval=tag).dump()
        return self._olm.sign(Kind.DEVICE, payload)

    def _found(self) -> Flow[None]:
        """Make our user's identity. It is stored first, then shown to the server."""
        row = self._store.get("identity")
        seed = str(row["seed"]) if row else self._make_identity()
        try:
            yield from self._publish(seed, 1, (_listed(self.me),))
        except ServerRefused as refusal:
            if refusal.code != "manifest_conflict":
                raise
            yield from self._give_up_identity()

    def _make_identity(self) -> str:
        seed = encode(Ed25519PrivateKey.generate().private_bytes_raw())
        with self._store.transaction():
            self._store.put("identity", "", {"seed": seed})
        return seed

    def begin_anew(self) -> Flow[None]:
        """Make another identity of our user, with this device alone.

        Other devices lose their approval. Other users see a changed identity, and send nothing
        until they trust it. Raises ServerRefused.
        """
        yield from self._directory.devices(self.me.user)
        pin = self._people.find(self.me.user)
        seq = pin.shown.seq + 1 if pin else 1
        try:
            yield from self._publish(self._make_identity(), seq, (_listed(self.me),))
        except IdentityChanged:
            self._people.trust(self.me.user)
        yield from self.settle()

    def _give_up_identity(self) -> Flow[None]:
        """Drop our identity and wait for approval.

        Another device of our user made an identity at the same time.
        """
        with self._store.transaction():
            self._store.delete("identity")
        self._directory.doubt([self.me.user])
        yield from self._directory.refresh([self.me.user])

    def _publish(self, seed: str, seq: int, devices: _Devices) -> Flow[None]:
        manifest = ManifestPayload(
            user=self.me.user, aik=public_key(seed), seq=seq, devices=devices
        )
        signed = sign_as_user(seed, Kind.MANIFEST, manifest.dump())
        yield Ask("keys.manifest.put", signed.model_dump())
        self._people.observe(self.me.user, signed)

    def fill_up(self, count: int | None = None) -> Flow[None]:
        """Make sure that the server has one-time keys of ours.

        They are stored, uploaded, and then marked as published. `count` is how many the server has;
        None: ask. Raises ServerRefused.
        """
        has_fallback = True
        if count is None:
            answer = yield from self._offer_keys()
            count = _count(answer)
            has_fallback = answer.get("fallback_unused") is True
        if count >= _ONE_TIME_KEYS_LOW and has_fallback:
            return
        with self._store.transaction():
            self._olm.fill_up(count, with_fallback=not has_fallback)
        yield from self._offer_keys()

    def _offer_keys(self) -> Flow[Json]:
        """Upload the unpublished keys, and note that they are published.

        Keys that the server refuses are lost.
        """
        try:
            answer = yield Ask("keys.otk.put", self._olm.unpublished())
        except ServerRefused as refusal:
            if refusal.code != "otk_conflict":
                raise
            answer = {}
        with self._store.transaction():
            self._olm.mark_published()
        return answer

    # Other devices.

    def approve(self, device_id: str, code: str, now: int) -> Flow[list[str]]:
        """Approve another device, by the code that it shows.

        `now` is in ms. Returns rows of the outbox that have to be sent then. Raises ApprovalFailed,
        NoSuchDevice, NotApproved, Untrusted, ServerRefused.
        """
        device = yield from self._directory.device(self.me.user, device_id)
        keys = device.device
        approval.check(code, approval.REQUEST, keys, self.me.user, device.approval)
        yield from self._change(lambda devices: (*_without(devices, device_id), keys))
        peer = peer_of(self.me.user, keys)
        if not (yield from self._postbox.reach([peer], now)):
            raise NoSuchDevice(device=device_id)
        seed = self._seed
        proof = approval.tag(code, approval.ANSWER, keys, public_key(seed))
        content = ApprovedContent(aik_seed=seed, tag=proof).dump()
        with self._store.transaction():
            return self._postbox.seal([Letter(peer, "approved", content)])

    def revoke(self, device_id: str) -> Flow[None]:
        """Revoke a device of our user.

        It may no longer speak for the user, nor read later messages. Raises NoSuchDevice,
        NotApproved, Untrusted, ServerRefused.
        """
        if device_id not in {peer.device for peer in self._pin.peers}:
            raise NoSuchDevice(device=device_id)
        yield from self._change(lambda devices: _without(devices, device_id))

    def _change(self, edit: Callable[[_Devices], _Devices]) -> Flow[None]:
        """Publish a changed list of our devices.

        It is tried again if another device changed the list in between.
        """
        for attempt in range(_ATTEMPTS_MAX):
            self._directory.doubt([self.me.user])
            yield from self._directory.refresh([self.me.user])
            self._directory.check(self.me.user)
            manifest = self._pin.manifest
            try:
                yield from self._publish(self._seed, manifest.seq + 1, edit(manifest.devices))
            except ServerRefused as refusal:
                if refusal.code != "manifest_conflict" or attempt + 1 == _ATTEMPTS_MAX:
                    raise
            else:
                return

    @property
    def _seed(self) -> str:
        row = self._store.get("identity")
        if row is None:
            raise NotApproved(device=self.me.device, approval=self.code)
        return str(row["seed"])

    @property
    def _pin(self) -> Pin:
        return self._people.pin_of(self.me.user)

    def take_approved(self, content: str) -> None:
        """Take our identity from a device that knows our code.

        Inside a transaction. Raises ApprovalFailed, Malformed.
        """
        approved = parse(ApprovedContent, content, "an approval")
        aik = public_key(approved.aik_seed)
        approval.check(self.code, approval.ANSWER, _listed(self.me), aik, approved.tag)
        if self._store.get("identity") is None:
            self._store.put("identity", "", {"seed": approved.aik_seed})

    def settle(self) -> Flow[None]:
        """Look whether this device is approved.

        Tells the person if that changed. Raises ServerRefused.
        """
        was_approved = self._was_approved
        self._directory.doubt([self.me.user])
        yield from self._directory.refresh([self.me.user])
        self._was_approved = self._directory.is_approved
        if self._was_approved and not was_approved:
            self._notices.tell("approved", "this device is approved, and can read from now on")
        elif was_approved and not self._was_approved:
            self._notices.refuse(self._why_not_approved)

    @property
    def _why_not_approved(self) -> Withheld:
        if self._directory.is_revoked:
            return Revoked()
        return NotApproved(device=self.me.device, approval=self.code)

    def list_devices(self) -> Flow[list[tuple[DevicePayload, bool]]]:
        """Return our user's devices, and whether each is approved. Raises ServerRefused."""
        devices = yield from self._directory.devices(self.me.user)
        pin = self._people.find(self.me.user)
        approved = set(pin.peers) if pin else set()
        return [
            (device, peer_of(self.me.user, device.device) in approved)
            for device in devices.values()
        ]


def _listed(me: Peer) -> DeviceKeys:
    return DeviceKeys(id=me.device, ed25519=me.ed25519, curve25519=me.curve25519)


def _without(devices: _Devices, device_id: str) -> _Devices:
    return tuple(device for device in devices if device.id != device_id)


def _count(answer: Json) -> int:
    count = answer.get("otk_count")
    return count if isinstance(count, int) and count >= 0 else 0
