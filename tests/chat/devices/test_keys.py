"""Devices, their keys and their mailboxes, as programs that encrypt find them at a server."""

from functools import partial
from pathlib import Path

from app import bounds
from tests.kit.client import at_once
from tests.kit.server_process import ServerProcess
from tests.kit.signing import Device, manifest, new_aik

SERVER_SETTINGS = {"message_rate": "0"}
CLAIMERS = 10


def _list(device: Device, aik, seq: int, *listed: Device) -> None:
    """Have a device make a list of its user's devices known."""
    device.program.call("keys.manifest.put", **manifest(aik, device.user, seq, *listed))


def _put_many(
    server: ServerProcess, user: str, letter: str, count: int, revoked_at: int | None
) -> None:
    """Have so many devices of a user, of no program."""
    with server.database() as database:
        database.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION SELECT i + 1 FROM n WHERE i < :count)"
            "INSERT INTO devices (user_id, device_id, ed25519, curve25519, payload, sig, made_at,"
            " seen_at, revoked_at) SELECT users.id, :letter || i, :user || :letter || 'e' || i,"
            " :user || :letter || 'c' || i, '{}', 'x', 1e15, 1e15, :revoked_at FROM users, n"
            " WHERE name = :user",
            {"user": user, "letter": letter, "count": count, "revoked_at": revoked_at},
        )


def _stock(device: Device, *otk: dict, fallback: dict | None = None) -> tuple[int, bool]:
    """Leave keys at the server; return how many it has, and whether the fallback key is unused."""
    answer = device.program.call("keys.otk.put", otk=otk, fallback=fallback)
    return answer["otk_count"], answer["fallback_unused"]


def _shown(asking: Device, user: str) -> dict:
    return asking.program.call("keys.query", users=[user])["users"][user]


# A device is known by what it says of itself, and each login says it again, to the letter.
def test_a_device_is_put(server: ServerProcess, alice: Device) -> None:
    assert _shown(alice, alice.user) == {"manifest": None, "devices": [alice.described]}
    alice.put()
    alice.program = server.program().log_in(alice.user)
    assert alice.program.refused("td.fetch") == "no_device"
    alice.put()
    assert alice.bodies() == []
    assert _shown(alice, alice.user)["devices"] == [alice.described]


# An id, and each key, is one device's for good.
def test_ids_and_keys_are_used_once(server: ServerProcess, alice: Device, bob: Device) -> None:
    for name in ("id", "ed25519", "curve25519"):
        other = Device(server.program().log_in(alice.user))
        if name == "ed25519":
            other.key = alice.key
        other.keys = other.keys | {name: alice.keys[name]}
        assert other.program.refused("keys.device.put", **other.described) == "device_id_reused"
    same = Device(server.program().log_in(bob.user))
    same.keys = same.keys | {"id": alice.id}  # another user's device may be called so
    same.put()


# A session speaks for one device, and for none of somebody else's.
def test_a_session_speaks_for_one_device(alice: Device, bob: Device) -> None:
    other = Device(alice.program)
    assert alice.program.refused("keys.device.put", **other.described) == "device_id_reused"
    assert alice.program.refused("keys.device.put", **bob.described) == "bad_device_payload"
    assert alice.fetch() == []


# Without a device there is no mailbox, and nothing to claim or to leave keys for.
def test_what_needs_a_device(server: ServerProcess, new_name, bob: Device) -> None:
    program = server.program().register(new_name("user"))
    letter = {**bob.address, "body": "x"}
    for op, fields in {
        "keys.otk.put": {"otk": [], "fallback": None},
        "keys.claim": {"targets": [bob.address]},
        "td.send": {"txn": "1", "msgs": [letter]},
        "td.fetch": {"after": 0, "limit": 1},
        "td.ack": {"upto": 1},
    }.items():
        assert program.refused(op, **fields) == "no_device"
    assert program.call("keys.query", users=[bob.user])["users"][bob.user]["manifest"] is None


# Those that wait for approval are so many at most: the one unseen for longest goes, with its mail.
def test_devices_that_wait(server: ServerProcess, new_device, monkeypatch) -> None:
    first = new_device()
    first.offer(1)
    first.send("1", (first, "hello"))
    _put_many(server, first.user, "d", bounds.DEVICES_WAITING_MAX - 1, None)
    last = new_device(first.user)
    assert len(_shown(last, first.user)["devices"]) == bounds.DEVICES_WAITING_MAX
    assert first.described not in _shown(last, first.user)["devices"]
    refused = first.program.refused("td.send", txn="2", msgs=[{**last.address, "body": "x"}])
    assert refused == "no_device"
    assert first.program.refused("keys.otk.put", otk=[], fallback=None) == "no_device"
    first.put()  # it is new again
    assert first.bodies() == []
    _put_many(server, first.user, "r", bounds.DEVICES_EVER_MAX, 1)
    another = Device(server.program().log_in(first.user))
    assert another.program.refused("keys.device.put", **another.described) == "too_many"


# Lists follow upon each other by their numbers, under whatever identity, and the newest is shown.
def test_lists_of_devices(alice: Device, bob: Device) -> None:
    aik, user = new_aik(), alice.user
    first, second = manifest(aik, user, 1, alice), manifest(new_aik(), user, 2)
    put = "keys.manifest.put"
    assert alice.program.refused(put, **manifest(aik, user, 2, alice)) == "manifest_conflict"
    alice.program.call(put, **first)
    assert _shown(bob, user) == {"manifest": first, "devices": [alice.described]}
    assert alice.program.refused(put, **first) == "manifest_conflict"
    alice.program.call(put, **second)
    assert _shown(bob, user) == {"manifest": second, "devices": []}


# Devices that nobody approved are shown to their own user alone.
def test_devices_of_others(new_device, alice: Device, bob: Device) -> None:
    phone = new_device(alice.user)
    _list(alice, new_aik(), 1, alice)
    assert _shown(bob, alice.user)["devices"] == [alice.described]
    assert _shown(phone, alice.user)["devices"] == [alice.described, phone.described]


# A device that is on the list no more has no keys, no mailbox and no way back.
def test_a_device_is_revoked(server: ServerProcess, new_device, alice, bob) -> None:
    aik, phone = new_aik(), new_device(alice.user)
    phone.offer(5, fallback=True)
    bob.send("1", (phone, "hello"))
    _list(alice, aik, 1, alice, phone)
    assert phone.fetch()
    _list(alice, aik, 2, alice)
    assert phone.program.refused("td.fetch") == "no_device"
    gone = {**phone.address, "error": "no_such_device"}
    assert bob.claim(phone)["failed"] == [gone]
    assert bob.send("2", (phone, "hello?"), (alice, "hello!")) == [gone]
    assert alice.bodies() == ["hello!"]
    assert _shown(alice, alice.user)["devices"] == [alice.described]
    phone.program = server.program().log_in(alice.user)
    assert phone.program.refused("keys.device.put", **phone.described) == "device_id_reused"


# A list gives no device other keys than it has; one that comes later has to have those of the list.
def test_keys_of_a_list(server: ServerProcess, alice: Device) -> None:
    aik, later = new_aik(), Device(server.program().log_in(alice.user))
    false = Device(alice.program)
    false.keys = false.keys | {"id": alice.id}
    refused = alice.program.refused("keys.manifest.put", **manifest(aik, alice.user, 1, false))
    assert refused == "bad_device_payload"
    _list(alice, aik, 1, alice, later)
    false.keys, false.program = false.keys | {"id": later.id}, later.program
    assert false.program.refused("keys.device.put", **false.described) == "device_id_reused"
    later.put()
    assert _shown(alice, alice.user)["devices"] == [alice.described, later.described]


# Who asked for a user's devices is told when there is another list, and so is that user.
def test_changes_are_told(new_device, alice: Device, bob: Device) -> None:
    phone, carol = new_device(alice.user), new_device()
    _shown(bob, alice.user.upper())
    _list(alice, new_aik(), 1, alice)
    for device in (alice, phone, bob):
        device.event("keys_changed", users=[alice.user])
    carol.program.expect_nothing_more()
    for start in range(0, bounds.USERS_WATCHED_MAX + 1, 100):
        users = [f"u{start + number}" for number in range(100)]
        carol.program.call("keys.query", users=users)
    _list(bob, new_aik(), 1, bob)
    carol.event("keys_changed", users=[bob.user])  # it asked for so many that it is told all


# Who comes back learns whose lists changed meanwhile, unless that is too long ago.
def test_changes_since(start_server) -> None:
    server = start_server(message_rate="0")
    alice = Device(server.program().register("alice")).put()

    def changes(since: int | None) -> dict:
        return alice.program.call("keys.changes", since=since)

    assert (changes(None)["next"], changes(0)["users"]) == (0, [])
    for seq in (1, 2):
        _list(alice, new_aik(), seq, alice)
    assert (changes(0)["users"], changes(0)["next"]) == (["alice"], 2)
    assert (changes(2)["users"], changes(None)["next"]) == ([], 2)
    assert alice.program.refused("keys.changes", since=3) == "since_too_old"
    with server.database() as database:
        database.execute("UPDATE sqlite_sequence SET seq = ?", (bounds.DEVICE_CHANGES_MAX,))
    _list(alice, new_aik(), 3, alice)
    assert changes(1)["next"] == bounds.DEVICE_CHANGES_MAX + 1
    assert alice.program.refused("keys.changes", since=0) == "since_too_old"


# What nobody is, or can be, does not spoil an answer; answers have the names that were asked for.
def test_users_who_are_not_there(alice: Device, bob: Device) -> None:
    asked = ["", "nobody-at-all", "no name", "\u202e", bob.user, bob.user.upper()]
    users = alice.program.call("keys.query", users=asked)["users"]
    nobody = {"manifest": None, "devices": []}
    assert users == dict.fromkeys(asked, nobody)
    _list(bob, new_aik(), 1, bob)
    users = alice.program.call("keys.query", users=asked)["users"]
    assert users[bob.user.upper()] == users[bob.user] != nobody
    assert alice.program.refused("keys.query", users=["x"] * 101) == "too_many"


# A key is handed out once, and its device hears when there are few; then comes the fallback key.
def test_keys_are_claimed(alice: Device, bob: Device) -> None:
    assert bob.claim(alice)["failed"] == [{**alice.address, "error": "no_keys"}]
    alice.event("keys_low")
    keys = [alice.one_time_key(number) for number in range(bounds.ONE_TIME_KEYS_LOW + 1)]
    fallback = alice.fallback_key()
    assert _stock(alice, *keys, fallback=fallback) == (len(keys), True)
    claimed = [key for _ in range(len(keys) + 1) for key in bob.claim(alice)["keys"]]
    signed = [{"payload": key["payload"], "sig": key["sig"]} for key in [*keys, fallback]]
    assert claimed == [{**alice.address, "key": key} for key in signed]
    events = alice.program.catch_up()
    assert events == [{"event": "keys_low"}] * (len(claimed) - 1)
    assert _stock(alice, *keys, fallback=fallback) == (0, False)
    assert _stock(alice, fallback=alice.fallback_key(2)) == (0, True)


# However many claim at the same time, no key is handed out twice.
def test_many_claim_at_once(new_device, alice: Device) -> None:
    keys = [alice.one_time_key(number) for number in range(100)]
    _stock(alice, *keys, fallback=alice.fallback_key())
    claimers = [new_device() for _ in range(CLAIMERS)]
    claimed: list[str] = []

    def claim(device: Device) -> None:
        asked = [device.program.ask("keys.claim", targets=[alice.address]) for _ in range(10)]
        for number in asked:
            claimed.extend(key["key"]["sig"] for key in device.program.answer(number)["keys"])

    at_once(*(partial(claim, device) for device in claimers))
    assert sorted(claimed) == sorted(key["sig"] for key in keys)


# One request gets one key of each device, whatever it says twice, or in vain.
def test_several_devices_are_claimed(new_device, alice: Device, bob: Device) -> None:
    carol = new_device()
    alice.offer(3)
    bob.offer(3)
    nobody = {"user": "nobody-at-all", "device": "aaaaaaaa"}
    targets = [alice.address, bob.address, alice.address, nobody, {**bob.address, "user": "\t"}]
    answer = carol.program.call("keys.claim", targets=targets)
    assert [key["device"] for key in answer["keys"]] == [alice.id, bob.id]
    assert [failed["error"] for failed in answer["failed"]] == ["no_such_device"] * 2
    assert alice.offer()["otk_count"] == bob.offer()["otk_count"] == 2
    assert carol.program.refused("keys.claim", targets=[nobody] * 101) == "too_many"


# Nobody empties somebody's store: of one device, each user gets so many keys an hour.
def test_claims_are_limited(new_device, alice: Device, bob: Device) -> None:
    alice.offer(40)
    carol = new_device()
    for _ in range(bounds.CLAIMS_AN_HOUR_AND_DEVICE_MAX):
        assert bob.claim(alice)["keys"]
    assert bob.program.refused("keys.claim", targets=[alice.address]) == "rate_limited"
    carol.offer(1)
    answer = bob.claim(alice, carol)
    assert answer["failed"] == [{**alice.address, "error": "rate_limited"}]
    assert [key["device"] for key in answer["keys"]] == [carol.id]
    assert carol.claim(alice)["keys"]


# A key that is known, claimed or not, can be offered again; another under its id can't.
def test_keys_are_offered_again(alice: Device, bob: Device) -> None:
    keys = [alice.one_time_key(1), alice.one_time_key(2)]

    def put(*otk: dict, fallback: dict | None = None) -> str:
        return alice.program.refused("keys.otk.put", otk=otk, fallback=fallback)

    _stock(alice, keys[0], keys[0])
    bob.claim(alice)
    assert _stock(alice, *keys) == (1, False)
    assert put(alice.one_time_key(1)) == "otk_conflict"
    assert put(alice.one_time_key(3), alice.one_time_key(3)) == "otk_conflict"
    _stock(alice, fallback=alice.fallback_key(1))
    assert put(fallback=alice.fallback_key(1)) == "otk_conflict"


# So many keys a request, a device and an hour.
def test_keys_are_limited(alice: Device) -> None:
    def refused(first: int, count: int) -> str:
        keys = [alice.one_time_key(first + number) for number in range(count)]
        return alice.program.refused("keys.otk.put", otk=keys, fallback=None)

    assert refused(0, 101) == "too_many"
    for first in range(0, bounds.ONE_TIME_KEYS_A_DEVICE_MAX, 100):
        answer = alice.offer(100, first=first)
    assert answer["otk_count"] == bounds.ONE_TIME_KEYS_A_DEVICE_MAX
    assert refused(bounds.ONE_TIME_KEYS_A_DEVICE_MAX, 1) == "too_many"
    while (code := refused(bounds.ONE_TIME_KEYS_A_DEVICE_MAX, 1)) == "too_many":
        pass
    assert code == "rate_limited"
    assert (
        alice.offer()["otk_count"] == bounds.ONE_TIME_KEYS_A_DEVICE_MAX
    )  # asking is not limited so


# A restored backup hands out no key again, and numbers mail on; whoever asks for changes asks anew.
def test_restoring(start_server, run_here, tmp_path: Path) -> None:
    server = start_server(message_rate="0")
    alice = Device(server.program().register("alice")).put()
    _list(alice, new_aik(), 1, alice)
    alice.offer(5, fallback=True)
    alice.send("1", (alice, "before"))
    copy = tmp_path / "copy.db"
    assert run_here(server.folder, "backup", str(copy)).exit_code == 0
    _list(alice, new_aik(), 2, alice)
    alice.claim(alice)
    alice.send("2", (alice, "after"))
    seen = alice.fetch()[0]["n"]
    assert server.stop() == 0
    restored = run_here(server.folder, "restore", str(copy))
    assert restored.exit_code == 0, restored.output
    server.start()
    alice.program = server.program().log_in("alice")
    alice.put()
    assert _stock(alice) == (0, False)
    assert alice.program.refused("keys.changes", since=2) == "since_too_old"
    assert alice.bodies() == ["before"]
    alice.send("3", (alice, "later"))
    assert alice.fetch()[-1]["n"] > seen + bounds.DEVICE_MAIL_IDS_SKIPPED
    with server.database() as database:
        assert database.execute("SELECT count(*) FROM one_time_keys").fetchone() == (0,)
