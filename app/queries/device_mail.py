"""Queries on the mailboxes of devices. Each takes a connection in a transaction, and blocks.

The row of a taken item stays for a while, without its body: a retry adds nothing.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, delete, func, insert, or_, select, update

from app.bounds import (
    DEVICE_MAIL_DAYS_MAX,
    DEVICE_MAIL_FETCHED_BYTES_MAX,
    DEVICE_MAILBOX_ITEMS_MAX,
    DEVICE_MAILBOX_ITEMS_OF_ONE_MAX,
    REMOVED_AT_ONCE,
    SPENT_TXN_DAYS,
)
from app.database.tables import Device, ToDevice, User
from app.protocol.devices import DeviceMail
from app.queries import devices, locks
from app.values.times import DAY_MILLISECONDS

_WAITS = ToDevice.body.is_not(None)


class Item(NamedTuple):
    """An item for a mailbox, and its place in the request."""

    place: int
    recipient_id: int
    body: str


def put(
    connection: Connection, sender_id: int, txn: str, items: Iterable[Item], now: int
) -> tuple[Collection[int], Collection[int]]:
    """Put items into mailboxes, except those already put there. The caller has locked all users.

    Return the recipients that got something, and the places of the refused items: their mailbox is
    full, or holds as much of the sender's user as one user may leave there.
    """
    said = select(ToDevice.place).where(ToDevice.sender_id == sender_id, ToDevice.txn == txn)
    known = set(connection.scalars(said))
    new = [item for item in items if item.place not in known]
    recipients, own = {item.recipient_id for item in new}, _of_same_user(connection, sender_id)
    counts = _counts(connection, recipients)
    counts_of_user = _counts(connection, recipients - own, ToDevice.sender_id.in_(own))
    rows, full = [], set()
    for item in new:
        recipient = item.recipient_id
        counts[recipient] += 1
        counts_of_user[recipient] += recipient not in own
        free = DEVICE_MAILBOX_ITEMS_MAX - counts[recipient]
        if free < 0 or counts_of_user[recipient] > share(free, DEVICE_MAILBOX_ITEMS_OF_ONE_MAX):
            full.add(item.place)
            counts[recipient] -= 1
            counts_of_user[recipient] -= recipient not in own
        else:
            row = {"sender_id": sender_id, "txn": txn, "sent_at": now}
            rows.append({**row, **item._asdict()})
    if rows:
        connection.execute(insert(ToDevice).values(rows))
    return {row["recipient_id"] for row in rows}, full


def share(free: int, most: int) -> int:
    """Return one user's share of a mailbox: the fuller, the less.

    So users who fill it leave some to all others, and the one with most is refused first.
    """
    return min(most, free // 10)


def _of_same_user(connection: Connection, device_id: int) -> set[int]:
    """Return the ids of all devices of a device's user."""
    user = select(Device.user_id).where(Device.id == device_id).scalar_subquery()
    return set(connection.scalars(select(Device.id).where(Device.user_id == user)))


def _counts(
    connection: Connection, recipients: Collection[int], *what: ColumnElement[bool]
) -> Counter[int]:
    """Return how many items wait for each device: all, or those under a condition."""
    query = select(ToDevice.recipient_id, func.count()).where(
        ToDevice.recipient_id.in_(recipients), _WAITS, *what
    )
    return Counter(dict(connection.execute(query.group_by(ToDevice.recipient_id)).all()))


def fetch(
    connection: Connection, recipient_id: int, after: int, limit: int
) -> tuple[Sequence[DeviceMail], bool]:
    """Return a device's mail after a position, and whether there is more. Oldest first."""
    query = (
        select(ToDevice.id, User.key, Device.device_id, ToDevice.body)
        .join(Device, Device.id == ToDevice.sender_id)
        .join(User, User.id == Device.user_id)
        .where(ToDevice.recipient_id == recipient_id, ToDevice.id > after, _WAITS)
        .order_by(ToDevice.id)
        .limit(limit + 1)
    )
    items: list[DeviceMail] = []
    size_bytes = 0
    with connection.execute(query) as rows:
        for n, user, device, body in rows:
            size_bytes += len((body or "").encode())
            if len(items) == limit or (items and size_bytes > DEVICE_MAIL_FETCHED_BYTES_MAX):
                return items, True
            items.append(DeviceMail(n, user, device, body or ""))
    return items, False


def take(connection: Connection, recipient_id: int, upto: int) -> None:
    """Empty a mailbox up to a position."""
    locks.lock(connection, users=devices.owners((), recipient_id))
    mine = (ToDevice.recipient_id == recipient_id, ToDevice.id <= upto, _WAITS)
    connection.execute(update(ToDevice).where(*mine).values(body=None))


def forget_some(connection: Connection, now: int) -> bool:
    """Remove some old mail, taken or not; return whether there was any."""
    taken_before = now - SPENT_TXN_DAYS * DAY_MILLISECONDS
    sent_before = now - DEVICE_MAIL_DAYS_MAX * DAY_MILLISECONDS
    old = select(ToDevice.id).where(
        ToDevice.sent_at < taken_before,
        or_(ToDevice.body.is_(None), ToDevice.sent_at < sent_before),
    )
    # Those that another server removes are left to it.
    some = old.order_by(ToDevice.sent_at).limit(REMOVED_AT_ONCE).with_for_update(skip_locked=True)
    ids = connection.scalars(some).all()
    connection.execute(delete(ToDevice).where(ToDevice.id.in_(ids)))
    return bool(ids)
