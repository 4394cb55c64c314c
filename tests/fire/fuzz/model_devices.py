"""The model's rules of devices: who speaks for which, whose keys are whose, who has mail."""

from __future__ import annotations

import json
from collections.abc import Iterable

from app.bounds import ONE_TIME_KEYS_LOW
from app.protocol import devices
from app.protocol.devices import OfferedKey, Target
from app.protocol.event import Event
from app.protocol.signed import Signed
from tests.fire.fuzz.devices import BAD_SIGNATURE, owner_of
from tests.fire.fuzz.model_base import Base
from tests.fire.fuzz.state import Account, Device, Letter, Refused, Seat, name_of


class Devices(Base):
    """What devices ask. Each device is kept by its id, in its account."""

    def _own(self, seat: Seat, payload: str) -> dict[str, object]:
        if owner_of(payload) != seat.me.name.key:
            raise Refused("bad_device_payload")
        return dict(json.loads(payload))

    @staticmethod
    def _check_signature(sig: str) -> None:
        if sig == BAD_SIGNATURE:
            raise Refused("bad_signature")

    def _keys_device_put(self, seat: Seat, command: devices.DevicePut) -> None:
        keys = self._own(seat, command.payload)["device"]
        self._check_signature(command.sig)
        assert isinstance(keys, dict)
        if seat.device is not None and seat.device.id != keys["id"]:
            raise Refused("device_id_reused")
        said = Signed(payload=command.payload, sig=command.sig)
        device = seat.me.devices.get(keys["id"])
        if device is None:
            is_listed = keys["id"] in seat.me.listed
            device = seat.me.devices[keys["id"]] = Device(seat.me, keys["id"], said, is_listed)
        elif device.is_revoked or device.described != said:
            raise Refused("device_id_reused")
        seat.device = device
        self.tell(seat, devices.DeviceKnown())

    def _keys_manifest_put(self, seat: Seat, command: devices.ManifestPut) -> None:
        said = self._own(seat, command.payload)
        self._check_signature(command.sig)
        me, listed = seat.me, said["devices"]
        assert isinstance(listed, list)
        if said["seq"] != me.manifests + 1:
            raise Refused("manifest_conflict")
        me.manifests += 1
        me.manifest = Signed(payload=command.payload, sig=command.sig)
        me.listed = {keys["id"] for keys in listed}
        for device in me.devices.values():
            if device.id in me.listed:
                device.is_approved, device.is_revoked = True, False
            elif device.is_approved and not device.is_revoked:
                self._revoke_device(device)
        self.device_changes.append(me.name.key)
        for each in self.seats:
            if me.name.key in each.watched or (each.account is me and each.device):
                self.tell(each, devices.DevicesChanged([me.name.key]))

    def end_devices(self, account: Account) -> None:
        """Revoke all devices of an account, and tell those who know them."""
        for device in account.devices.values():
            self._revoke_device(device)
        account.manifest = None
        self.device_changes.append(account.name.key)
        for each in self.seats:
            if account.name.key in each.watched and not each.is_closed:
                self.tell(each, devices.DevicesChanged([account.name.key]))

    def _revoke_device(self, device: Device) -> None:
        device.is_revoked = True
        device.keys.clear()
        device.claimed.clear()
        device.fallback = None
        self.letters = [each for each in self.letters if each.recipient is not device]
        for seat in self.seats:
            if seat.device is device:
                seat.device = None

    def _tell_device(self, device: Device, event: Event) -> None:
        for seat in device.owner.seats:
            if seat.device is device:
                self.tell(seat, event)

    # Keys.

    def _keys_otk_put(self, seat: Seat, command: devices.KeysPut) -> None:
        device, keys = self.device_of(seat), {key.kid: key for key in command.otk}
        if any(keys[key.kid] != key for key in command.otk):
            raise Refused("otk_conflict")
        for prefix, offered in (("o:", keys.values()), ("f:", filter(None, [command.fallback]))):
            self._check_offered(seat, device, offered, prefix)
        known = device.keys | device.claimed
        if any(kid in known and known[kid].payload != key.payload for kid, key in keys.items()):
            raise Refused("otk_conflict")
        fallback = command.fallback
        if fallback is not None and device.fallback and device.fallback.kid == fallback.kid:
            if device.fallback.payload != fallback.payload:
                raise Refused("otk_conflict")
        elif fallback is not None:
            device.fallback, device.is_fallback_unused = fallback, True
        device.keys |= {kid: key for kid, key in keys.items() if kid not in known}
        is_unused = device.fallback is not None and device.is_fallback_unused
        self.tell(seat, devices.KeysKept(len(device.keys), is_unused))

    def _check_offered(
        self, seat: Seat, device: Device, offered: Iterable[OfferedKey], prefix: str
    ) -> None:
        for key in offered:
            said = self._own(seat, key.payload)
            if (said["device"], said["kid"]) != (device.id, key.kid) or key.kid[:2] != prefix:
                raise Refused("bad_device_payload")
            self._check_signature(key.sig)

    def _keys_claim(self, seat: Seat, command: devices.KeysClaim) -> None:
        self.device_of(seat)
        keys: list[devices.ClaimedKey] = []
        failed: list[devices.OutOfReach] = []
        for target in {self._address(each): each for each in command.targets}.values():
            device = self._device_at(target)
            key = self._claim(device) if device is not None else None
            if key is not None:
                said = Signed(payload=key.payload, sig=key.sig)
                keys.append(devices.ClaimedKey(target.user, target.device, said))
            else:
                why = "no_such_device" if device is None else "no_keys"
                failed.append(devices.OutOfReach(target.user, target.device, why))
            if device is not None and len(device.keys) < ONE_TIME_KEYS_LOW:
                self._tell_device(device, devices.KeysLow())
        self.tell(seat, devices.KeysHandedOut(keys, failed))

    @staticmethod
    def _claim(device: Device) -> OfferedKey | None:
        """Hand out the oldest key, which nobody gets again; or the one that all others get."""
        for kid, key in device.keys.items():
            device.claimed[kid] = device.keys.pop(kid)
            return key
        device.is_fallback_unused = False
        return device.fallback

    @staticmethod
    def _address(target: Target) -> tuple[str, str]:
        try:
            return name_of(target.user).key, target.device
        except Refused:
            return "", target.device

    def _device_at(self, target: Target) -> Device | None:
        account = self.find_or_none(target.user)
        device = account.devices.get(target.device) if account else None
        return None if device is None or device.is_revoked else device

    def _keys_query(self, seat: Seat, command: devices.KeysQuery) -> None:
        users = {}
        for name in command.users:
            account = self.find_or_none(name)
            users[name] = devices.UserDevices(None, [])
            if account is not None:
                shown = [
                    each.described
                    for each in account.devices.values()
                    if not each.is_revoked and (each.is_approved or account is seat.account)
                ]
                users[name] = devices.UserDevices(account.manifest, shown)
        seat.watched |= {self._address(Target(user=name, device="a" * 8))[0] for name in users}
        self.tell(seat, devices.DevicesShown(users))

    def _keys_changes(self, seat: Seat, command: devices.KeysChanges) -> None:
        changes, since = self.device_changes, command.since
        if since is not None and since > len(changes):
            raise Refused("since_too_old")
        users = [] if since is None else sorted(set(changes[since:]))
        self.tell(seat, devices.DeviceChangesListed(users, len(changes)))

    # Mailboxes.

    def _td_send(self, seat: Seat, command: devices.DeviceSend) -> None:
        sender, failed, reached = self.device_of(seat), [], dict[Device, None]()
        if any(self._address(said)[0] != seat.me.name.key for said in command.msgs):
            self.check_may_speak(seat)
        for place, said in enumerate(command.msgs):
            recipient = self._device_at(said)
            if recipient is None:
                failed.append(devices.OutOfReach(said.user, said.device, "no_such_device"))
            elif not any(each.is_same(sender, command.txn, place) for each in self.letters):
                self.letter_ids += 1
                letter = Letter(self.letter_ids, sender, recipient, command.txn, place, said.body)
                self.letters.append(letter)
                reached[recipient] = None
        for recipient in reached:
            self._tell_device(recipient, devices.DeviceMailCame())
        self.tell(seat, devices.DeviceMailSent(failed))

    def waiting_for(self, device: Device) -> list[devices.DeviceMail]:
        """Return what is in a mailbox, oldest first."""
        return [
            devices.DeviceMail(each.id, each.sender.owner.name.key, each.sender.id, each.body)
            for each in self.letters
            if each.recipient is device and each.body is not None
        ]

    def _td_fetch(self, seat: Seat, command: devices.DeviceFetch) -> None:
        mail = self.waiting_for(self.device_of(seat))
        waiting = [each for each in mail if each.n > command.after]
        has_more = len(waiting) > command.limit
        self.tell(seat, devices.DeviceMailShown(waiting[: command.limit], has_more))

    def _td_ack(self, seat: Seat, command: devices.DeviceAck) -> None:
        device = self.device_of(seat)
        for each in self.letters:
            if each.recipient is device and each.id <= command.upto:
                each.body = None
