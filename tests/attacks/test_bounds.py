"""What a user can make grow has a bound, and what is long is shown in pages."""

from ipaddress import ip_network

import pytest

from app.bounds import FILES_A_USER_MAX, PAGE_ITEMS_MAX
from app.chat.accounts.server_bans import InForce, Target
from app.errors import Refusal
from app.protocol import accounts, moderation, talk
from app.protocol import rooms as protocol
from app.queries import audit
from tests.kit.client import wait_until
from tests.kit.house import House
from tests.kit.program import Program
from tests.kit.server_process import ServerProcess, manage
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
def test_sums_of_files(server: ServerProcess, new_name) -> None:
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
def test_files_of_a_user(server: ServerProcess, new_name) -> None:
    alice = server.program().register(new_name("alice")).join(new_name("room"))
    shared = _share(server, alice)
    urls = [alice.call("file.offer", name="a.txt")["url"] for _ in range(2)]
    with server.database() as database:
        database.execute(
            "UPDATE users SET file_count = ? WHERE name = ?", (FILES_A_USER_MAX - 1, alice.name)
        )
    assert request(server, "PUT", urls[0], b"").status == 201
    answer = request(server, "PUT", urls[1], b"")
    assert answer.status == 413
    assert answer.body.startswith(b"you share 1000 files, as many as anybody may; /unshare one")
    assert alice.refused("file.offer", name="a.txt") == "over_quota"
    person = server.connect().log_in(alice.name)
    person.type(f"/send a.txt to {alice.name}", f"/upload a.txt to {alice.name}", ".")
    for _ in range(2):
        person.expect("Error: you share 1000 files, as many as anybody may; /unshare one first")
    alice.call("file.unshare", file=shared)
    assert _share(server, alice)


# Files are listed a page at a time, the newest ones first, in rooms and between two.
@pytest.mark.parametrize("in_room", [True, False])
def test_pages_of_files(server: ServerProcess, new_name, in_room: bool) -> None:
    alice = server.program().register(new_name("alice"))
    bob = server.program().register(new_name("bob"))
    room = new_name("room")
    if in_room:
        alice.join(room)
        bob.join(room)
    with server.database() as database:
        query = "INSERT INTO files (room_id, recipient_id, user_id, name, size, sha256, made_at)"
        where = (
            "(SELECT id FROM rooms WHERE key = :place), NULL"
            if in_room
            else "NULL, (SELECT id FROM users WHERE key = :place)"
        )
        place = room if in_room else bob.name
        database.executemany(
            f"{query} SELECT {where}, id, 'a', 0, x'00', 2000000000000 + :number FROM users"
            " WHERE key = :user",
            [{"place": place, "user": alice.name, "number": number} for number in range(7)],
        )
    for reader in (alice, bob):
        seen, before, page = [], None, {}
        while page.get("has_more", True):
            page = reader.call("file.list", before=before, count=3)
            assert len(page["files"]) <= 3
            seen[:0] = [file["id"] for file in page["files"]]
            before = page["before_id"]
        assert len(seen) == 7
        assert seen == sorted(set(seen))
    person = server.connect().log_in(bob.name)
    if in_room:
        person.join(room)
    person.type(f"/files {seen[2]}")
    person.expect_line(rf"  {seen[0]}: a .*")
    person.expect_line(rf"  {seen[1]}: a .*")
    person.expect_nothing_more()
    assert alice.refused("file.list", count=PAGE_ITEMS_MAX + 1) == "bad_arguments"


@pytest.fixture
def crowd(server: ServerProcess, new_name) -> tuple[Program, list[str]]:
    """An owner alone in a room, and the names of 7 accounts that are nowhere, in order."""
    owner = server.program().register(new_name("owner")).join(new_name("room"))
    names = [new_name(f"crowd{letter}") for letter in "abcdefg"]
    with server.database() as database:
        database.executemany(
            "INSERT INTO users (name, key, skeleton, password_hash, is_admin, is_disabled,"
            " private_seen_id, created_at) VALUES (:name, :name, :name, '', 0, 0, 0, 1)",
            [{"name": name} for name in names],
        )
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
def test_pages_of_names(server: ServerProcess, crowd, new_name, op: str, items: str) -> None:
    owner, names = crowd
    if op == "ignore":
        for name in names:
            owner.call("ignore", user=name)
    else:
        names = [new_name("guest") for _ in range(4)]
        guests = [server.program().register(name).join(owner.room) for name in names]
        assert len(guests) == 4
        names = sorted([*names, owner.name])
    assert _all_pages(owner, op, items) == names
    assert owner.refused(op, count=501) == "bad_arguments"


# All rooms can be paged through, the busiest first, and each is shown once; so at a terminal.
def test_pages_of_rooms(server: ServerProcess, crowd, new_name) -> None:
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
@pytest.mark.parametrize("op", ["bans", "server.bans"])
def test_pages_of_bans(server: ServerProcess, crowd, op: str) -> None:
    owner, names = crowd
    prefix = "server." if op == "server.bans" else ""
    where = {} if prefix else {"room": owner.room}
    key = "target" if prefix else "user"
    admin = owner
    if prefix:
        manage(server.folder, "users", "admin", owner.name)
    for name in names:
        admin.call(f"{prefix}ban", **{key: name}, **where)
    for name in names[::2]:
        admin.call(f"{prefix}mute", **{key: name}, **where)
    banned, muted, after, page = [], [], "", {"has_more": True}
    while page["has_more"]:
        page = admin.call(op, after=after, count=3, **where)
        assert len(page["bans"]) + len(page["mutes"]) <= 4
        banned += [each["user"] for each in page["bans"]]
        muted += [each["user"] for each in page["mutes"]]
        after = page["last"]
    assert [each for each in banned if each in names] == names
    assert [each for each in muted if each in names] == names[::2]
    arguments = [] if prefix else ["--room", owner.room]
    listed = manage(server.folder, "bans", *arguments).stdout
    assert all(name in listed for name in names)
    person = server.connect().log_in(owner.name)
    if not prefix:
        person.join(owner.room)
    word = "serverbans" if prefix else "bans"
    person.type(f"/{word} {names[-2]}")
    person.expect(f"  {names[-1]} is banned")


def _make_admins(house: House, *names: str) -> None:
    house.act(*(accounts.UserAdmin(name) for name in names))


# Of each kind of row that a user can make there are so many, and the next one is refused.
@pytest.mark.parametrize(
    ("bound", "op", "code"),
    [
        ("moderation.moderation.SANCTIONS_A_ROOM_MAX", "ban", "full"),
        ("moderation.moderation.SANCTIONS_A_ROOM_MAX", "mute", "full"),
        ("moderation.moderation.MODERATORS_A_ROOM_MAX", "promote", "too_many"),
        ("talk.private.IGNORED_A_USER_MAX", "ignore", "too_many"),
    ],
)
def test_rows_are_bounded(house: House, monkeypatch, bound: str, op: str, code: str) -> None:
    monkeypatch.setattr(f"app.chat.{bound}", 2)
    owner, *others = (house.register(name) for name in ("owner", "al", "bo", "cy"))
    house.do(owner, protocol.Join("lobby"))
    kind = {"ban": moderation.Ban, "mute": moderation.Mute}.get(op)
    kind = kind or {"promote": moderation.Promote, "ignore": talk.Ignore}[op]
    house.do(owner, kind("al"), kind("bo"))
    with pytest.raises(Refusal) as refused:
        house.do(owner, kind("cy"))
    assert refused.value.code == code
    if op in ("ban", "mute"):
        house.do(owner, kind("bo", 60))  # in place of the earlier one
        house.now += 60_000
        house.do(owner, kind("cy"))  # that one is over
    assert len(others) == 3


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
    _make_admins(house, "ada", "other")
    house.do(admin, moderation.ServerBan("203.0.113.1"), moderation.ServerBan("203.0.113.2", 60))
    with pytest.raises(Refusal, match="you made 2 of these"):
        house.do(admin, moderation.ServerBan("203.0.113.3"))
    house.do(other, moderation.ServerBan("203.0.113.3"))
    house.now += 60_000
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


# The audit keeps so many acts of a user in rooms, and all of an admin.
def test_the_audit_is_bounded(house: House, monkeypatch) -> None:
    monkeypatch.setattr("app.queries.audit.AUDIT_RECORDS_A_USER_MAX", 3)
    owner, admin = house.register("owner"), house.register("ada")
    _make_admins(house, "ada")
    house.do(owner, protocol.Join("lobby"))
    house.do(admin, protocol.Join("lobby"))
    for number in range(5):
        house.do(owner, moderation.Topic(f"owner {number}"))
        house.do(admin, moderation.Topic(f"admin {number}"))
    with house.database._reading.begin() as connection:
        kept = [act.reason for act in audit.list_newest(connection, 100)]
    assert [each for each in kept if "owner" in each] == ["owner 2", "owner 3", "owner 4"]
    assert len([each for each in kept if "admin" in each]) == 5
