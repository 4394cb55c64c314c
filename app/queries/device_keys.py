"""Queries on one-time and fallback keys. Each takes a connection in a transaction, and blocks."""

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from sqlalchemy import Connection, delete, func, insert, select, update

from app.bounds import CLAIMED_KEY_DAYS, ONE_TIME_KEYS_A_DEVICE_MAX, REMOVED_AT_ONCE
from app.database.tables import FallbackKey, OneTimeKey
from app.protocol.devices import OfferedKey
from app.protocol.signed import Signed
from app.queries import devices, locks
from app.queries.devices import Address, DeviceRow
from app.values.times import DAY_MILLISECONDS

_IS_FREE = OneTimeKey.claimed_at.is_(None)


class KeyConflictError(Exception):
    """Another key is known under that id."""


class TooManyKeysError(Exception):
    """The device has more one-time keys than any client needs."""


class Claim(NamedTuple):
    """A device, the key claimed of it, and how many are left."""

    device: DeviceRow
    key: Signed | None
    left: int


class Stock(NamedTuple):
    """A device's number of unclaimed keys, and whether its fallback is unused."""

    keys: int
    is_fallback_unused: bool


def put(
    connection: Connection, device: int, keys: Mapping[str, OfferedKey], fallback: OfferedKey | None
) -> Stock | None:
    """Keep a device's new keys; return its stock. None if the device is revoked.

    Raises KeyConflictError, TooManyKeysError.
    """
    locks.lock(connection, users=devices.owners((), device))
    if not devices.is_active(connection, device):
        return None
    mine = OneTimeKey.device_id == device
    query = select(OneTimeKey.kid, OneTimeKey.payload).where(mine, OneTimeKey.kid.in_(keys))
    known = dict(connection.execute(query).all())
    if any(keys[kid].payload != payload for kid, payload in known.items()):
        raise KeyConflictError
    added = [key for kid, key in keys.items() if kid not in known]
    count = _count(connection, [device]).get(device, 0) + len(added)
    if count > ONE_TIME_KEYS_A_DEVICE_MAX:
        raise TooManyKeysError
    if added:
        rows = [{"device_id": device, **key.model_dump()} for key in added]
        connection.execute(insert(OneTimeKey).values(rows))
    if fallback is not None:
        _put_fallback(connection, device, fallback)
    unused = select(FallbackKey.device_id).filter_by(device_id=device, is_used=False)
    return Stock(count, connection.execute(unused).first() is not None)


def _put_fallback(connection: Connection, device: int, key: OfferedKey) -> None:
    """Keep a fallback key in place of the one before. The same key stays used if it was.

    Raises KeyConflictError.
    """
    query = select(FallbackKey.kid, FallbackKey.payload).filter_by(device_id=device)
    known = connection.execute(query).first()
    if known is not None and known.kid == key.kid:
        if known.payload != key.payload:
            raise KeyConflictError
        return
    connection.execute(delete(FallbackKey).filter_by(device_id=device))
    connection.execute(
        insert(FallbackKey).values(device_id=device, is_used=False, **key.model_dump())
    )


def _count(connection: Connection, devices: Collection[int]) -> dict[int, int]:
    """Return the numbers of unclaimed keys, by device, without zeros."""
    query = select(OneTimeKey.device_id, func.count()).where(
        OneTimeKey.device_id.in_(devices), _IS_FREE
    )
    return dict(connection.execute(query.group_by(OneTimeKey.device_id)).all())


def claim(
    connection: Connection, addresses: Iterable[Address], now: int
) -> Mapping[Address, Claim]:
    """Hand out a key of each active device: one that is given once, or its fallback key."""
    addresses = list(addresses)
    locks.lock(connection, users=devices.owners(addresses))
    found = devices.active(connection, addresses)
    rows = {device.id for device in found.values()}
    keys = _claim_one_time_keys(connection, rows, now)
    keys |= _claim_fallbacks(connection, rows - set(keys))
    left = _count(connection, rows)
    return {
        address: Claim(device, keys.get(device.id), left.get(device.id, 0))
        for address, device in found.items()
    }


def _claim_one_time_keys(
    connection: Connection, rows: Collection[int], now: int
) -> dict[int, Signed]:
    oldest = (
        select(func.min(OneTimeKey.id))
        .where(OneTimeKey.device_id.in_(rows), _IS_FREE)
        .group_by(OneTimeKey.device_id)
    )
    claimed = OneTimeKey.id.in_(connection.scalars(oldest).all())
    query = select(OneTimeKey.device_id, OneTimeKey.payload, OneTimeKey.sig).where(claimed)
    keys = {row: devices.signed(*said) for row, *said in connection.execute(query)}
    connection.execute(update(OneTimeKey).where(claimed).values(claimed_at=now))
    return keys


def _claim_fallbacks(connection: Connection, rows: Collection[int]) -> dict[int, Signed]:
    claimed = FallbackKey.device_id.in_(rows)
    query = select(FallbackKey.device_id, FallbackKey.payload, FallbackKey.sig).where(claimed)
    keys = {row: devices.signed(*said) for row, *said in connection.execute(query)}
    connection.execute(update(FallbackKey).where(claimed).values(is_used=True))
    return keys


def forget_some(connection: Connection, now: int) -> bool:
    """Forget some of the keys that were claimed long ago; return whether there were any."""
    claimed_before = now - CLAIMED_KEY_DAYS * DAY_MILLISECONDS
    old = select(OneTimeKey.id).where(OneTimeKey.claimed_at < claimed_before)
    # Those that another server forgets are left to it.
    some = old.limit(REMOVED_AT_ONCE).with_for_update(skip_locked=True)
    ids = connection.scalars(some).all()
    connection.execute(delete(OneTimeKey).where(OneTimeKey.id.in_(ids)))
    return bool(ids)
