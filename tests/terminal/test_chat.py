"""`manage.py chat` as a person has it: in a real terminal, against a real server."""

import re
import ssl
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from app.cli.main import chat, main
from app.client import CallRefused, Client, ConnectionLost
from app.terminal.files.transfers import Server
from app.terminal.login import log_in
from app.terminal.memory import Tokens, state_folder
from app.terminal.typed import OWN
from tests.kit.person import Person
from tests.kit.server_process import ROOT, ServerProcess

_COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])[;m]")


@pytest.fixture(scope="module", autouse=True)
def certificate(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The certificate of the module's server, which vouches for itself."""
    folder = tmp_path_factory.mktemp("tls")
    result = CliRunner().invoke(main, ["selfsigned", "--directory", str(folder)])
    assert result.exit_code == 0, result.output
    path = folder / "tls-cert.pem"
    request.module.SERVER_SETTINGS = {"TLS_CERT": path, "TLS_KEY": folder / "tls-key.pem"}
    return path


@pytest.fixture
def sit_down(server: ServerProcess) -> Iterator[Callable[..., Person]]:
    people: list[Person] = []

    def start(*arguments: str, **more: str) -> Person:
        people.append(Person(server, *arguments, **more))
        return people[-1]

    yield start
    for person in people:
        person.end()


@pytest.fixture
def in_lobby(sit_down: Callable[..., Person]) -> Callable[..., Person]:
    """Return what makes a newcomer who is in the lobby."""

    def start(name: str, *arguments: str) -> Person:
        person = sit_down("--register", "--name", name, *arguments).register()
        person.type("/join lobby\r")
        person.until_row("[1:lobby]")
        return person

    return start


@pytest.fixture(scope="module")
def bob(server: ServerProcess) -> Iterator[Client]:
    address = f"127.0.0.1:{server.port}"
    with Client(address, name="bob", password="secret", register=True) as client:
        client.join("lobby")
        yield client


# A newcomer registers on the way in; with a token kept, they come back without a password. So it
# is inside TLS; a certificate that is not to be checked is so at one's own risk.
def test_a_first_and_a_second_visit(sit_down, certificate: Path) -> None:
    first = sit_down("--remember", "--tls-ca", str(certificate), NO_COLOR="1")
    first.answer("Name:", "/register carol")
    first.answer("A new password:", "correct horse")
    first.answer("again:", "correct horse")
    first.until_row("Hello, carol.")
    first.type("/join den\r")
    first.until_row("[1:den]")
    first.type("nice here\r")
    first.until_row("carol: nice here")
    first.type("/who zoo\r")  # a page after a name, where nobody is
    first.until_row("There are no more after zoo; /who shows them from the start.")
    assert not _COLOUR.search(first.output)
    assert first.leave() == 0
    tokens = first.state / "tokens"
    assert stat.S_IMODE(tokens.stat().st_mode) == 0o600
    assert stat.S_IMODE(first.state.stat().st_mode) == 0o700
    second = sit_down("--tls-ca", str(certificate))
    second.until_row("carol: nice here")  # in the room of the last time
    assert _COLOUR.search(second.output)
    assert second.leave() == 0
    third = sit_down("--tls-insecure")
    third.answer("Warning: the server's certificate is not checked.", "")
    third.answer("Name:", "carol")  # no token goes to a server that may be another
    assert not any(b"horse" in path.read_bytes() for path in first.state.iterdir())


# At the start, a passphrase is asked for three times; the chat says what to do if it is lost.
def test_a_lost_passphrase(server: ServerProcess, new_name, sit_down) -> None:
    name = new_name("erin")
    first = sit_down("--register", "--name", name).register()
    first.type("/unlock\r")
    for question in ("a new passphrase for your keys", "the same again"):
        first.until_row(question)
        first.type("correct horse battery\r")
    first.until_row("Your keys are made.")
    assert first.leave() == 0
    second = sit_down("--name", name)
    second.answer("Password:", "secret")
    for _ in range(3):
        second.answer("Passphrase of your keys", "wrong")
    second.until_row("/unlock opens them; if the passphrase is lost,")
    assert second.leave() == 0


# While fifty messages a second arrive, a half-typed line stands whole; so it does at another size.
def test_a_flood_and_a_new_size(bob: Client, in_lobby) -> None:
    person = in_lobby("dave")
    person.type("héllo 火锅")
    person.until(lambda: person.rows[-1].replace(" ", "") == ">héllo火锅")
    half_typed = person.rows[-1]
    person.screen.bottom_rows.clear()
    for number in range(100):
        bob.say("lobby", f"{number} 火锅 \u202e for dave \x1b[2J")
        person.look()
    person.until_row("bob: 99 ")
    assert person.screen.bottom_rows == {half_typed}
    for columns, lines in ((200, 50), (60, 15), (80, 24)):
        person.resize(columns, lines)
        person.until(lambda: person.rows[-1] == half_typed and "people" in person.rows[-2])
        bob.say("lobby", f"at {columns} columns")
        person.until(lambda columns=columns: f"bob: at {columns} columns" in person.rows[-3])
        assert person.rows[0].startswith(" lobby")
        assert person.rows[0].endswith("dave")
    person.type(" enough\r")
    person.until_row("dave: héllo 火")
    assert person.leave() == 0


# A file that is sent is told of, and whoever asks for it has it in their folder, whole.
def test_files(bob: Client, in_lobby, tmp_path: Path) -> None:
    path, folder = tmp_path / "my report.pdf", tmp_path / "downloads"
    path.write_bytes(b"data" * 50_000)
    person = in_lobby("finn", "--downloads", str(folder))
    person.type(f"/send {path}\r")
    person.until_row("finn shares my report.pdf")
    person.until_row("my report.pdf is sent, and arrived whole.")
    number = re.search(r"/get (\d+)", "\n".join(person.rows))[1]
    for name in ("my report.pdf", "my report (2).pdf"):
        person.type(f"/get {number}\r")
        person.until(lambda name=name: (folder / name).exists() and (folder / name).stat().st_size)
        assert (folder / name).read_bytes() == path.read_bytes()
    person.type("/files\r")
    person.until_row(f"  {number}: my report.pdf")
    assert person.leave() == 0


# When the server dies and is back, so is everybody, and nothing is missing; or one goes home.
def test_the_server_dies(server: ServerProcess, sit_down, in_lobby, bob: Client) -> None:
    person = in_lobby("erin")
    server.kill()
    person.until_row("reconnecting...")
    server.start()
    bob.say("lobby", "are you all back?")
    person.until_row("bob: are you all back?")
    person.until(lambda: "reconnecting" not in person.rows[-2])
    person.type("yes\r")
    person.until_row("erin: yes")
    server.kill()
    person.until_row("reconnecting...")
    person.type("who hears this?\r/quit\r")
    person.until_row("/quit again leaves now: 1 line will be said")
    assert person.leave() == 0
    server.start()
    for row in ("erin: who hears this?", "[1:lobby]"):
        again = sit_down("--name", "erin")
        again.answer("Password:", "secret")
        again.until_row(row)
        again.end()
    with server.database() as database:
        query = "SELECT count(*) FROM messages WHERE body = 'who hears this?'"
        assert database.execute(query).fetchone() == (1,)


@pytest.fixture
def come_in(server: ServerProcess, tmp_path: Path) -> Callable[..., tuple[Result, Tokens]]:
    """Return what answers the questions at the door; an account bob is there."""
    address = f"127.0.0.1:{server.port}"
    tokens = Tokens(tmp_path / "tokens")

    @click.command()
    def door() -> None:
        with log_in(Server(address), tokens, may_remember=True) as client:
            click.echo(f"in as {client.user}")

    def answer(*answers: str, token: tuple[str, str] | None = None) -> tuple[Result, Tokens]:
        if token:
            tokens.keep(address, *token)
        given = "".join(f"{each}\n" for each in answers)
        return CliRunner().invoke(door, input=given), tokens.find(address)

    return answer


# Whoever mistypes is asked again, three times at most, and may register in between.
@pytest.mark.parametrize(
    ("answers", "end"),
    [
        (["bob", "secret"], "in as bob"),
        (["bob", "wr0ng", "bob", "secret"], "in as bob"),
        (["/register Fred", "pw", "pw"], "in as Fred"),
        (["gina", "pw", "/register", "/register gina", "pw", "typo", "pw", "pw"], "in as gina"),
        (["bob", "a", "bob", "b", "bob", "c"], CallRefused),
        (["/register bob", "a", "a", "bob", "secret"], "in as bob"),  # the name is taken
        ([" ", "/help", "/join den", "hello all", " bob ", "secret"], "in as bob"),  # no names
    ],
)
def test_the_door(bob: Client, come_in, answers: list[str], end: str | type) -> None:
    result, token = come_in(*answers)
    if isinstance(end, str):
        assert result.output.endswith(f"{end}\n")
        assert token[0] == end.removeprefix("in as ")
    else:
        assert (type(result.exception), token) == (end, None)
    assert not {"secret", "pw", "wr0ng", "typo"} & set(result.output.split())


# A token that the server knows no more is forgotten, and the password asked for.
def test_an_outdated_token(bob: Client, come_in) -> None:
    result, token = come_in("bob", "secret", token=("bob", "nonsense"))
    assert result.output.startswith("The saved token is of no use any longer")
    assert result.output.endswith("in as bob\n")
    assert token[1] != "nonsense"
    result, _ = come_in()
    assert result.output == "in as bob\n"


# Where no server is, or none that speaks TLS, nobody is asked for a password.
@pytest.mark.parametrize(
    ("is_there", "why"), [(False, "no server listens there"), (True, "nobody who speaks TLS")]
)
def test_nobody_is_asked_in_vain(start_server, tmp_path: Path, is_there: bool, why: str) -> None:
    port = start_server(TLS_CERT="").port if is_there else 1
    server = Server(f"127.0.0.1:{port}", ssl.create_default_context())
    with pytest.raises(ConnectionLost, match=why):
        log_in(server, Tokens(tmp_path / "tokens"))


# A token is forgotten when that is wished.
def test_forgetting(run_here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    Tokens(state_folder() / "tokens").keep("127.0.0.1:8888", "bob", "t0ken")
    for beginning in ("Forgotten here.", "There is no token"):
        assert run_here(tmp_path, "chat", "--forget", "8888").stdout.startswith(beginning)
    assert "t0ken" not in (state_folder() / "tokens").read_text()


_DUMPS = """
import click, ctypes, resource, sys
from app.terminal import main
try:
    main.run("nowhere")
except click.ClickException:
    dumpable = ctypes.CDLL(None).prctl(3, 0, 0, 0, 0) if sys.platform == "linux" else 0
    print(dumpable, *resource.getrlimit(resource.RLIMIT_CORE))
"""


# From the first moment on, what is in memory is in no dump of it.
def test_no_dumps() -> None:
    command = [sys.executable, "-c", _DUMPS]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout == "0 0 0\n"


# Every option and every command that is only here is in the documentation.
def test_the_documentation_is_complete() -> None:
    page = (ROOT / "docs" / "terminal.md").read_text()
    options = {option for parameter in chat.params for option in parameter.opts}
    assert not {option for option in options - {"address", "--bell"} if option not in page}
    assert not {how for how, _ in OWN.values() if how not in page}


# What can't work is said in one line, before anything is asked.
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        *(
            (given, "chat is for people at a terminal")
            for given in ([], ["--plain", "192.0.2.1:1"])
        ),
        (["no where"], "not an address: 'no where'; expected [HOST][:PORT]"),
        (["http://localhost"], "not an address"),
        (["localhost:65536"], "not a port: 65536; it is a number from 1 to 65535"),
        (["localhost:0"], "not a port: 0"),
        (["99999"], "not a port: 99999"),
        (["192.0.2.1:8888"], "192.0.2.1:8888 is another machine"),
        (["no.such.host.invalid:8888"], "is another machine"),
        (["--tls-ca", __file__], "holds no certificates"),
    ],
)
def test_what_can_not_work(run_here, tmp_path: Path, arguments: list[str], sentence: str) -> None:
    result = run_here(tmp_path, "chat", *arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: ")
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1
