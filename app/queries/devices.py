"""Queries on devices and lists of them. Each takes a connection in a transaction, and blocks."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import CompoundSelect, Connection, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from app.bounds import DEVICE_CHANGES_MAX, DEVICES_EVER_MAX, DEVICES_WAITING_MAX, MANIFESTS_KEPT_MAX
from app.database.tables import (
    Device,
    DeviceChange,
    FallbackKey,
    Manifest,
    OneTimeKey,
    ToDevice,
    User,
)
from app.protocol.devices import UserDevices
from app.protocol.signed import DeviceKeys, DevicePayload, ManifestPayload, Signed, read_payload
from app.queries import locks

Address = tuple[str, str]  # the key of a user's name, and the public name of a device of theirs

_IS_ACTIVE = Device.revoked_at.is_(None)


class KeyTakenError(Exception):
    """Another device, now or before, has that id or a key."""


class TooManyDevicesError(Exception):
    """The user has had more devices than any person needs."""


class KnownDevice(NamedTuple):
    """A device for which a session may speak: row, public name and key."""

    id: int
    device_id: str
    ed25519: str


class DeviceRow(NamedTuple):
    """The row of a device, and its user."""

    id: int
    user_id: int


# Devices.


def find(
    connection: Connection, user_id: int, device_id: str, said: Signed, seen_after: int
) -> KnownDevice | None:
    """Return an active device of this description, if seen since then."""
    row = connection.execute(
        select(Device.id, Device.device_id, Device.ed25519).where(
            Device.user_id == user_id,
            Device.device_id == device_id,
            Device.payload == said.payload,
            Device.seen_at >= seen_after,
            _IS_ACTIVE,
        )
    ).first()
    return KnownDevice(*row) if row else None


def is_known(connection: Connection, user_id: int, device_id: str) -> bool:
    """Whether a user has, or had, a device so called."""
    query = select(Device.id).where(Device.user_id == user_id, Device.device_id == device_id)
    return connection.execute(query).first() is not None


def put(
    connection: Connection, user_id: int, described: DevicePayload, said: Signed, now: int
) -> KnownDevice:
    """Keep a device, or note that it was seen. Raises KeyTakenError, TooManyDevicesError."""
    locks.lock(connection, users=[user_id])
    keys = described.device
    mine = select(Device.id, Device.payload, Device.revoked_at).where(
        Device.user_id == user_id, Device.device_id == keys.id
    )
    row = connection.execute(mine).first()
    if row is None:
        return KnownDevice(_add(connection, user_id, keys, said, now), keys.id, keys.ed25519)
    if row.payload != said.payload or row.revoked_at is not None:
        raise KeyTakenError
    connection.execute(update(Device).where(Device.id == row.id).values(seen_at=now))
    return KnownDevice(row.id, keys.id, keys.ed25519)


def _add(connection: Connection, user_id: int, keys: DeviceKeys, said: Signed, now: int) -> int:
    listed = {each.id: each for each in _listed(connection, user_id)}.get(keys.id)
    if listed is not None and listed != keys:
        raise KeyTakenError
    query = select(func.count()).select_from(Device).where(Device.user_id == user_id)
    if connection.execute(query).scalar_one() >= DEVICES_EVER_MAX:
        raise TooManyDevicesError
    statement = insert(Device).values(
        user_id=user_id,
        device_id=keys.id,
        ed25519=keys.ed25519,
        curve25519=keys.curve25519,
        payload=said.payload,
        sig=said.sig,
        made_at=now,
        seen_at=now,
        approved_at=now if listed else None,
    )
    try:
        result = connection.execute(statement)
    except IntegrityError as error:
        raise KeyTakenError from error
    assert result.inserted_primary_key is not None  # noqa: S101 (an INSERT of one row has one)
    _remove_waiting(connection, user_id)
    return int(result.inserted_primary_key[0])


def _remove_waiting(connection: Connection, user_id: int) -> None:
    """Remove devices that wait for approval, beyond a number: those unseen for longest."""
    waiting = select(Device.id).where(Device.user_id == user_id, Device.approved_at.is_(None))
    lately = waiting.order_by(Device.seen_at.desc(), Device.id.desc())
    ids = connection.scalars(lately.offset(DEVICES_WAITING_MAX)).all()
    if ids:
        _empty(connection, ids)
        connection.execute(delete(ToDevice).where(ToDevice.sender_id.in_(ids)))
        connection.execute(delete(Device).where(Device.id.in_(ids)))


def _empty(connection: Connection, ids: Collection[int]) -> None:
    """Remove the keys and the mail of devices."""
    connection.execute(delete(OneTimeKey).where(OneTimeKey.device_id.in_(ids)))
    connection.execute(delete(FallbackKey).where(FallbackKey.device_id.in_(ids)))
    connection.execute(delete(ToDevice).where(ToDevice.recipient_id.in_(ids)))


def owners(addresses: Iterable[Address], *rows: int) -> CompoundSelect[int]:
    """Select the users of devices: those at addresses, and those of rows."""
    named = select(User.id).where(User.key.in_({key for key, _ in addresses}))
    return named.union(select(Device.user_id).where(Device.id.in_(rows)))


def is_active(connection: Connection, row_id: int) -> bool:
    """Whether a device exists, and is not revoked."""
    query = select(Device.id).where(Device.id == row_id, _IS_ACTIVE)
    return connection.execute(query).first() is not None


def active(connection: Connection, addresses: Iterable[Address]) -> Mapping[Address, DeviceRow]:
    """Return the rows of these devices, of the active ones."""
    wanted = set(addresses)
    query = (
        select(User.key, Device.device_id, Device.id, Device.user_id)
        .join(User, User.id == Device.user_id)
        .where(
            User.key.in_({key for key, _ in wanted}),
            Device.device_id.in_({device_id for _, device_id in wanted}),
            _IS_ACTIVE,
        )
    )
    rows = connection.execute(query)
    return {
        (key, device_id): DeviceRow(row_id, user_id)
        for key, device_id, row_id, user_id in rows
        if (key, device_id) in wanted
    }


def signed(payload: str, sig: str) -> Signed:
    """Return a signed text of a row, without validation: it was checked when it came."""
    return Signed.model_construct(payload=payload, sig=sig)


# Lists of devices.


def _newest(connection: Connection, user_id: int) -> tuple[int, str] | None:
    query = select(Manifest.seq, Manifest.payload).where(Manifest.user_id == user_id)
    row = connection.execute(query.order_by(Manifest.seq.desc()).limit(1)).first()
    return (row.seq, row.payload) if row else None


def _listed(connection: Connection, user_id: int) -> Sequence[DeviceKeys]:
    newest = _newest(connection, user_id)
    return read_payload(ManifestPayload, newest[1]).devices if newest else ()


def put_manifest(
    connection: Connection, user_id: int, manifest: ManifestPayload, said: Signed, now: int
) -> set[int] | None:
    """Keep the next list of a user's devices; return the rows of the devices that it revokes.

    Return None when it is not the next one. Raises KeyTakenError when it gives a device other keys.
    """
    locks.lock(connection, server=True, users=[user_id])
    newest = _newest(connection, user_id)
    if manifest.seq != (newest[0] if newest else 0) + 1:
        return None
    connection.execute(
        insert(Manifest).values(
            user_id=user_id,
            seq=manifest.seq,
            aik=manifest.aik,
            payload=said.payload,
            sig=said.sig,
            made_at=now,
        )
    )
    connection.execute(
        delete(Manifest).where(
            Manifest.user_id == user_id, Manifest.seq <= manifest.seq - MANIFESTS_KEPT_MAX
        )
    )
    _note_change(connection, user_id)
    return _approve_and_revoke(connection, user_id, manifest, now)


def _approve_and_revoke(
    connection: Connection, user_id: int, manifest: ManifestPayload, now: int
) -> set[int]:
    listed = {keys.id: keys for keys in manifest.devices}
    approved, revoked = set(), set()
    query = select(
        Device.id, Device.device_id, Device.ed25519, Device.curve25519, Device.approved_at
    ).where(Device.user_id == user_id, or_(_IS_ACTIVE, Device.device_id.in_(listed)))
    for row in connection.execute(query):
        keys = listed.get(row.device_id)
        if keys is None and row.approved_at is not None:
            revoked.add(row.id)
        elif keys is not None:
            if (keys.ed25519, keys.curve25519) != (row.ed25519, row.curve25519):
                raise KeyTakenError
            approved.add(row.id)
    connection.execute(
        update(Device).where(Device.id.in_(approved)).values(approved_at=now, revoked_at=None)
    )
    connection.execute(update(Device).where(Device.id.in_(revoked)).values(revoked_at=now))
    _empty(connection, revoked)
    return revoked


def revoke_all(connection: Connection, user_id: int, now: int) -> None:
    """Revoke all devices of a user; forget their lists. The caller has locked server and user."""
    ids = connection.scalars(select(Device.id).where(Device.user_id == user_id)).all()
    connection.execute(update(Device).where(Device.id.in_(ids)).values(revoked_at=now))
    _empty(connection, ids)
    connection.execute(delete(Manifest).where(Manifest.user_id == user_id))
    _note_change(connection, user_id)


def _note_change(connection: Connection, user_id: int) -> None:
    """Note a change of a user's list; forget surplus old ones.

    The caller has locked the server: a reader who knows a change knows all before it.
    """
    result = connection.execute(insert(DeviceChange).values(user_id=user_id))
    assert result.inserted_primary_key is not None  # noqa: S101 (an INSERT of one row has one)
    too_old = result.inserted_primary_key[0] - DEVICE_CHANGES_MAX
    connection.execute(delete(DeviceChange).where(DeviceChange.id <= too_old))


def of_users(
    connection: Connection, keys: Collection[str], own_id: int
) -> Mapping[str, UserDevices]:
    """Return users' lists and devices, by the keys of their names.

    Devices that wait for approval are shown to their own user alone.
    """
    names = dict(connection.execute(select(User.id, User.key).where(User.key.in_(keys))).all())
    newest = (
        select(Manifest.user_id, func.max(Manifest.seq).label("seq"))
        .where(Manifest.user_id.in_(names))
        .group_by(Manifest.user_id)
        .subquery()
    )
    manifests = connection.execute(
        select(Manifest.user_id, Manifest.payload, Manifest.sig).join(
            newest, (newest.c.user_id == Manifest.user_id) & (newest.c.seq == Manifest.seq)
        )
    )
    lists = {row.user_id: signed(row.payload, row.sig) for row in manifests}
    devices: dict[int, list[Signed]] = {}
    query = select(Device.user_id, Device.payload, Device.sig).where(
        Device.user_id.in_(names),
        or_(Device.approved_at.is_not(None), Device.user_id == own_id),
        _IS_ACTIVE,
    )
    for row in connection.execute(query.order_by(Device.id)):
        devices.setdefault(row.user_id, []).append(signed(row.payload, row.sig))
    return {
        key: UserDevices(lists.get(user_id), devices.get(user_id, []))
        for user_id, key in names.items()
    }


def changes(connection: Connection, since: int | None) -> tuple[Sequence[str], int] | None:
    """Return the users whose lists changed, and the position now.

    Return None when the position is forgotten, or was never reached.
    """
    bounds = select(func.min(DeviceChange.id), func.max(DeviceChange.id))
    first, last = connection.execute(bounds).one()
    if since is None:
        return (), last or 0
    if not (first - 1 <= since <= last if last else since == 0):
        return None
    query = select(User.key).join(DeviceChange, DeviceChange.user_id == User.id)
    changed = query.where(DeviceChange.id > since).distinct().order_by(User.key)
    return connection.scalars(changed).all(), last or 0
