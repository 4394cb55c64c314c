"""Greenroom on PostgreSQL: the same promises, where a PostgreSQL can be started."""

import os
import signal
from collections.abc import Callable
from functools import partial
from itertools import chain

import pytest
from sqlalchemy import inspect

from app.database.database import writing_engine
from app.database.lock import DatabaseLock
from app.database.opening import open_database
from app.database.tables import SCHEMA_REVISION
from app.errors import DatabaseInUse
from app.queries import messages as queries
from app.queries.messages import NewMessage
from tests.conversations.test_conversations import FOLDER, play
from tests.kit.client import all_see, at_once, wait_until
from tests.kit.commands import refused
from tests.kit.databases import run_alembic
from tests.kit.postgresql import Postgresql, engine_of
from tests.kit.program import Program
from tests.kit.signing import Device, manifest, new_aik
from tests.kit.transfers import ask_url, digest, request, share

TRANSCRIPTS = ["09-private-messages", "11-kicking-and-banning", "35-encrypted-rooms"]
NOT_STORED = r"Error: not stored: the database can't be used now \({}\); try again later"
SAYS = 40


@pytest.fixture(scope="module", autouse=True)
def url(request, postgres: Postgresql) -> str:
    """The database of the module's server."""
    url = postgres.make("used", "TEMPLATE migrated")
    request.module.SERVER_SETTINGS = {"DATABASE_URL": url}
    return url


@pytest.fixture
def programs(server, new_name: Callable[[str], str]) -> list[Program]:
    """Four programs in a room of their own."""
    room = new_name("room")
    programs = [server.program().register(new_name("bot")).join(room) for _ in range(4)]
    for program in programs:
        program.catch_up()
    return programs


# A server refuses a database that can't be used, and says what to do about it.
def test_before_the_server(postgres: Postgresql, run_here, tmp_path) -> None:
    url = postgres.make("fresh")
    run = partial(run_here, tmp_path, "users", "list")
    refusal = f"Error: the database is empty, and this Greenroom needs revision {SCHEMA_REVISION}"
    assert run(DATABASE_URL=url).stderr == f"{refusal}; run: alembic upgrade head\n"
    for arguments in (["upgrade", "head"], ["check"], ["downgrade", "base"], ["upgrade", "head"]):
        run_alembic(url, *arguments)
    with engine_of(url).begin() as connection:
        assert "file_chunks" in inspect(connection).get_table_names()
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'later'")
    newer = "Error: the database is of a newer Greenroom (revision later); run that version\n"
    assert run(DATABASE_URL=url).stderr == newer
    ascii_url = postgres.make("ascii", "ENCODING 'SQL_ASCII' TEMPLATE template0")
    assert "for its encoding is SQL_ASCII; make one with: " in run(DATABASE_URL=ascii_url).stderr
    with pytest.raises(SystemExit, match=r'alembic: .* database "nowhere" does not exist'):
        run_alembic(postgres.url("nowhere"), "upgrade", "head")


# People see the same as on SQLite, to the letter.
@pytest.mark.parametrize("name", TRANSCRIPTS)
def test_transcripts(postgres: Postgresql, start_server, run_here, name: str) -> None:
    url = postgres.make(f'"{name}"', "TEMPLATE migrated")
    url = url.replace('"', "")
    path = FOLDER / f"{name}.txt"
    play(path, partial(start_server, DATABASE_URL=url), partial(run_here, DATABASE_URL=url))


# What is removed is gone here as well, at once and by its age; the rest PostgreSQL does itself.
def test_removing(server, programs: list[Program], url: str, new_name) -> None:
    control, (bob, carol, *_) = server.control(), programs
    (spam,) = bob.say("spam", txn="t-1")
    (kept,) = carol.say("kept")
    control.call("purge", user=bob.name, room=bob.room)
    assert bob.say("spam", txn="t-1") == [spam]
    page = carol.call("history", after=0)
    assert [message["id"] for message in page["messages"]] == [kept]
    with engine_of(url).begin() as connection:
        connection.exec_driver_sql("UPDATE messages SET said_at = said_at - 3000000000")
    control.call("retention", room=bob.room, keep="30")
    wait_until(lambda: not carol.call("history")["messages"], "the old message is gone")
    assert control.refused("vacuum") == "other_database"


# Whoever says things at the same time, all see them in one order; so are their ids, and history.
def test_one_order(programs: list[Program]) -> None:
    bodies = {each: [f"{each.name} {number}" for number in range(SAYS)] for each in programs}
    at_once(*(partial(program.say, *said) for program, said in bodies.items()))
    seen = [[(event["id"], event["body"]) for event in program.catch_up()] for program in programs]
    ids, said = zip(*seen[0], strict=True)
    assert sorted(said) == sorted(chain(*bodies.values()))
    assert list(ids) == sorted(ids)
    assert all(each == seen[0] for each in seen)
    half = len(said) // 2
    later = programs[0].call("history", after=ids[0] - 1, count=half)
    earlier = programs[0].call("history", before=ids[half + 1], count=half)
    assert [each["body"] for each in later["messages"]] == [*said[:half]]
    assert [each["body"] for each in earlier["messages"]] == [*said[1 : half + 1]]


# A batch has ids in its own order without a gap; what has a txn is stored once, in it and after it.
def test_a_batch(url: str, programs: list[Program]) -> None:
    with engine_of(url).begin() as connection:
        row = connection.exec_driver_sql("SELECT room_id, user_id FROM messages LIMIT 1").one()
        messages = [NewMessage(row[0], None, row[1], False, str(at), at) for at in range(1500)]
        messages[7:7] = [messages[7]._replace(txn="a"), messages[8]._replace(txn="a", body="b")]
        before = queries.newest_id(connection)
        ids, old, _ = queries.store(connection, messages)
        assert ids == [before + 1 + at - (at > 7) for at in range(len(messages))]
        assert old == {8}
        assert queries.store(connection, messages[7:9]) == ([ids[7], ids[7]], {0, 1}, 0)
        page = queries.page(connection, queries.Page(row[0], before, ids[-1] + 1, len(ids), True))
        assert [each.body for each in page] == [each.body for each in messages[:8] + messages[9:]]
        connection.rollback()
    one, two, *_ = programs
    in_one_go = [one.ask("say", body="once", txn="1") for _ in range(3)]
    (first,) = {one.answer(number)["message_id"] for number in in_one_go}
    assert one.call("say", body="once", txn="1")["message_id"] == first
    assert two.call("say", body="once", txn="1")["message_id"] > first


# What PostgreSQL can't hold costs nobody their message: it is made harmless, or refused before.
def test_odd_texts(server, programs: list[Program]) -> None:
    one, two, *_ = programs
    for odd in ("\0", "a\0b", "\uffff", "\x85\u2028", "\U0010ffff", '"\\'):
        at_once(partial(one.say, odd), partial(two.say, "before", "after"))
        one.call("topic", text=f"about {odd}")
        one.call("file.offer", name=f"x{odd}.txt")
        one.call("msg", user=two.name, body=odd)
        assert one.refused("say", body="x", txn=f"{odd}\0") == "bad_arguments"
        assert one.refused("msg", user=odd, body=odd) == "no_such_user"
        assert one.refused("join", room=odd) == "bad_name"
        assert one.refused("kick", user=two.name, room=odd) in ("bad_name", "no_room")
        bodies = [event.get("body") for event in two.catch_up() if event["event"] == "message"]
        assert len(bodies) == 3
        assert [body for body in bodies if body in ("before", "after")] == ["before", "after"]
    assert "not stored" not in server.log


# A file comes back as it went, counts for its user until it is unshared, and then is gone.
def test_files(server, pair, url: str) -> None:
    alice, bob = pair
    data = os.urandom(700_000)
    number = share(server, alice, "a.bin", data)
    bob.expect_line(f".* shares a.bin .*: /get {number}")
    fetched = request(server, "GET", ask_url(bob, f"/get {number}")).body
    assert digest(fetched) == digest(data)
    alice.exchange(f"/unshare {number}", "a.bin is shared no more.")

    def left() -> int:
        with engine_of(url).begin() as connection:
            return connection.exec_driver_sql("SELECT count(*) FROM file_chunks").scalar_one()

    wait_until(lambda: not left(), "all of it is removed")


# Devices, their keys and their mailboxes are the same here, and what can't be held is refused.
def test_devices(server, programs: list[Program]) -> None:
    alice, bob = (Device(program).put() for program in programs[:2])
    aik = new_aik()
    for seq, devices in enumerate(([alice], [alice]), 1):
        listed = manifest(aik, alice.user, seq, *devices)
        alice.program.call("keys.manifest.put", **listed)
    assert bob.program.call("keys.changes", since=None)["next"] == 2
    users = bob.program.call("keys.query", users=[alice.user])["users"]
    assert users == {alice.user: {"manifest": listed, "devices": [alice.described]}}
    assert alice.offer(2, fallback=True)["otk_count"] == 2
    claimed = [bob.claim(alice)["keys"][0]["key"]["sig"] for _ in range(4)]
    assert len(set(claimed)) == 3
    for _ in range(2):
        assert bob.send("1", (alice, "one"), (alice, "two")) == []
    assert alice.bodies() == ["one", "two"]
    alice.program.call("td.ack", upto=alice.fetch()[0]["n"])
    assert alice.bodies() == ["two"]
    letter = {**alice.address, "body": "\0"}
    assert bob.program.refused("td.send", txn="2", msgs=[letter]) == "bad_arguments"
    alice.program.call("keys.manifest.put", **manifest(aik, alice.user, 3))
    assert alice.program.refused("td.fetch") == "no_device"


# While a server has the database, no other one and no migration does; manage.py works beside it.
def test_beside_a_server(server, url: str, run_here, new_name) -> None:
    run = partial(run_here, server.folder, DATABASE_URL=url)
    in_use = "the database is open in another Greenroom; stop that one first"
    with pytest.raises(DatabaseInUse, match=in_use):
        open_database(url, print)
    with pytest.raises(SystemExit, match=f"alembic: {in_use}"):
        run_alembic(url, "downgrade", "base")
    name = new_name("carol")
    for _ in range(2):
        made = run("createuser", name, "--password", "secret")
    assert refused(made) == f"the name {name}, or one that looks the same, is taken; choose another"
    carol = server.connect().log_in(name).join(name)
    carol.type("/topic here")
    carol.expect_line(".*here.*")
    assert f"\t{name}\ttopic\t\t{name}\there\n" in run("audit", "--room", name).stdout
    for arguments in (("rename", name, "den"), ("rename", "den", name), ("delete", name)):
        assert f"{name}\t" in run("users", "list").stdout
        assert run("rooms", *arguments).exit_code == 0
    assert run("rooms", "create", name, "--owner", name).exit_code == 0
    assert f"\tdelete room\t\t{name}\t\n" in run("audit", "--room", name.upper()).stdout


# While PostgreSQL is away talkers are told so, though not where it is, and nobody sees theirs; then
# all is well again. Who took the database over meanwhile is not interfered with.
def test_postgresql_goes_and_comes(postgres: Postgresql, server, pair, url: str) -> None:
    alice, bob = pair
    alice.type("before")
    all_see(pair, f"{alice.name}: before")
    postgres.crash()
    for lost in ("lost", "/topic lost", f"/msg {bob.name} lost", "/join lost"):
        alice.type(lost)
        alice.expect_line(NOT_STORED.format("it is out of reach"))
    server.expect_logged(str(postgres.folder))
    postgres.start()
    other = DatabaseLock(url)
    engine = writing_engine(url)
    with engine.connect():
        alice.type("lost as well")
        alice.expect_line(NOT_STORED.format("it is open in another Greenroom"))
    engine.dispose()
    other.release()
    alice.type("after")
    bob.expect_lines(f"{alice.name}: after")
    with pytest.raises(DatabaseInUse):
        DatabaseLock(url)
    postgres.crash()  # and is back before anybody says anything
    postgres.start()
    alice.type("and on")
    bob.expect_lines(f"{alice.name}: and on")
    bob.type("/history")
    for body in ("before", "after", "and on"):
        bob.expect_line(rf"\[.*\] {alice.name}: {body}")


# What anybody was shown is there after the server was killed, and after PostgreSQL was.
def test_killed(postgres: Postgresql, server, pair) -> None:
    alice, bob = pair
    alice.type(*map(str, range(200)))
    bob.expect_lines(f"{alice.name}: 0")
    server.stop_before_its_clients(signal.SIGKILL)
    shown = [f"{alice.name}: 0", *bob.expect_end().splitlines()]
    postgres.crash()
    postgres.start()
    server.start()
    back = server.program().log_in(bob.name)
    back.call("join", room=bob.room, since=0)
    replayed = [f"{event['user']}: {event['body']}" for event in back.catch_up()]
    assert replayed[: len(shown)] == shown
