"""manage.py: accounts and the audit, at a terminal and in a pipe, with and without a server."""

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import click
import pexpect
import pytest
from click.testing import Result

from app.cli import main
from app.cli.tables import print_table
from tests.kit.client import WAIT_SECONDS_MAX
from tests.kit.server_process import ROOT, ServerProcess, environment, manage

Run = Callable[..., Result]


def _says(result: Result, sentence: str) -> None:
    """Check that a command has done its work, and says so in one line."""
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"{sentence}\n", "")


def _refuses(result: Result, sentence: str) -> None:
    """Check that a command has not done its work, and says why in one line."""
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", f"Error: {sentence}\n")


# An account is made with a password that was given or piped, and can log in at once.
def test_createuser(server: ServerProcess, run_here, new_name) -> None:
    given, piped = new_name("Given"), new_name("Piped")
    result = run_here(server.folder, "createuser", given, "--password", "two words")
    _says(result, f"{given} can log in now.")
    result = run_here(server.folder, "createuser", piped, stdin="two words\nand more\n")
    _says(result, f"{piped} can log in now.")
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
def test_createuser_refuses(
    run_here, tmp_path: Path, new_database: Path, name: str, password: str, sentence: str
) -> None:
    (tmp_path / "var").mkdir()
    shutil.copy(new_database, tmp_path / "var")
    _refuses(run_here(tmp_path, "createuser", name, stdin=f"{password}\n"), sentence)
    _refuses(run_here(tmp_path, "createuser", name, stdin=password), sentence)
    _refuses(run_here(tmp_path, "createuser", name, "--password", password), sentence)
    assert run_here(tmp_path, "users", "list").stdout == ""


# A name is taken in every spelling.
def test_createuser_refuses_a_taken_name(run: Run, new_name) -> None:
    name = new_name("alice")
    assert run("createuser", name, "--password", "secret").exit_code == 0
    sentence = f"the name {name.upper()}, or one that looks the same, is taken; choose another"
    _refuses(run("createuser", name.upper(), "--password", "other"), sentence)


# Accounts are listed with what they are; a command says what it has done.
def test_users(run: Run, new_name) -> None:
    name = new_name("alice")
    _says(
        run("createuser", name, "--password", "secret", "--admin"),
        f"{name} can log in now, as an admin.",
    )
    for marks, arguments in (
        ("admin, disabled", ("disable",)),
        ("disabled", ("admin", "--revoke")),
        ("", ("enable",)),
        ("admin", ("admin",)),
    ):
        assert run("users", *arguments, name.upper()).exit_code == 0
        lines = run("users", "list").stdout.splitlines()
        (line,) = (line for line in lines if line.startswith(f"{name}\t"))
        assert re.fullmatch(rf"{name}\t{marks}\t\d{{4}}-\d\d-\d\d \d\d:\d\d", line)


# A command about somebody whom there is not is refused.
@pytest.mark.parametrize("action", ["passwd", "disable", "enable", "admin"])
@pytest.mark.parametrize("name", ["nobody", "no/body"])
def test_users_refuse_whom_there_is_not(run: Run, action: str, name: str) -> None:
    _refuses(run("users", action, name, stdin="secret\n"), f"there is no user {name}")


# What the operator changes holds at once, in open sessions as well.
def test_a_server_follows(server: ServerProcess, run_here, new_name) -> None:
    name, room = new_name("alice"), new_name("room")
    owner = server.connect().register(new_name("owner")).join(room)
    alice = server.connect().register(name, "old").join(room)
    owner.expect_lines(f"{name} has joined the room.")
    alice.type("/topic mine")
    alice.expect_lines(f"Error: only its moderators may set the topic of {room}")
    _says(run_here(server.folder, "users", "admin", name), f"{name} is an admin now.")
    alice.type("/topic mine")
    alice.expect_lines(f"{name} set the topic: mine")
    owner.expect_lines(f"{name} set the topic: mine")
    _says(
        run_here(server.folder, "users", "admin", name, "--revoke"),
        f"{name} is no admin any more.",
    )
    alice.type("/topic yours")
    alice.expect_lines(f"Error: only its moderators may set the topic of {room}")
    run_here(server.folder, "users", "disable", name)
    alice.expect_lines("Error: your account was disabled")
    owner.expect_lines(f"{name} has disconnected.")
    run_here(server.folder, "users", "enable", name)
    server.connect().log_in(name, "old")


# A new password ends every session and every token of its user.
def test_a_new_password(server: ServerProcess, run_here, new_name) -> None:
    name = new_name("alice")
    person = server.connect().register(name, "old")
    bot = server.program()
    token = bot.call("login", name=name, password="old", remember="bot")["token"]
    _says(
        run_here(server.folder, "users", "passwd", name, stdin="n3w s3cret\n"),
        f"{name} has a new password.",
    )
    person.expect_lines("Error: your password was changed by the operator; log in again")
    person.expect_end()
    assert b"changed by the operator" in bot.receive_end()
    late = server.program()
    assert late.refused("login", token=token) == "login_refused"
    assert late.refused("login", name=name, password="old") == "login_refused"
    late.log_in(name, "n3w s3cret")
    assert "s3cret" not in server.log
    assert "s3cret" not in run_here(server.folder, "audit", "--user", name).stdout


# The audit has what the operator did, newest last, and can be asked about one user.
def test_audit(run: Run, new_name) -> None:
    name, other = new_name("alice"), new_name("bob")
    for each in (name, other):
        run("createuser", each, "--password", "secret")
    for action in ("disable", "enable"):
        run("users", action, name)
    shown = run("audit", "--user", name.upper()).stdout.splitlines()
    when = r"\d{4}-\d\d-\d\d \d\d:\d\d"
    for line, action in zip(shown, ("create", "disable", "enable"), strict=True):
        assert re.fullmatch(rf"{when}\t\(operator\)\t{action}\t{name}\t\t", line)
    assert run("audit", "--count", "1").stdout.splitlines() == shown[-1:]
    for kind in ("user", "room"):
        nobody = new_name("nobody")
        sentence = f"there is no {kind} {nobody}, and no record of one"
        _refuses(run("audit", f"--{kind}", nobody), sentence)
    _refuses(run("audit", "--room", "no/room"), "a name has letters, digits, _, - and . only")
    assert run("audit", "--count", "0").exit_code == 2


# Whatever stands in a database, what is printed of it moves no cursor, and makes no column.
def test_audit_of_a_tampered_database(run_here, tmp_path: Path, new_database: Path) -> None:
    (tmp_path / "var").mkdir(mode=0o700)
    path = Path(shutil.copy(new_database, tmp_path / "var"))
    with closing(sqlite3.connect(path)) as connection, connection:
        forged = (0, "\x1b[2Jeve", "ban\tall", "\u202e", "", "\r\n")
        connection.execute("INSERT INTO audit VALUES (NULL, ?, ?, ?, ?, ?, ?)", forged)
    shown = run_here(tmp_path, "audit").stdout
    assert shown == "1970-01-01 00:00\t\ufffd[2Jeve\tban all\t\ufffd\t\t\ufffd\ufffd\n"


# A database that is not there, or not of this version, can't be read, and stays as it is.
def test_audit_of_no_database(run_here, tmp_path: Path, new_database: Path) -> None:
    path = tmp_path / "var" / "greenroom.db"
    sentence = f"there is no database at {path}; manage.py runserver makes one"
    _refuses(run_here(tmp_path, "audit"), sentence)
    assert list(tmp_path.iterdir()) == []
    path.parent.mkdir()
    shutil.copy(new_database, path)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE alembic_version SET version_num = '0002'")
    result = run_here(tmp_path, "audit")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"Error: {path} is at revision 0002, and this Greenroom needs ")
    path.write_bytes(b"no database" * 100)
    _refuses(run_here(tmp_path, "audit"), f"{path} can't be read (file is not a database)")


# What is listed is there for programs too: an object a line.
def test_lists_as_json(run: Run, new_name) -> None:
    name, room = new_name("alice"), new_name("room")
    run("createuser", name, "--password", "secret")
    _says(run("rooms", "create", room, "--owner", name), f"{room} is a room of {name} now.")
    for arguments, found in (
        (("users", "list"), {"name": name, "is_admin": False, "is_disabled": False}),
        (("rooms", "list"), {"name": room, "owner": name, "users": 0, "retention_days": None}),
        (("audit",), {"actor": "(operator)", "action": "create room", "target": name}),
    ):
        lines = run(*arguments, "--json").stdout.splitlines()
        (row,) = (row for row in map(json.loads, lines) if row | found == row)
        assert {"at", "made_at"} & set(row)


# Rooms are changed alike with a server and without one; a room has an owner, or it is bad usage.
def test_rooms(run: Run, new_name) -> None:
    alice, bob, room, new = (new_name(word) for word in ("alice", "bob", "room", "new"))
    for name in (alice, bob):
        run("createuser", name, "--password", "secret")
    assert run("rooms", "create", room).exit_code == 2
    _says(run("rooms", "create", room, "--owner", alice), f"{room} is a room of {alice} now.")
    _says(run("rooms", "set-owner", room, bob), f"{room} is a room of {bob} now.")
    _says(run("rooms", "rename", room, new), f"{room} is called {new} now.")
    (line,) = (line for line in run("rooms", "list").stdout.splitlines() if new in line)
    assert re.fullmatch(rf"{new}\t0\t{bob}\t\d{{4}}-\d\d-\d\d \d\d:\d\d\t\t\t", line)
    _says(run("rooms", "delete", new, "too quiet"), f"{new} is gone, and its name is free.")
    assert new not in run("rooms", "list").stdout
    for arguments in (("delete", new), ("rename", new, room), ("set-owner", new, bob)):
        _refuses(run("rooms", *arguments), f"there is no room {new}")


# The audit has what was decided in a room, with the reason.
def test_audit_of_a_room(server: ServerProcess, run_here, new_name) -> None:
    owner, guest, room = new_name("alice"), new_name("bob"), new_name("Room")
    alice = server.connect().register(owner).join(room)
    server.connect().register(guest)
    alice.type(f"/mute {guest} 30m too loud", "/topic Tea")
    alice.expect_lines(f"{guest} was muted by {owner} for 30m (too loud).")
    alice.expect_lines(f"{owner} set the topic: Tea")
    shown = run_here(server.folder, "audit", "--room", room.lower()).stdout.splitlines()
    assert [line.split("\t")[1:] for line in shown] == [
        [owner, "mute", guest, room, "too loud"],
        [owner, "topic", "", room, "Tea"],
    ]
    assert run_here(server.folder, "audit", "--user", guest).stdout.splitlines() == shown[:1]


def _terminal(folder: Path, *arguments: str) -> pexpect.spawn:
    """Run a command at a terminal, as a person would."""
    command = [str(ROOT / "manage.py"), *arguments]
    return pexpect.spawn(
        sys.executable,
        command,
        env=environment(folder) | {"TERM": "dumb", "COLUMNS": "80"},
        cwd=ROOT,
        encoding="utf-8",
        timeout=WAIT_SECONDS_MAX,
    )


# At a terminal the password is asked for twice, and is not to be seen.
def test_createuser_at_a_terminal(server: ServerProcess, new_name) -> None:
    name = new_name("alice")
    terminal = _terminal(server.folder, "createuser", name)
    for first, second in (("s3cret", "s4cret"), ("s3cret", "s3cret")):
        terminal.expect_exact("Password: ")
        terminal.sendline(first)
        terminal.expect_exact("Repeat for confirmation: ")
        terminal.sendline(second)
        if first != second:
            terminal.expect_exact("Error: The two entered values do not match.")
    terminal.expect_exact(f"{name} can log in now.")
    assert "cret" not in terminal.before
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 0
    server.connect().log_in(name, "s3cret")


# Ctrl-C at the question ends it, or bytes of another encoding, and nobody has been made.
def test_createuser_interrupted(server: ServerProcess, run_here, new_name) -> None:
    name = new_name("alice")
    for typed, told in (
        (b"\x03", "Nothing was done."),
        (b"caf\xe9\r", "Error: what was typed is not UTF-8, and was not used"),
    ):
        terminal = _terminal(server.folder, "createuser", name)
        terminal.expect_exact("Password: ")
        os.write(terminal.child_fd, typed)
        terminal.expect_exact(f"\r\n{told}\r\n")
        terminal.expect(pexpect.EOF)
        terminal.close()
        assert terminal.exitstatus == 1
    assert name not in run_here(server.folder, "users", "list").stdout


# At a terminal a purge asks whether that is meant, and says of how many messages.
def test_purge_at_a_terminal(server: ServerProcess, new_name) -> None:
    alice = server.connect().register(new_name("alice")).join(new_name("room"))
    alice.type("one", "two")
    alice.expect_lines(f"{alice.name}: one", f"{alice.name}: two")
    for answer, told in (
        ("n\r", "n\r\nNothing was done."),
        ("\x03", "\r\nNothing was done."),
        ("\x04", "\r\nNothing was done."),
        ("y\r", "Removed 2 messages and 0 files."),
    ):
        terminal = _terminal(server.folder, "purge", "--user", alice.name)
        terminal.expect_exact("Remove 2 messages for good? [y/N]: ")
        terminal.send(answer)
        terminal.expect_exact(f"{told}\r\n")
        terminal.expect(pexpect.EOF)
        terminal.close()
        assert terminal.exitstatus == ("y" not in answer)
    alice.expect_lines("(operator) removed 2 messages.")


# What others typed stands in a table as they typed it, whatever looks like a style or an emoji.
def test_texts_at_a_terminal(capsys: pytest.CaptureFixture, monkeypatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    print_table(["topic"], [["[red]a[/red] :skull: x"]])
    assert "[red]a[/red] :skull: x" in capsys.readouterr().out


# A name is never cut, however narrow the terminal is: the next command needs it whole.
@pytest.mark.parametrize("columns", [40, 80])
def test_names_at_a_narrow_terminal(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(columns))
    row = ["7", "a-name-of-twentyfour-chr", "2001:db8:1234:5678:9abc:def0:1234:5678", "a" * 32]
    print_table(["number", "user", "address", "rooms"], [row])
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("│")]
    cells = zip(*(line.strip("│").split("│") for line in lines), strict=True)
    assert ["".join(cell.strip() for cell in column) for column in cells] == row


# At a terminal, lists are tables with a header.
def test_list_at_a_terminal(server: ServerProcess, run_here, new_name) -> None:
    name = new_name("alice")
    run_here(server.folder, "createuser", name, "--password", "secret", "--admin")
    terminal = _terminal(server.folder, "users", "list")
    terminal.expect("name .* is .* made at")
    terminal.expect(rf"{name} .* admin .* \d{{4}}-\d\d-\d\d \d\d:\d\d")
    terminal.expect(pexpect.EOF)
    terminal.close()


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
def test_help(run_here, tmp_path: Path) -> None:
    whole = run_here(tmp_path, "--help").stdout
    for (word, *rest), _ in COMMANDS[1:]:
        assert rest or re.search(rf"^  {word} +[A-Z]", whole, re.M)
    assert whole.index("People:") < whole.index("createuser") < whole.index("More:")
    assert list(tmp_path.iterdir()) == []


# In a folder without a database, the wrong one most likely, none is made; but for a first account.
def test_no_database(run_here, tmp_path: Path) -> None:
    path = tmp_path / "var" / "greenroom.db"
    for words in (("users", "list"), ("ban", "bob"), ("vacuum",), ("export", "lobby")):
        result = run_here(tmp_path, *words)
        _refuses(result, f"there is no database at {path}; manage.py runserver makes one")
    assert list(tmp_path.iterdir()) == []
    assert run_here(tmp_path, "createuser", "alice", "--password", "secret").exit_code == 0
    path.write_bytes(b"")
    result = run_here(tmp_path, "backup", str(tmp_path / "copy.db"))
    _refuses(result, f"there is no database at {path}")


# A database that can't be read is said so in one line, as to another user of the machine.
@pytest.mark.parametrize("words", [("export", "lobby"), ("backup", "copy.db")])
def test_an_unreadable_database(
    run_here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "a file" / "greenroom.db"
    path.parent.write_text("")
    result = run_here(tmp_path, *words, database_url=f"sqlite:///{path}")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")
    assert str(path) in result.stderr


# A number has the digits 0 to 9 alone; a path is not empty, which would be the folder one is in.
@pytest.mark.parametrize("text", ["٣", "1_0", "+7", " 7", "7 ", "7.0", ""])
@pytest.mark.parametrize(
    "arguments",
    [("retention", "lobby", "--days"), ("purge", "--message"), ("audit", "--count")],
    ids=" ".join,
)
def test_numbers(run_here, tmp_path: Path, arguments: tuple[str, ...], text: str) -> None:
    result = run_here(tmp_path, *arguments, text)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.endswith(f": {text!r} is no whole number\n")


@pytest.mark.parametrize(
    "arguments",
    [
        *(
            ("backup",),
            ("restore",),
            ("export", "lobby", "--output"),
            ("selfsigned", "--directory"),
        ),
        ("chat", "--downloads"),
        *(("purge", "--room", "lobby", "--user"), ("purge", "--user", "bob", "--room")),
        *(("audit", "--user"), ("audit", "--room")),
    ],
    ids=" ".join,
)
def test_empty_paths(run_here, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    result = run_here(tmp_path, *arguments, "")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.endswith(": it is empty\n")


# --help comes at once: it loads nothing that takes long to load. Nor does what asks a server, also
# where none runs, beyond what reads the settings.
@pytest.mark.parametrize(("word", "needed"), [("--help", set()), ("status", {"pydantic"})])
def test_what_is_quick(tmp_path: Path, word: str, needed: set[str]) -> None:
    slow = {"sqlalchemy", "gevent", "rich", "pydantic", "alembic", "passlib"} - needed
    code = (
        "import sys; from contextlib import suppress; from app.cli import main\n"
        f"with suppress(Exception): main([{word!r}], standalone_mode=False)\n"
        f"sys.exit(str({slow} & set(sys.modules)) if {slow} & set(sys.modules) else 0)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment(tmp_path), capture_output=True
    )
    assert (run.returncode, run.stderr) == (0, b"")


# It is a program that runs by itself; what it does not understand is refused with its usage.
def test_as_a_program(tmp_path: Path) -> None:
    run = manage(tmp_path, "createuser", "alice", stdin="secret\n")
    assert (run.returncode, run.stdout) == (0, "alice can log in now.\n")
    run = manage(tmp_path, "xyzzy")
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.endswith("Error: No such command 'xyzzy'.\n")
