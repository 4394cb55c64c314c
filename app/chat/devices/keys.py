"""Keys to begin conversations with: each is handed out once, also to clients that ask at once.

They are claimed in one transaction a request, under the locks of their users: no two get the same.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import gevent

from app.bounds import (
    CLAIMS_AN_HOUR_AND_DEVICE_MAX,
    CLAIMS_AT_ONCE_MAX,
    KEY_UPLOADS_AN_HOUR_MAX,
    ONE_TIME_KEYS_A_DEVICE_MAX,
    ONE_TIME_KEYS_AT_ONCE_MAX,
    ONE_TIME_KEYS_LOW,
    SIGNATURES_IN_A_ROW_MAX,
    TURN_SECONDS,
)
from app.chat.devices.devices import (
    addresses_of,
    bad_payload,
    bad_signature,
    check_rate,
    read_own,
    too_many,
)
from app.engine.limits import Throttle, rate_limited
from app.engine.presence import no_device
from app.errors import Code, NotPossible, Refusal
from app.protocol import devices as protocol
from app.protocol.devices import ClaimedKey, OutOfReach
from app.protocol.signatures import Kind, is_signed
from app.protocol.signed import FALLBACK, ONE_TIME, OneTimeKeyPayload, Signed
from app.queries import device_keys as queries
from app.queries import devices as devices_queries
from app.queries.device_keys import Claim, KeyConflictError, TooManyKeysError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.chat.devices.devices import Devices
    from app.engine.kit import Handlers, Kit
    from app.engine.presence import Session
    from app.protocol.devices import OfferedKey
    from app.queries.devices import Address, KnownDevice


class DeviceKeys:
    """The keys of all devices."""

    def __init__(self, kit: Kit, devices: Devices) -> None:
        self._database, self._clock = kit.database, kit.clock
        self._devices = devices
        self._uploads = Throttle(KEY_UPLOADS_AN_HOUR_MAX, seconds=3_600)
        self._claims = Throttle(CLAIMS_AN_HOUR_AND_DEVICE_MAX, seconds=3_600)

    def handlers(self) -> Handlers:
        """Return the method that carries out each command."""
        return {
            protocol.KeysPut: self.put,
            protocol.KeysClaim: self.claim,
        }

    def put(self, session: Session, command: protocol.KeysPut) -> None:
        """Keep keys of a session's device, and show its stock. Switches. Raises Refusal."""
        device = session.device_or_refuse
        if len(command.otk) > ONE_TIME_KEYS_AT_ONCE_MAX:
            raise too_many(f"leave at most {ONE_TIME_KEYS_AT_ONCE_MAX} keys at once")
        keys = {key.kid: key for key in command.otk}
        if any(keys[key.kid] != key for key in command.otk):
            raise _conflict()
        if keys or command.fallback:
            check_rate(self._uploads, session)
            _check_keys(session, device, keys.values(), command.fallback)
        try:
            stock = self._database.write(
                lambda connection: queries.put(connection, device.id, keys, command.fallback)
            )
        except KeyConflictError as error:
            raise _conflict() from error
        except TooManyKeysError as error:
            raise too_many(
                f"{ONE_TIME_KEYS_A_DEVICE_MAX} keys of a device are kept; wait until some are used"
            ) from error
        if stock is None:
            raise no_device()
        session.client.show(protocol.KeysKept(*stock))

    def claim(self, session: Session, command: protocol.KeysClaim) -> None:
        """Hand out a key of each device that has any. Switches. Raises Refusal."""
        session.device_or_refuse  # noqa: B018 (refuse without one)
        if len(command.targets) > CLAIMS_AT_ONCE_MAX:
            raise too_many(f"claim keys of at most {CLAIMS_AT_ONCE_MAX} devices at once")
        targets = dict(zip(addresses_of(command.targets), command.targets, strict=True))
        known = self._database.read(lambda each: devices_queries.active(each, targets))
        within = [address for address in known if self._may_claim(session, address)]
        if known and not within:
            raise rate_limited()
        now = self._clock()
        claims = self._database.write(lambda connection: queries.claim(connection, within, now))
        keys, failed = [], []
        for address, target in targets.items():
            is_too_often = address in known and address not in within
            error = _failure(claims.get(address), is_too_often=is_too_often)
            if error:
                failed.append(OutOfReach(target.user, target.device, error))
            elif key := claims[address].key:
                keys.append(ClaimedKey(target.user, target.device, key))
        for claim in claims.values():
            if claim.left < ONE_TIME_KEYS_LOW:
                self._devices.tell(claim.device, protocol.KeysLow())
        session.client.show_at_leisure(protocol.KeysHandedOut(keys, failed))

    def _may_claim(self, session: Session, address: Address) -> bool:
        """Count a claim of a device's key by a user; return whether it is within the rate.

        Only devices that exist are counted, so that names without a device push no count out.
        """
        return self._claims.take(" ".join((str(session.speaker.id), *address)), time.monotonic())


def _failure(claim: Claim | None, *, is_too_often: bool) -> Code | None:
    """Return why a device gives no key, as a code; None when it gives one."""
    if is_too_often:
        return "rate_limited"
    if claim is None:
        return "no_such_device"
    return "no_keys" if claim.key is None else None


def _check_keys(
    session: Session,
    device: KnownDevice,
    keys: Iterable[OfferedKey],
    fallback: OfferedKey | None,
) -> None:
    """Check signed keys, a few at a time: others get turns. Switches. Raises Refusal."""
    for number, key in enumerate(keys, 1):
        _check_key(session, device, key, Kind.ONE_TIME_KEY, ONE_TIME)
        if number % SIGNATURES_IN_A_ROW_MAX == 0:
            gevent.sleep(TURN_SECONDS)
    if fallback is not None:
        _check_key(session, device, fallback, Kind.FALLBACK_KEY, FALLBACK)


def _check_key(
    session: Session, device: KnownDevice, key: OfferedKey, kind: Kind, prefix: str
) -> None:
    said = Signed(payload=key.payload, sig=key.sig)
    offered = read_own(session, OneTimeKeyPayload, said)
    if (offered.device, offered.kid) != (device.device_id, key.kid):
        raise bad_payload()
    if not key.kid.startswith(prefix):
        raise bad_payload()
    if not is_signed(said, kind, device.ed25519):
        raise bad_signature()


def _conflict() -> Refusal:
    return NotPossible(
        "another key is known under one of those ids; make new keys", code="otk_conflict"
    )
