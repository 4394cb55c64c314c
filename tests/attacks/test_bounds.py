"""What a user can make grow has a bound, and what is long is shown in pages."""

from ipaddress import ip_network

import pytest

from app.bounds import FILES_A_USER_MAX, PAGE_ITEMS_MAX
from app.engine.server_bans import InForce, Target
from app.errors import Refusal
from app.protocol import accounts, moderation, talk
from app.protocol import rooms as protocol
from tests.kit.client import wait_until
from tests.kit.databases import insert
from tests.kit.house import HOUR, MINUTE, House
from tests.kit.program import Program
from tests.kit.server_process import ServerProcess
from tests.kit.transfers import begun_files, request

_SUMS = """
    SELECT file_count, file_bytes, count(files.id), coalesce(sum(size), 0)
    FROM users LEFT JOIN files ON user_id = users.id WHERE users.name = ?
"""


def _share(server: ServerProcess, program: Program, data: bytes = b"") -> int:
    url = program.call("file.offer", name="a.txt")["url"]
    assert request(server, "PUT", url, data).status == 201
    return max(file["id"] for file in program.call("file.list")["files"])


def _sums(server: ServerProcess, program: Program) -> tuple[int, ...]:
    """Return the sums that are kept of a user's files, which are those of its rows."""
    program.call("ping")  # what it asked before is done then
    with server.database() as database:
        kept_count, kept_bytes, *counted = database.execute(_SUMS, (program.name,)).fetchone()
    assert [kept_count, kept_bytes] == counted
    return kept_count, kept_bytes


# The sums of a user's files follow whatever happens to a file, so that no upload counts them.
def test_sums_of_files(server, new_name) -> None:
    alice = server.program().register(new_name("alice")).join(new_name("room"))
    first = _share(server, alice, b"12345")
    assert _sums(server, alice) == (1, 5)
    second = _share(server, alice, b"")
    url = alice.call("file.offer", name="b.txt")["url"]
    assert request(server, "PUT", url, [b"123", b"4567"]).status == 201
    assert _sums(server, alice) == (3, 12)
    alice.call("file.unshare", file=first)
    assert _sums(server, alice) == (2, 7)
    alice.call("file.unshare", file=second)
    large = alice.call("file.offer", name="c.txt")["url"]
    assert request(server, "PUT", large, [b"x" * (9 << 20)]).status == 413
    wait_until(lambda: begun_files(server) == 0, "what came of the last one is removed")
    assert _sums(server, alice) == (1, 7)


# A user has so many files, empty ones too: the next one is refused, wherever it comes from.
def test_files_of_a_user(server, new_name) -> None:
    alice = server.program().register(new_name("alice")).join(new_name("room"))
    shared = _share(server, alice)
    urls = [alice.call("file.offer", name="a.txt")["url"] for _ in range(2)]
    with server.database() as database:
        change = "UPDATE users SET file_count = ? WHERE name = ?"
        database.execute(change, (FILES_A_USER_MAX - 1, alice.name))
    assert request(server, "PUT", urls[0], b"").status == 201
    answer = request(server, "PUT", urls[1], b"")
    assert answer.status == 413
    told = "you share 1000 files, as many as anybody may; /unshare one first"
    assert answer.body.decode().startswith(told)
    assert alice.refused("file.offer", name="a.txt") == "over_quota"
    person = server.connect().log_in(alice.name)
    person.type(f"/send a.txt to {alice.name}", f"/upload a.txt to {alice.name}", ".")
    for _ in range(2):
        person.expect(f"Error: {told}")
    alice.call("file.unshare", file=shared)
    assert _share(server, alice)


# Files are listed a page at a time, the newest ones first, in rooms and between two.
@pytest.mark.parametrize("in_room", [True, False])
def test_pages_of_files(server, new_name, in_room: bool) -> None:
    room = new_name("room")
    alice, bob = (server.program().register(new_name(word)) for word in ("alice", "bob"))
    person = server.connect().log_in(bob.name)
    if in_room:
        for each in (alice, bob, person):
            each.join(room)
    places = "SELECT id, NULL FROM rooms" if in_room else "SELECT NULL, id FROM users"
    with server.database() as database:
        (where,) = database.execute(f"{places} WHERE key = ?", (room if in_room else bob.name,))
        query = "INSERT INTO files (room_id, recipient_id, user_id, name, size, sha256, made_at)"
        user_id = "(SELECT id FROM users WHERE key = ?)"
        database.executemany(
            f"{query} VALUES (?, ?, {user_id}, 'a', 0, x'00', ?)",
            [(*where, alice.name, 2_000_000_000_000 + number) for number in range(7)],
        )
    for reader in (alice, bob):
        seen, page = [], {"before_id": None, "has_more": True}
        while page["has_more"]:
            page = reader.call("file.list", before=page["before_id"], count=3)
            assert len(page["files"]) <= 3
            seen[:0] = [file["id"] for file in page["files"]]
        assert len(seen) == 7
        assert seen == sorted(set(seen))
    person.type(f"/files {seen[2]}")
    for number in seen[:2]:
        person.expect_line(rf"  {number}: a .*")
    person.expect_nothing_more()
    assert alice.refused("file.list", count=PAGE_ITEMS_MAX + 1) == "bad_arguments"


@pytest.fixture
def crowd(server, new_name) -> tuple[Program, list[str]]:
    """An owner alone in a room, and the names of 7 accounts that are nowhere, in order."""
    owner = server.program().register(new_name("owner")).join(new_name("room"))
    names = [new_name(f"crowd{letter}") for letter in "abcdefg"]
    with server.database() as database:
        insert(database, "users", "name key skeleton", ([name] * 3 for name in names))
    return owner, names


def _all_pages(program: Program, op: str, items: str, **fields: object) -> list[str]:
    """Return the names of a list that is read in pages of three, each behind the one before."""
    found: list[str] = []
    page = {"has_more": True}
    while page["has_more"]:
        page = program.call(op, count=3, **fields)
        assert len(page[items]) <= 3
        found += [each if isinstance(each, str) else each["name"] for each in page[items]]
        fields["after"] = found[-1]
    return found


# Lists of names come in pages, each of which begins behind the last name of the one before.
@pytest.mark.parametrize(
    ("op", "items"), [("who", "people"), ("room.roster", "members"), ("ignore", "users")]
)
def test_pages_of_names(server, crowd, new_name, op: str, items: str) -> None:
    owner, names = crowd
    if op == "ignore":
        for name in names:
            owner.call("ignore", user=name)
    else:
        guests = [server.program().register(new_name("guest")).join(owner.room) for _ in range(4)]
        names = sorted(each.name for each in (owner, *guests))
    assert _all_pages(owner, op, items) == names
    assert owner.refused(op, count=501) == "bad_arguments"


# All rooms can be paged through, the busiest first, and each is shown once; so at a terminal.
def test_pages_of_rooms(server, crowd, new_name) -> None:
    owner, _ = crowd
    rooms = [new_name("place") for _ in range(6)]
    for number, room in enumerate(rooms):
        owner.call("join", room=room)
        if number % 2:
            owner.call("leave", room=room)
    owner.call("who", room=rooms[0])
    found = _all_pages(owner, "rooms", "rooms")
    assert len(found) == len(set(found))
    assert {*rooms, owner.room} <= set(found)
    assert found.index(rooms[4]) < found.index(rooms[1])
    person = server.connect().log_in(owner.name)
    person.type(f"/rooms {found[-2]}")
    person.expect_line(rf"  {found[-1]} \(\d+\)")
    person.expect_nothing_more()


# Bans and mutes come in pages by name, those of one user on one page, in the chat and by manage.py.
@pytest.mark.parametrize("prefix", ["", "server."])
def test_pages_of_bans(server, crowd, run_here, prefix: str) -> None:
    owner, names = crowd
    person = server.connect().log_in(owner.name)
    key, where, options, word = "user", {"room": owner.room}, ["--room", owner.room], "bans"
    if prefix:
        key, where, options, word = "target", {}, [], "serverbans"
        server.operate("user.admin", user=owner.name)
    else:
        person.join(owner.room)
    for act, whom in (("ban", names), ("mute", names[::2])):
        for name in whom:
            owner.call(f"{prefix}{act}", **{key: name}, **where)
    found, page = {"bans": [], "mutes": []}, {"last": "", "has_more": True}
    while page["has_more"]:
        page = owner.call(f"{prefix}bans", after=page["last"], count=3, **where)
        assert len(page["bans"]) + len(page["mutes"]) <= 4
        for kind, listed in found.items():
            listed += [each["user"] for each in page[kind]]
    assert [each for each in found["bans"] if each in names] == names
    assert [each for each in found["mutes"] if each in names] == names[::2]
    listed = run_here(server.folder, "bans", *options).stdout
    assert all(name in listed for name in names)
    person.type(f"/{word} {names[-2]}")
    person.expect(f"  {names[-1]} is banned")


# Of each kind of row that a user can make there are so many, and the next one is refused.
@pytest.mark.parametrize(
    ("bound", "kind", "code"),
    [
        ("moderation.moderation.SANCTIONS_A_ROOM_MAX", moderation.Ban, "full"),
        ("moderation.moderation.SANCTIONS_A_ROOM_MAX", moderation.Mute, "full"),
        ("moderation.moderation.MODERATORS_A_ROOM_MAX", moderation.Promote, "too_many"),
        ("talk.private.IGNORED_A_USER_MAX", talk.Ignore, "too_many"),
    ],
)
def test_rows_are_bounded(house: House, monkeypatch, bound: str, kind: type, code: str) -> None:
    monkeypatch.setattr(f"app.chat.{bound}", 2)
    owner = house.register("owner", "lobby")
    for name in ("al", "bo", "cy"):
        house.register(name)
    house.do(owner, kind("al"), kind("bo"))
    assert house.refused(owner, kind("cy")) == code
    if code == "full":
        house.do(owner, kind("bo", 60))  # in place of the earlier one
        house.now += MINUTE
        house.do(owner, kind("cy"))  # that one is over


# An encrypted room takes so many members, and the next one is refused.
def test_members_are_bounded(house: House, monkeypatch) -> None:
    monkeypatch.setattr("app.chat.rooms.members.MEMBERS_A_ROOM_MAX", 2)
    owner, bo, cy = (house.register(name) for name in ("owner", "bo", "cy"))
    house.do(owner, protocol.Join("den"), protocol.Encrypt())
    house.do(bo, protocol.Join("den"), protocol.Leave(), protocol.Join("den"))
    with pytest.raises(Refusal, match="an encrypted room has at most"):
        house.do(cy, protocol.Join("den"))


# One admin makes a share of the bans from the server; others, and the operator, still make theirs.
def test_an_admin_s_share(house: House, monkeypatch) -> None:
    monkeypatch.setattr("app.chat.moderation.sanctions.SERVER_SANCTIONS_OF_ONE_MAX", 2)
    admin, other = house.register("ada"), house.register("other")
    house.act(accounts.UserAdmin("ada"), accounts.UserAdmin("other"))
    house.do(admin, moderation.ServerBan("203.0.113.1"), moderation.ServerBan("203.0.113.2", 60))
    with pytest.raises(Refusal, match="you made 2 of these"):
        house.do(admin, moderation.ServerBan("203.0.113.3"))
    house.do(other, moderation.ServerBan("203.0.113.3"))
    house.now += MINUTE
    house.do(admin, moderation.ServerBan("203.0.113.4"))


# What is asked of thousands of bans looks at none of the others: bans that end leave no trace.
def test_many_bans() -> None:
    looked_at = []

    class Seen(moderation.ServerSanction):
        def is_over(self, now: int) -> bool:
            looked_at.append(self)
            return super().is_over(now)

    in_force = InForce([])
    for number in range(1, 5_001):
        network = f"2001:db8:{number:x}::/48"
        target = Target(None, ip_network(network))
        assert in_force.count("ban", number, "alice") == min(number - 1, 99)
        in_force.put("ban", target, Seen("", "alice", "", number + 100, network), number)
    assert in_force.count("ban", 5_000) == 100
    assert in_force.count("ban", 6_000, "alice") == 0
    assert len(looked_at) <= 2 * 5_000


# A room's log keeps so many facts of an hour, whoever makes them; no other log has fewer for it.
def test_logs_are_bounded(house: House, monkeypatch) -> None:
    monkeypatch.setattr("app.queries.facts.FACTS_A_LOG_MAX", 3)
    alice = house.register("alice", "den", "lair")
    topics = [moderation.Topic(f"topic {number}", room="den") for number in range(5)]
    house.do(alice, moderation.Topic("tea", room="lair"), *topics)
    kept = house.read("SELECT coalesce(json_extract(data, '$.topic'), kind) FROM facts ORDER BY id")
    assert kept == ["Made", "tea", "topic 2", "topic 3", "topic 4"]
    house.now += HOUR + 1
    house.service._retention.reap()
    assert not house.read("SELECT id FROM facts")


# The audit keeps so many acts of a user in rooms, and all of an admin.
def test_the_audit_is_bounded(house: House, monkeypatch) -> None:
    monkeypatch.setattr("app.queries.audit.AUDIT_RECORDS_A_USER_MAX", 3)
    people = {"owner": house.register("owner", "lobby"), "admin": house.register("ada", "lobby")}
    house.act(accounts.UserAdmin("ada"))
    for word, session in people.items():
        house.do(session, *(moderation.Topic(f"{word} {number}") for number in range(5)))
    kept = house.read("SELECT reason FROM audit ORDER BY id")
    assert [each for each in kept if "owner" in each] == ["owner 2", "owner 3", "owner 4"]
    assert len([each for each in kept if "admin" in each]) == 5
