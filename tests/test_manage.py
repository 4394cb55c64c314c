"""manage.py: accounts and the audit, at a terminal and in a pipe, with and without a server."""

import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pexpect
import pytest
from click.testing import Result

from tests.server_process import ROOT, ServerProcess, environment, manage

Run = Callable[..., Result]


@pytest.fixture(params=["alone", "beside a server"])
def run(request: pytest.FixtureRequest, run_here, tmp_path: Path, new_database: Path) -> Run:
    """Return what runs a command, on a folder of its own or on that of a running server."""
    if request.param == "alone":
        (tmp_path / "var").mkdir()
        shutil.copy(new_database, tmp_path / "var")
        folder = tmp_path
    else:
        folder = request.getfixturevalue("server").folder
    return lambda *arguments, **options: run_here(folder, *arguments, **options)


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
    sentence = f"the name {name.upper()}, or one that looks the same, is taken"
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


# What the operator changes holds for a running server: at once, or from the next login on.
def test_a_server_follows(server: ServerProcess, run_here, new_name) -> None:
    name, room = new_name("alice"), new_name("room")
    alice = server.connect().register(name, "old")
    owner = server.connect().register(new_name("owner")).join(room)
    alice.join(room)
    owner.expect_lines(f"{name} has joined the room.")
    _says(run_here(server.folder, "users", "passwd", name, stdin="new\n"), f"{name}: passwd done.")
    run_here(server.folder, "users", "disable", name)
    alice.expect_lines("Error: your account was disabled")
    owner.expect_lines(f"{name} has disconnected.")
    late = server.connect()
    for password, answer in (
        ("old", "wrong name or password"),
        ("new", "this account is disabled; ask the operator"),
    ):
        late.expect("login: ")
        late.type(f"/login {name} {password}")
        late.expect_lines(f"Error: {answer}")
    run_here(server.folder, "users", "enable", name)
    alice = server.connect().log_in(name, "new").join(room)
    owner.expect_lines(f"{name} has joined the room.")
    alice.type("/topic mine")
    alice.expect_lines(f"Error: only its moderators may set the topic of {room}")
    run_here(server.folder, "users", "admin", name)
    alice.close()
    owner.expect_lines(f"{name} has disconnected.")
    admin = server.connect().log_in(name, "new").join(room)
    admin.type("/topic mine")
    admin.expect_lines(f"{name} set the topic: mine")


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
    assert run("audit", "--user", "nobody").stdout == ""
    _refuses(run("audit", "--room", "no/room"), "a name has letters, digits, _, - and . only")
    assert run("audit", "--count", "0").exit_code == 2


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
        timeout=20,
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


# Ctrl-C at the question ends it, and nobody has been made.
def test_createuser_interrupted(server: ServerProcess, run_here, new_name) -> None:
    name = new_name("alice")
    terminal = _terminal(server.folder, "createuser", name)
    terminal.expect_exact("Password: ")
    terminal.sendintr()
    terminal.expect_exact("Aborted!")
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 1
    assert name not in run_here(server.folder, "users", "list").stdout


# At a terminal a purge asks whether that is meant, and says of how many messages.
def test_purge_at_a_terminal(server: ServerProcess, new_name) -> None:
    alice = server.connect().register(new_name("alice")).join(new_name("room"))
    alice.type("one", "two")
    alice.expect_lines(f"{alice.name}: one", f"{alice.name}: two")
    for answer, told in (("n", "Aborted!"), ("y", "Removed 2 messages and 0 files.")):
        terminal = _terminal(server.folder, "purge", "--user", alice.name)
        terminal.expect_exact("Remove 2 messages for good? [y/N]: ")
        terminal.sendline(answer)
        terminal.expect_exact(told)
        terminal.expect(pexpect.EOF)
        terminal.close()
    alice.expect_lines("(operator) removed 2 messages.")


# At a terminal, lists are tables with a header.
def test_list_at_a_terminal(server: ServerProcess, run_here, new_name) -> None:
    name = new_name("alice")
    run_here(server.folder, "createuser", name, "--password", "secret", "--admin")
    terminal = _terminal(server.folder, "users", "list")
    terminal.expect("name .* is .* made at")
    terminal.expect(rf"{name} .* admin .* \d{{4}}-\d\d-\d\d \d\d:\d\d")
    terminal.expect(pexpect.EOF)
    terminal.close()


# Every command is in --help, with a sentence, and has a --help of its own.
def test_help(run_here, tmp_path: Path) -> None:
    whole = run_here(tmp_path, "--help").stdout
    for command in ("runserver", "createuser", "users", "audit", "purge", "retention", "vacuum"):
        assert re.search(rf"^  {command} +[A-Z]", whole, re.M)
        assert run_here(tmp_path, command, "-h").stdout.startswith("Usage: ")
    users = run_here(tmp_path, "users", "--help").stdout
    for command in ("list", "passwd", "disable", "enable", "admin"):
        assert re.search(rf"^  {command} +[A-Z]", users, re.M)
    assert list(tmp_path.iterdir()) == []


# It is a program that runs by itself; what it does not understand is refused with its usage.
def test_as_a_program(tmp_path: Path) -> None:
    run = manage(tmp_path, "createuser", "alice", stdin="secret\n")
    assert (run.returncode, run.stdout) == (0, "alice can log in now.\n")
    run = manage(tmp_path, "dance")
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.endswith("Error: No such command 'dance'.\n")
