"""Two writers on one database: what belongs to a room or a user changes under its lock.

Each test stops one writer before it commits, and lets the other one go until it waits.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import SimpleNamespace

import pytest
from sqlalchemy import Connection

from app.bounds import ID_MAX, TOKENS_A_USER_MAX
from app.chat.files.transfers import Transfers
from app.database.database import Database
from app.errors import Forbidden, Unavailable
from app.protocol.signed import ManifestPayload
from app.queries import (
    accounts,
    deletion,
    device_keys,
    devices,
    files,
    locks,
    members,
    messages,
    purging,
    rooms,
    sanctions,
    tokens,
)
from app.queries.files import NewFile
from app.queries.purging import Target
from tests.kit.client import wait_until
from tests.kit.house import DAY
from tests.kit.writers import (
    BAN,
    SAID,
    SERVER_BAN,
    Work,
    Writers,
    keys,
    make_room,
    refusals,
    said,
    sending,
)
from tests.kit.writers import writers as writers


def _begin(writers: Writers, user_id: int, room_id: int, size: int = 0) -> int:
    new = NewFile(room_id, None, user_id, "a.txt", False)
    file_id = writers.write(lambda each: files.begin(each, new, 1))
    writers.write(lambda each: files.reserve(each, file_id, size, 100))
    return int(file_id)


def _sums(writers: Writers, user_id: int) -> list[str]:
    query = "SELECT file_count || ' ' || file_bytes FROM users WHERE id = {}"
    return writers.find(query.format(user_id))


# Keys, devices and their mail.


def test_a_key_is_handed_out_once(writers: Writers) -> None:
    user = writers.user()
    device = writers.device(user)
    writers.write(lambda each: device_keys.put(each, device, keys("1", "2"), None))
    claim = partial(device_keys.claim, addresses=[writers.address(device)], now=1)
    one, other, _ = writers.amid(claim, claim)
    given = [claim.key.payload for claims in (one, other) for claim in claims.values()]
    assert sorted(given) == ["1", "2"]


def test_keys_are_kept_up_to_their_bound(writers: Writers, monkeypatch) -> None:
    monkeypatch.setattr(device_keys, "ONE_TIME_KEYS_A_DEVICE_MAX", 3)
    device = writers.device(writers.user())
    one, other, _ = writers.amid(
        lambda each: device_keys.put(each, device, keys("1", "2"), None),
        lambda each: device_keys.put(each, device, keys("3", "4"), None),
    )
    assert one.keys == 2
    assert isinstance(other, device_keys.TooManyKeysError)
    again = partial(device_keys.put, device=device, keys=keys("3"), fallback=keys("f")["f"])
    assert writers.amid(again, again)[:2] == [(3, True), (3, True)]


def test_a_revoked_device_keeps_nokeys(writers: Writers) -> None:
    user = writers.user()
    device = writers.device(user)
    empty = ManifestPayload.model_construct(user="", aik="", seq=1, devices=())
    revoked, stock, _ = writers.amid(
        lambda each: devices.put_manifest(each, user, empty, SAID, 1),
        lambda each: device_keys.put(each, device, keys("1"), None),
    )
    assert (revoked, stock) == ({device}, None)


def test_one_list_of_devices_follows(writers: Writers) -> None:
    user = writers.user()
    first = ManifestPayload.model_construct(user="", aik="", seq=1, devices=())
    put = partial(devices.put_manifest, user_id=user, manifest=first, said=SAID, now=1)
    assert writers.amid(put, put)[:2] == [set(), None]


# Who knows of a change knows of all before it: a client asks for those after it alone.
def test_changes_of_devices_are_in_order(writers: Writers) -> None:
    users = writers.user(), writers.user()
    first = ManifestPayload.model_construct(user="", aik="", seq=1, devices=())
    puts = [
        partial(devices.put_manifest, user_id=user, manifest=first, said=SAID, now=1)
        for user in users
    ]
    *_, has_waited = writers.amid(*puts)
    assert has_waited


def test_devices_up_to_their_bound(writers: Writers, monkeypatch) -> None:
    monkeypatch.setattr(devices, "DEVICES_EVER_MAX", 1)
    user = writers.user()

    def put(name: str) -> Work:
        own = SimpleNamespace(id=name, ed25519=f"{user} {name}", curve25519=f"{user} {name}")
        described = SimpleNamespace(device=own)
        return lambda each: devices.put(each, user, described, SAID, 1)

    outcomes = writers.amid(put("a"), put("b"))
    assert [type(each) for each in refusals(outcomes)] == [devices.TooManyDevicesError]


def test_a_mailbox_up_to_its_bound(writers: Writers, monkeypatch) -> None:
    monkeypatch.setattr("app.queries.device_mail.DEVICE_MAILBOX_ITEMS_OF_ONE_MAX", 1)
    sender, recipient = writers.device(writers.user()), writers.device(writers.user())
    to = writers.address(recipient)
    outcomes = writers.amid(sending(sender, to, "a"), sending(sender, to, "b"))
    assert outcomes[:2] == [[], ["mailbox_full"]]


def test_mail_is_sent_again(writers: Writers) -> None:
    sender, recipient = writers.device(writers.user()), writers.device(writers.user())
    send = sending(sender, writers.address(recipient), "a")
    assert writers.amid(send, send)[:2] == [[], []]
    assert len(writers.find(f"SELECT id FROM to_device WHERE recipient_id = {recipient}")) == 1


# Files.


def test_no_quota_is_passed(writers: Writers) -> None:
    user = writers.user()
    room = writers.room(user)
    one, other = _begin(writers, user, room), _begin(writers, user, room)
    outcomes = writers.amid(
        lambda each: files.reserve(each, one, 60, 100),
        lambda each: files.reserve(each, other, 60, 100),
    )
    assert [type(each) for each in refusals(outcomes)] == [files.QuotaExceededError]
    assert _sums(writers, user) == ["2 60"]


@pytest.mark.parametrize("ways", ["withdraw remove_some", "remove_some remove_some"])
def test_a_file_is_counted_off_once(writers: Writers, ways: str) -> None:
    user = writers.user()
    file_id = _begin(writers, user, writers.room(user), size=60)
    writers.write(lambda each: files.complete(each, file_id, 60, b"-", 1))
    ways = [partial(getattr(files, way), file_id=file_id) for way in ways.split()]
    assert refusals(writers.amid(*ways)) == []
    writers.write(ways[-1])
    assert _sums(writers, user) == ["0 0"]


def _transfers(database: Database) -> Transfers:
    journal = SimpleNamespace(wait_for_room=lambda: None)
    settings = SimpleNamespace(file_bytes_max=100, file_quota_bytes=100, file_days_max=1)
    return Transfers(SimpleNamespace(**locals(), clock=lambda: DAY + 1))


# What comes to its end while it is taken for a rest stays.
def test_a_completed_file_is_no_rest(writers: Writers) -> None:
    user = writers.user()
    file_id = _begin(writers, user, writers.room(user), size=60)
    _, is_withdrawn, has_waited = writers.amid(
        lambda each: files.complete(each, file_id, 60, b"-", 1),
        lambda each: files.withdraw_due(each, file_id, 0),
    )
    assert (is_withdrawn, has_waited) == (False, True)
    assert _sums(writers, user) == ["1 60"]


# What comes in at one server is no rest of a crash for another one, until its server has ended.
def test_an_upload_of_another_is_not_reaped(writers: Writers) -> None:
    user = writers.user()
    new = NewFile(writers.room(user), None, user, "a.txt", False)
    with writers.another() as another:
        here, there = _transfers(writers.both[0]), _transfers(another)
        with there.incoming(new) as incoming:
            incoming.add(b"a")
            here.reap()
            incoming.add(b"b")
            file = incoming.complete(DAY).shared
        cut_off = there.write(lambda each: files.begin(each, new, 1))
        here.reap()
        query = f"SELECT id FROM files WHERE user_id = {user} ORDER BY id"
        assert writers.find(query) == [file.id, cut_off]
        with suppress(KeyError), there.incoming(new):
            raise KeyError
        assert writers.find(query) == [file.id, cut_off]
        held = f"SELECT objid FROM pg_locks WHERE objid BETWEEN {file.id} AND {cut_off + 1}"
        assert writers.find(f"{held} AND locktype = 'advisory'") == [cut_off]
    wait_until(lambda: here.reap() or writers.find(query) == [file.id], "the rest is removed")
    assert b"".join(here.outgoing(file.id)) == b"ab"


# Rooms.


def test_rooms_owned_up_to_the_bound(writers: Writers) -> None:
    user = writers.user()

    def make(connection: Connection) -> None:
        if rooms.owns_as_many(connection, user, 1):
            raise Forbidden("one is enough", code="too_many_owned")
        make_room(connection, user)

    outcomes = writers.amid(make, make)
    assert [type(each) for each in refusals(outcomes)] == [Forbidden]


Filling = Callable[[int, int], Work]  # for a room and a user
FILLINGS: dict[str, Filling] = {
    "app.queries.rooms.MODERATORS_A_ROOM_MAX": lambda room, user: (
        lambda each: rooms.add_moderator(each, room, user)
    ),
    "app.queries.rooms.SANCTIONS_A_ROOM_MAX": lambda room, user: (
        lambda each: rooms.put_sanction(each, BAN._replace(room_id=room, user_id=user))
    ),
    "app.queries.members.MEMBERS_A_ROOM_MAX": lambda room, user: (
        lambda each: members.add(each, room, user)
    ),
    "app.queries.sanctions.SERVER_SANCTIONS_MAX": lambda _, user: (
        lambda each: sanctions.put(each, SERVER_BAN._replace(user_id=user))
    ),
    "app.queries.accounts.IGNORED_A_USER_MAX": lambda room, user: (
        lambda each: accounts.ignore(each, _owner(each, room), user)
    ),
}


def _owner(connection: Connection, room_id: int) -> int:
    query = f"SELECT owner_id FROM rooms WHERE id = {room_id}"
    return int(connection.exec_driver_sql(query).scalar_one())


# What there may be so many of is no more, whoever adds to it.
@pytest.mark.parametrize("bound", FILLINGS)
def test_the_last_place(writers: Writers, monkeypatch, bound: str) -> None:
    room = writers.room(writers.user())
    writers.write(lambda each: each.exec_driver_sql("DELETE FROM server_sanctions"))
    monkeypatch.setattr(bound, 1)
    fill = FILLINGS[bound]
    outcomes = writers.amid(fill(room, writers.user()), fill(room, writers.user()))
    assert [type(each) for each in refusals(outcomes)] == [Unavailable]


def test_each_member_makes_a_revision(writers: Writers, monkeypatch) -> None:
    owner, guest = writers.user(), writers.user()
    room, looked = writers.room(owner), []
    monkeypatch.setattr(messages, "newest_id", lambda _: looked.append(True) or 1)
    *_, looked_before = writers.amid(
        lambda each: locks.lock(each, rooms=[room]),
        lambda each: members.encrypt(each, room, [owner]),
        lambda _: [*looked],
    )
    assert (looked_before, looked) == ([], [True])  # nothing in the clear comes after that
    ends = [
        lambda each: members.add(each, room, guest),
        lambda each: members.remove(each, room, owner),
    ]
    assert refusals(writers.amid(*ends)) == []
    roster = writers.write(lambda each: members.find(each, room))
    assert (roster.rev, {*roster.members}) == (3, {guest})


# A room goes to no account that is deleted at the same time.
def test_an_heir_is_there(writers: Writers) -> None:
    owner, heir, next_heir = writers.user(), writers.user(), writers.user()
    room = writers.room(owner)
    for each in (heir, next_heir):
        writers.write(partial(rooms.add_moderator, room_id=room, user_id=each))
    deletions = [partial(deletion.delete_account, user_id=each, now=1) for each in (owner, heir)]
    assert refusals(writers.amid(*deletions)) == []
    assert writers.find(f"SELECT owner_id FROM rooms WHERE id = {room}") == [next_heir]


def test_nothing_is_given_to_a_deleted_account(writers: Writers) -> None:
    user = writers.user()
    _, is_deleted, _ = writers.amid(
        lambda each: deletion.delete_account(each, user, 1),
        lambda each: accounts.is_deleted(each, user),
    )
    assert is_deleted


# Logins.


def test_tokens_up_to_their_bound(writers: Writers) -> None:
    user = writers.user()

    def add(number: int) -> Work:
        return lambda each: tokens.add(each, user, f"{user} {number}".encode(), "", number)

    for number in range(TOKENS_A_USER_MAX - 1):
        writers.write(add(number))
    assert refusals(writers.amid(add(100), add(101))) == []
    assert len(writers.write(lambda each: tokens.list_of(each, user))) == TOKENS_A_USER_MAX


# A ban leaves no token, whether it was before the login or after it.
@pytest.mark.parametrize("is_before", [True, False])
def test_no_token_outlives_a_ban(writers: Writers, is_before: bool) -> None:
    user = writers.user()

    def ban(connection: Connection) -> None:
        sanctions.put(connection, SERVER_BAN._replace(user_id=user))
        tokens.revoke_all(connection, user)

    def log_in(connection: Connection) -> None:
        if accounts.may_log_in(connection, user, "-", 1):
            tokens.add(connection, user, str(user).encode(), "", 1)

    outcomes = writers.amid(*((ban, log_in) if is_before else (log_in, ban)))
    assert refusals(outcomes) == []
    assert writers.write(lambda each: tokens.list_of(each, user)) == []


# Messages.


def test_a_message_is_stored_once(writers: Writers) -> None:
    user = writers.user()
    rooms = writers.room(user), writers.room(user)
    stores = [
        lambda each, room=room: messages.store(each, [said(room, user, "t")]) for room in rooms
    ]
    one, other, _ = writers.amid(*stores)
    assert [*one.ids] == [*other.ids]


# Of a room, and of a mailbox, no message comes before one that has a higher id.
def test_ids_rise_with_commits(writers: Writers) -> None:
    one, other = writers.user(), writers.user()
    room = writers.room(one)
    for place in ({"room_id": room}, {"room_id": None, "to": other}):
        stores = [
            lambda each, user=user, place=place: messages.store(each, [said(user_id=user, **place)])
            for user in (one, other)
        ]
        first, second, has_waited = writers.amid(*stores)
        assert has_waited
        assert [*first.ids] < [*second.ids]


def test_a_purge_counts_what_it_removed(writers: Writers) -> None:
    user, reader = writers.user(), writers.user()
    room = writers.room(user)
    before = [said(room, user, "a"), said(room, user), said(None, user, "b", to=reader)]
    writers.write(lambda each: messages.store(each, before))

    def purge(target: Target) -> Work:
        return lambda each: purging.remove_some(each, target, 0, ID_MAX, 1)[0]

    for target in (Target(room_id=room), Target(message_id=None, user_id=user)):
        writers.write(lambda each: messages.store(each, [said(room, user, None)]))
        outcomes = writers.amid(purge(Target(user_id=user)), purge(target))
        assert refusals(outcomes) == []
        removed = [piece for pieces in outcomes[:2] for piece in pieces]
        assert sum(piece.messages for piece in removed if piece.room_id) in (1, 3)
