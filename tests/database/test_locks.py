"""Locks of rooms and users: all writers take them, and in one order."""

import random
from collections.abc import Callable
from functools import partial
from itertools import count
from types import SimpleNamespace

import gevent
import pytest
from sqlalchemy import Connection

from app.bounds import ID_MAX
from app.engine.entries import Decision
from app.protocol.signed import ManifestPayload
from app.queries import (
    accounts,
    deletion,
    device_keys,
    device_mail,
    devices,
    files,
    locks,
    messages,
    purging,
    retention,
    rooms,
    sanctions,
    tokens,
)
from app.queries.files import NewFile
from app.queries.purging import Target
from app.queries.retention import Old
from app.values.times import TIME_MAX
from tests.kit.writers import BAN, SAID, SERVER_BAN, Work, Writers, keys, refusals, said, sending
from tests.kit.writers import writers as writers

ROUNDS = 100
EMPTY = ManifestPayload.model_construct(user="", aik="", seq=1, devices=())
XID = "SELECT txid_current()"
SUMS = """
SELECT id FROM users WHERE file_bytes != 0
OR file_count != (SELECT count(*) FROM files WHERE user_id = users.id)
"""


# What has only one statement waits as well: its room's, or its user's, log has one order.
WAITING: dict[str, Callable[[int, int, int], Work]] = {
    "take mail": lambda _, user, device: lambda each: device_mail.take(each, device, 1),
    "expire in a room": lambda room, *_: (
        lambda each: retention.remove_some(each, Old("room", room, 2), 0)
    ),
    "expire mail": lambda _, user, __: (
        lambda each: retention.remove_some(each, Old("recipient", user, 2), 0)
    ),
    "remove a room": lambda room, *_: lambda each: retention.remove_room(each, room),
    "demote": lambda room, user, _: lambda each: rooms.remove_moderator(each, room, user),
    "unban": lambda room, user, _: lambda each: rooms.remove_sanction(each, "ban", room, user),
    "end logins": lambda _, user, __: lambda each: tokens.revoke_all(each, user),
}


@pytest.mark.parametrize("name", WAITING)
def test_each_waits_for_its_lock(writers: Writers, name: str) -> None:
    user = writers.user()
    room, device = writers.room(user), writers.device(user)
    *_, has_waited = writers.amid(
        lambda each: locks.lock(each, rooms=[room], users=[user]), WAITING[name](room, user, device)
    )
    assert has_waited


# What is to be forgotten, and another server has in hand, is left to it.
def test_upkeep_waits_for_nobody(writers: Writers) -> None:
    device = writers.device(writers.user())
    address = writers.address(device)
    writers.write(lambda each: device_keys.put(each, device, keys("1"), None))
    writers.write(lambda each: device_keys.claim(each, [address], 1))
    writers.write(sending(device, address, "1"))
    for table, forget_some in (
        ("one_time_keys", device_keys.forget_some),
        ("to_device", device_mail.forget_some),
    ):
        in_hand = f"SELECT id FROM {table} FOR UPDATE"
        _, has_forgotten, has_waited = writers.amid(
            lambda each, in_hand=in_hand: each.exec_driver_sql(in_hand).all(),
            lambda each, forget_some=forget_some: forget_some(each, TIME_MAX),
        )
        assert not has_forgotten
        assert not has_waited
        assert writers.write(lambda each, forget_some=forget_some: forget_some(each, TIME_MAX))


# Who waits for a lock holds none that comes behind it, in whatever order they were asked for.
def test_locks_are_taken_in_order(writers: Writers) -> None:
    users = sorted(writers.user() for _ in range(3))
    room_ids = sorted(writers.room(users[0]) for _ in range(2))
    everything = {"server": True, "rooms": room_ids[::-1], "users": users[::-1]}
    order = [{"server": True}, *({"rooms": [each]} for each in room_ids)]
    order += [{"users": [each]} for each in users]
    for place, held in enumerate(order):
        behind = order[place + 1 :]
        *outcomes, free = writers.amid(
            lambda each, held=held: locks.lock(each, **held),
            lambda each: locks.lock(each, **everything),
            lambda each, behind=behind: [one for one in behind if _is_free(each, **one)],
        )
        assert outcomes == [None, None]
        assert free == behind


# So does each that needs several, with those that its look-ups need.
IN_ORDER: dict[str, Callable[[int, int], Work]] = {
    "server put_manifest": lambda _, user: (
        lambda each: devices.put_manifest(each, user, EMPTY, SAID, 1)
    ),
    "server put_sanction": lambda _, user: (
        lambda each: sanctions.put(each, SERVER_BAN._replace(user_id=user))
    ),
    "server delete_account": lambda _, user: lambda each: deletion.delete_account(each, user, 1),
    "room delete_account": lambda _, user: lambda each: deletion.delete_account(each, user, 1),
    "room store": lambda room, user: (
        lambda each: messages.store(each, [said(None, user, to=user), said(room, user, "t")])
    ),
    "room purge": lambda _, user: (
        lambda each: purging.remove_some(each, Target(user_id=user), 0, ID_MAX, 1)
    ),
}


@pytest.mark.parametrize("name", IN_ORDER)
def test_each_takes_them_in_order(writers: Writers, name: str) -> None:
    user = writers.user()
    room = writers.room(user)
    before = [said(None, user, to=user), said(room, user)]
    writers.write(lambda each: messages.store(each, before))
    held = {"server": True} if name.startswith("server") else {"rooms": [room]}
    *outcomes, is_free = writers.amid(
        lambda each: locks.lock(each, **held),
        IN_ORDER[name](room, user),
        lambda each: _is_free(each, users=[user]),
    )
    assert refusals(outcomes) == []
    assert is_free


# A decision locks its logs before all that it looks at.
@pytest.mark.parametrize("is_about_a_room", [True, False])
def test_a_decision_takes_them_in_order(writers: Writers, is_about_a_room: bool) -> None:
    user = writers.user()
    room = writers.room(user) if is_about_a_room else None
    stream, fact = SimpleNamespace(id=room), SimpleNamespace(record=lambda *_: None)
    work = partial(accounts.is_deleted, user_id=user)
    held = {"rooms": [room]} if is_about_a_room else {"server": True}
    *_, is_free = writers.amid(
        lambda each: locks.lock(each, **held),
        Decision(None, [(stream, fact)], work, 1).write,
        lambda each: _is_free(each, users=[user]),
    )
    assert is_free


def _is_free(
    connection: Connection, rooms: list[int] | None = None, users: list[int] | None = None
) -> bool:
    table, (row_id,) = ("rooms", rooms) if rooms else ("users", users or [])
    statement = f"SELECT id FROM {table} WHERE id = {row_id} FOR NO KEY UPDATE SKIP LOCKED"
    return connection.exec_driver_sql(statement).first() is not None


# Writes of one writer have a transaction each: together their locks would be in no order.
def test_no_write_shares_a_transaction(writers: Writers) -> None:
    asked = [
        gevent.spawn(writers.write, lambda each: each.exec_driver_sql(XID).scalar())
        for _ in range(5)
    ]
    assert len({each.get() for each in asked}) == len(asked)


# In rounds both writers do at once what they may: nothing of it fails, and all sums are right.
def test_many_rounds(writers: Writers) -> None:
    chance = random.Random(7)
    users = [writers.user() for _ in range(3)]
    room_ids = [writers.room(each) for each in users[:2]]
    mailboxes = [writers.device(each) for each in users]
    addresses = [writers.address(each) for each in mailboxes]
    numbers = count(1)

    def works() -> list[Work]:
        number, user = next(numbers), chance.choice(users)
        room, other = chance.choice(room_ids), chance.choice(users)
        sender = chance.choice(mailboxes)
        batch = [
            said(None, chance.choice(users), str(number), to=chance.choice(users))
            if chance.random() < 0.5
            else said(chance.choice(room_ids), chance.choice(users), str(number // 3))
            for _ in range(4)
        ]
        sanction = BAN._replace(room_id=room, user_id=other)
        server_ban = SERVER_BAN._replace(user_id=other, until_at=2)
        new = NewFile(room, None, user, "a.txt", False)
        some, seen = chance.sample(addresses, 2), dict.fromkeys(chance.sample(users, 2), number)
        return [
            lambda each: messages.store(each, batch, seen),
            lambda each: rooms.put_sanction(each, sanction),
            lambda each: sanctions.put(each, server_ban),
            lambda each: files.withdraw(each, files.begin(each, new, 1)),
            lambda each: [files.remove_some(each, due) for due in files.due(each, 0)[:1]],
            lambda each: device_keys.put(each, sender, keys(str(number)), None),
            lambda each: device_keys.claim(each, some, 1),
            lambda each: [sending(sender, to, str(number))(each) for to in addresses[:1]],
            lambda each: purging.remove_some(each, Target(user_id=user), 0, ID_MAX, 1),
            lambda each: tokens.add(each, user, str(number).encode(), "", number),
            lambda each: device_keys.forget_some(each, ID_MAX),
            lambda each: locks.lock(each, rooms=room_ids, users=users),
        ]

    for _ in range(ROUNDS):
        of_one_kind = zip(works(), works(), strict=True)
        pair = [chance.choice(works()), chance.choice(works())]
        outcomes = writers.run(*chance.choice([pair, chance.choice([*of_one_kind])]))
        assert refusals(outcomes) == []
    assert writers.find(SUMS) == []
