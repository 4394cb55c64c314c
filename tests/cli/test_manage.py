"""manage.py: accounts and the audit, at a terminal and in a pipe, with and without a server."""

import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import click
import pytest
from click.testing import Result

from app.cli import main
from app.cli.tables import print_table
from tests.kit.commands import refused, said
from tests.kit.databases import change
from tests.kit.server_process import environment, manage, run_to_end

Run = Callable[..., Result]
WHEN = r"\d{4}-\d\d-\d\d \d\d:\d\d"


# An account is made with a password that was given or piped, and can log in at once.
def test_createuser(server, run_here, new_name) -> None:
    given, piped = new_name("Given"), new_name("Piped")
    run = partial(run_here, server.folder, "createuser")
    assert said(run(given, "--password", "two words")) == f"{given} can log in now."
    assert said(run(piped, stdin="two words\nand more\n")) == f"{piped} can log in now."
    for name in (given, piped):
        server.connect().log_in(name, "two words")


# An account that can't be made is refused in one line, and nothing is made.
@pytest.mark.parametrize(
    ("name", "password", "sentence"),
    [
        ("two words", "secret", "a name has letters, digits, _, - and . only"),
        ("n" * 33, "secret", "a name has at most 32 characters"),
        ("pаypal", "secret", "a name has letters of one script only"),
        ("fine", "", "a password is not empty and has no control characters"),
        ("fine", "\x1b[2J", "a password is not empty and has no control characters"),
        ("fine", "p" * 1025, "a password has at most 1024 bytes"),
    ],
)
def test_createuser_refuses(run_here, data: Path, name: str, password: str, sentence: str) -> None:
    run = partial(run_here, data.parent, "createuser", name)
    for typed in (f"{password}\n", password):
        assert refused(run(stdin=typed)) == sentence
    assert refused(run("--password", password)) == sentence
    assert run_here(data.parent, "users", "list").stdout == ""


# A name is taken in every spelling.
def test_createuser_refuses_a_taken_name(run: Run, new_name) -> None:
    name = new_name("alice")
    run("createuser", name, "--password", "secret")
    told = refused(run("createuser", name.upper(), "--password", "other"))
    assert told == f"the name {name.upper()}, or one that looks the same, is taken; choose another"


# Accounts are listed with what they are; a command says what it has done.
def test_users(run: Run, new_name) -> None:
    name = new_name("alice")
    made = run("createuser", name, "--password", "secret", "--admin")
    assert said(made) == f"{name} can log in now, as an admin."
    for marks, words in (
        ("admin, disabled", "disable"),
        ("disabled", "admin --revoke"),
        ("", "enable"),
        ("admin", "admin"),
    ):
        said(run("users", *words.split(), name.upper()))
        lines = run("users", "list").stdout.splitlines()
        (line,) = (line for line in lines if line.startswith(f"{name}\t"))
        assert re.fullmatch(rf"{name}\t{marks}\t{WHEN}", line)


# A command about somebody whom there is not is refused.
@pytest.mark.parametrize("action", ["passwd", "disable", "enable", "admin"])
@pytest.mark.parametrize("name", ["nobody", "no/body"])
def test_users_refuse_whom_there_is_not(run: Run, action: str, name: str) -> None:
    assert refused(run("users", action, name, stdin="secret\n")) == f"there is no user {name}"


# A password that the operator gives holds at once, and stands nowhere: not in the log, nor in the
# audit. (What ends with it: chat/accounts/test_endings.py.)
def test_a_new_password(server, run_here, new_name) -> None:
    alice = server.connect().register(new_name("alice"), "old")
    told = said(run_here(server.folder, "users", "passwd", alice.name, stdin="n3w s3cret\n"))
    assert told == f"{alice.name} has a new password."
    alice.expect_lines("Error: your password was changed by the operator; log in again")
    server.connect().log_in(alice.name, "n3w s3cret")
    assert "s3cret" not in server.log
    assert "s3cret" not in run_here(server.folder, "audit", "--user", alice.name).stdout


# Whoever is made an admin is one at once, in open sessions as well; so is one who is none any more.
def test_a_server_follows(server, run_here, new_name) -> None:
    users = partial(run_here, server.folder, "users", "admin")
    alice = server.connect().register(new_name("alice"))
    refusal = "Error: only admins may do that"
    alice.exchange("/announce Tea", refusal)
    assert said(users(alice.name)) == f"{alice.name} is an admin now."
    alice.exchange("/announce Tea", "It was said to everybody.", "Announcement: Tea")
    assert said(users(alice.name, "--revoke")) == f"{alice.name} is no admin any more."
    alice.exchange("/announce Tea", refusal)


# The audit has what the operator did, newest last, and can be asked about one user.
def test_audit(run: Run, new_name) -> None:
    name, other = new_name("alice"), new_name("bob")
    for each in (name, other):
        run("createuser", each, "--password", "secret")
    for action in ("disable", "enable"):
        run("users", action, name)
    shown = run("audit", "--user", name.upper()).stdout.splitlines()
    for line, action in zip(shown, ("create", "disable", "enable"), strict=True):
        assert re.fullmatch(rf"{WHEN}\t\(operator\)\t{action}\t{name}\t\t", line)
    assert run("audit", "--count", "1").stdout.splitlines() == shown[-1:]
    nobody = new_name("nobody")
    for kind in ("user", "room"):
        sentence = f"there is no {kind} {nobody}, and no record of one"
        assert refused(run("audit", f"--{kind}", nobody)) == sentence
    told = refused(run("audit", "--room", "no/room"))
    assert told == "a name has letters, digits, _, - and . only"
    assert run("audit", "--count", "0").exit_code == 2


# Whatever stands in a database, what is printed of it moves no cursor, and makes no column.
def test_audit_of_a_tampered_database(run_here, data: Path) -> None:
    change(
        data / "greenroom.db",
        "INSERT INTO audit VALUES (NULL, 0, char(27) || '[2Jeve', 'ban' || char(9) || 'all',"
        " char(8238), '', char(13, 10))",
    )
    shown = run_here(data.parent, "audit").stdout
    assert shown == "1970-01-01 00:00\t\ufffd[2Jeve\tban all\t\ufffd\t\t\ufffd\ufffd\n"


# A database that is not of this version, or none, can't be read, and stays as it is.
def test_audit_of_no_database(run_here, data: Path) -> None:
    path = data / "greenroom.db"
    change(path, "UPDATE alembic_version SET version_num = '0002'")
    told = refused(run_here(data.parent, "audit"))
    assert told.startswith(f"{path} is at revision 0002, and this Greenroom needs ")
    path.write_bytes(b"no database" * 100)
    told = refused(run_here(data.parent, "audit"))
    assert told == f"{path} can't be read (file is not a database)"


# What is listed is there for programs too: an object a line.
def test_lists_as_json(run: Run, new_name) -> None:
    name, room = new_name("alice"), new_name("room")
    run("createuser", name, "--password", "secret")
    run("rooms", "create", room, "--owner", name)
    for words, found in {
        "users list": {"name": name, "is_admin": False, "is_disabled": False},
        "rooms list": {"name": room, "owner": name, "users": 0, "retention_days": None},
        "audit": {"actor": "(operator)", "action": "create room", "target": name},
    }.items():
        lines = run(*words.split(), "--json").stdout.splitlines()
        (row,) = (row for row in map(json.loads, lines) if row | found == row)
        assert {"at", "made_at"} & set(row)


# Rooms are changed alike with a server and without one; a room has an owner, or it is bad usage.
def test_rooms(run: Run, new_name) -> None:
    alice, bob, room, new = (new_name(word) for word in ("alice", "bob", "room", "new"))
    rooms = partial(run, "rooms")
    for name in (alice, bob):
        run("createuser", name, "--password", "secret")
    assert rooms("create", room).exit_code == 2
    assert said(rooms("create", room, "--owner", alice)) == f"{room} is a room of {alice} now."
    assert said(rooms("set-owner", room, bob)) == f"{room} is a room of {bob} now."
    assert said(rooms("rename", room, new)) == f"{room} is called {new} now."
    (line,) = (line for line in rooms("list").stdout.splitlines() if new in line)
    assert re.fullmatch(rf"{new}\t0\t{bob}\t{WHEN}\t\t\t", line)
    assert said(rooms("delete", new, "too quiet")) == f"{new} is gone, and its name is free."
    assert new not in rooms("list").stdout
    for arguments in (("delete", new), ("rename", new, room), ("set-owner", new, bob)):
        assert refused(rooms(*arguments)) == f"there is no room {new}"


# The audit has what was decided in a room, with the reason.
def test_audit_of_a_room(server, run_here, new_name) -> None:
    owner, guest, room = new_name("alice"), new_name("bob"), new_name("Room")
    alice = server.connect().register(owner).join(room)
    server.connect().register(guest)
    alice.type(f"/mute {guest} 30m too loud", "/topic Tea")
    told = f"{guest} was muted by {owner} for 30m (too loud)."
    alice.expect_lines(told, f"{owner} set the topic: Tea")
    shown = run_here(server.folder, "audit", "--room", room.lower()).stdout.splitlines()
    mute, topic = [owner, "mute", guest, room, "too loud"], [owner, "topic", "", room, "Tea"]
    assert [line.split("\t")[1:] for line in shown] == [mute, topic]
    assert run_here(server.folder, "audit", "--user", guest).stdout.splitlines() == shown[:1]


# At a terminal the password is asked for twice, and is not to be seen.
def test_createuser_at_a_terminal(server, terminal, new_name) -> None:
    name = new_name("alice")
    child = terminal("createuser", name)
    for first, second in (("s3cret", "s4cret"), ("s3cret", "s3cret")):
        child.expect_exact("Password: ")
        child.sendline(first)
        child.expect_exact("Repeat for confirmation: ")
        child.sendline(second)
        if first != second:
            child.expect_exact("Error: The two entered values do not match.")
    child.expect_exact(f"{name} can log in now.")
    assert "cret" not in child.before
    assert child.ended() == 0
    server.connect().log_in(name, "s3cret")


# Ctrl-C at the question ends it, or bytes of another encoding, and nobody has been made.
def test_createuser_interrupted(server, terminal, run_here, new_name) -> None:
    name = new_name("alice")
    for typed, told in (
        (b"\x03", "Nothing was done."),
        (b"caf\xe9\r", "Error: what was typed is not UTF-8, and was not used"),
    ):
        child = terminal("createuser", name)
        child.expect_exact("Password: ")
        os.write(child.child_fd, typed)
        child.expect_exact(f"\r\n{told}\r\n")
        assert child.ended() == 1
    assert name not in run_here(server.folder, "users", "list").stdout


# At a terminal a purge asks whether that is meant, and says of how many messages.
def test_purge_at_a_terminal(server, terminal, new_name) -> None:
    alice = server.connect().register(new_name("alice")).join(new_name("room"))
    alice.type("one", "two")
    alice.expect_lines(f"{alice.name}: one", f"{alice.name}: two")
    for answer, told in (
        ("n\r", "n\r\nNothing was done."),
        *((key, "\r\nNothing was done.") for key in "\x03\x04"),
        ("y\r", "Removed 2 messages and 0 files."),
    ):
        child = terminal("purge", "--user", alice.name)
        child.expect_exact("Remove 2 messages for good? [y/N]: ")
        child.send(answer)
        child.expect_exact(f"{told}\r\n")
        assert child.ended() == ("y" not in answer)
    alice.expect_lines("(operator) removed 2 messages.")


# At a terminal a list is a table with a header, where texts stand as others typed them, whatever
# looks like a style or an emoji.
def test_texts_at_a_terminal(capsys, monkeypatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    print_table(["topic"], [["[red]a[/red] :skull: x"]])
    shown = capsys.readouterr().out
    assert shown.index("topic") < shown.index("[red]a[/red] :skull: x")


# A name is never cut, however narrow the terminal is: the next command needs it whole.
@pytest.mark.parametrize("columns", [40, 80])
def test_names_at_a_narrow_terminal(capsys, monkeypatch, columns: int) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(columns))
    head = ["number", "user", "address", "rooms"]
    row = ["7", "a-name-of-twentyfour-chr", "2001:db8:1234:5678:9abc:def0:1234:5678", "a" * 32]
    print_table(head, [row])
    shown = capsys.readouterr().out.splitlines()
    lines = [line for line in shown if line.startswith("│")]
    cells = zip(*(line.strip("│").split("│") for line in lines), strict=True)
    assert ["".join(cell.strip() for cell in column) for column in cells] == row


def _commands(command: click.Command, *path: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the words of a command and of all below it, and its help."""
    yield path, command.get_help(click.Context(command, info_name="manage.py"))
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from _commands(inner, *path, name)


COMMANDS = list(_commands(main))


# The help of each command says in a sentence what it does, and has an example of just that.
@pytest.mark.parametrize(("path", "shown"), COMMANDS, ids=[" ".join(path) for path, _ in COMMANDS])
def test_help_of_each(path: tuple[str, ...], shown: str) -> None:
    words = " ".join(shown.split())
    assert re.match(r"Usage: manage.py .*? [A-Z][a-z]+ .*?\. ", words)
    assert f"Example: {' '.join(('manage.py', *path))}" in words


# Every command is in --help, under the subject that it is of.
def test_help(run_here, tmp_path) -> None:
    whole = run_here(tmp_path, "--help").stdout
    for (word, *rest), _ in COMMANDS[1:]:
        assert rest or re.search(rf"^  {word} +[A-Z]", whole, re.M)
    assert whole.index("People:") < whole.index("createuser") < whole.index("More:")
    assert list(tmp_path.iterdir()) == []


# In a folder without a database, the wrong one most likely, none is made; but for a first account.
def test_no_database(run_here, tmp_path) -> None:
    path = tmp_path / "var" / "greenroom.db"
    for words in ("users list", "ban bob", "vacuum", "export lobby", "audit"):
        told = refused(run_here(tmp_path, *words.split()))
        assert told == f"there is no database at {path}; manage.py runserver makes one"
    assert list(tmp_path.iterdir()) == []
    assert run_here(tmp_path, "createuser", "alice", "--password", "secret").exit_code == 0
    path.write_bytes(b"")
    told = refused(run_here(tmp_path, "backup", str(tmp_path / "copy.db")))
    assert told == f"there is no database at {path}"


# A database that can't be read is said so in one line, as to another user of the machine.
@pytest.mark.parametrize("words", ["export lobby", "backup copy.db"])
def test_an_unreadable_database(run_here, tmp_path, monkeypatch, words: str) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "a file" / "greenroom.db"
    path.parent.write_text("")
    told = refused(run_here(tmp_path, *words.split(), database_url=f"sqlite:///{path}"))
    assert str(path) in told


# A number has the digits 0 to 9 alone; a path is not empty, which would be the folder one is in.
@pytest.mark.parametrize("text", ["٣", "1_0", "+7", " 7", "7 ", "7.0", ""])
@pytest.mark.parametrize("words", ["retention lobby --days", "purge --message", "audit --count"])
def test_numbers(run_here, tmp_path, words: str, text: str) -> None:
    result = run_here(tmp_path, *words.split(), text)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.endswith(f": {text!r} is no whole number\n")


@pytest.mark.parametrize(
    "words",
    [
        *("backup", "restore", "export lobby --output", "selfsigned --directory"),
        *("chat --downloads", "purge --room lobby --user", "purge --user bob --room"),
        *("audit --user", "audit --room"),
    ],
)
def test_empty_paths(run_here, tmp_path, words: str) -> None:
    result = run_here(tmp_path, *words.split(), "")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.endswith(": it is empty\n")


# --help comes at once: it loads nothing that takes long to load. Nor does what asks a server, also
# where none runs, beyond what reads the settings: what draws tables is for people at a terminal.
@pytest.mark.parametrize(
    ("words", "needed", "is_running"),
    [
        (["--help"], set(), False),
        (["status"], {"pydantic"}, False),
        (["status", "--json"], {"pydantic"}, True),
    ],
)
def test_what_is_quick(server, tmp_path, words: list[str], needed: set, is_running: bool) -> None:
    slow = {"sqlalchemy", "gevent", "rich", "pydantic", "alembic", "passlib"} - needed
    code = (
        "import sys; from contextlib import suppress; from app.cli import main\n"
        f"with suppress(Exception): main({words!r}, standalone_mode=False)\n"
        f"sys.exit(str({slow} & set(sys.modules)) if {slow} & set(sys.modules) else 0)"
    )
    given = environment(server.folder if is_running else tmp_path)
    run = run_to_end([sys.executable, "-c", code], env=given)
    assert (run.returncode, run.stderr) == (0, "")
    assert bool(run.stdout) == (words != ["status"])


# It is a program that runs by itself; what it does not understand is refused with its usage.
def test_as_a_program(tmp_path) -> None:
    run = manage(tmp_path, "createuser", "alice", stdin="secret\n")
    assert (run.returncode, run.stdout) == (0, "alice can log in now.\n")
    run = manage(tmp_path, "xyzzy")
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.endswith("Error: No such command 'xyzzy'.\n")
