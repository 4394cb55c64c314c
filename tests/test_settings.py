"""Settings: what each is when nobody says, what it can't be, and who wins."""

import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, fields
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from app.cli import main
from app.net.sockets import format_address
from app.settings import Settings, unknown_settings
from app.values.addresses import parse_address, parse_host, parse_server
from app.values.networks import plain_address
from tests.kit.commands import refused

DEFAULTS = asdict(Settings())  # as the README promises them: see test_completeness.py

Run = Callable[..., tuple[Settings, Result]]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch) -> Iterator[None]:
    """Settings are read in a folder of our own, and of an environment without any."""
    for name in list(os.environ):
        if name.upper().startswith("GREENROOM_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    mask = os.umask(0o077)
    yield
    os.umask(mask)


@pytest.fixture
def runserver(monkeypatch) -> Run:
    """Return what runs `manage.py runserver`, up to where the server would start."""
    started: list[Settings] = []
    monkeypatch.setattr("app.net.main.run", started.append)

    def run(*arguments: str) -> tuple[Settings | None, Result]:
        result = CliRunner().invoke(main, ["runserver", *arguments])
        return (started.pop() if started else None), result

    return run


# Where nobody says anything, each setting is its default, and nothing is told.
def test_defaults(runserver: Run) -> None:
    settings, result = runserver()
    assert asdict(settings) == DEFAULTS
    assert settings.url == Path("var/greenroom.db")
    assert result.output == ""


TEXTS = {
    "database_url": "sqlite:////srv/x.db",
    "listen": "[::]:23",
    "public_url": "https://chat.example.org:8888",
    "registration": "closed",
    "durability": "normal",
    "tls_cert": "/etc/cert.pem",
    "metrics_token": "s3cret",
    "log_format": "json",
}
NUMBERS = {
    **dict.fromkeys(("history_replay", "connections_max", "connections_per_ip_max"), 0),
    **dict.fromkeys(("login_attempts", "registrations_per_ip_per_hour", "rooms_owned_max"), 0),
    **dict.fromkeys(("keepalive_seconds", "logins_waiting_max", "retention_days"), 10),
    **dict.fromkeys(("line_bytes_max", "file_quota_bytes"), 512),
    "outbox_bytes_max": 65_536,
    "login_seconds_max": 1.5,
    "file_bytes_max": 0,
    "file_days_max": 1,
}
RATES = {"0": (0, 1), "5": (5, 10), "0.5/3": (0.5, 3)}


# Every setting can be set in the environment.
@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        *((name, text, text) for name, text in TEXTS.items()),
        *((name, str(value), value) for name, value in NUMBERS.items()),
        ("data_dir", "/srv/chat", Path("/srv/chat")),
        ("data_dir", "~/chat", Path.home() / "chat"),
        ("tls_cert", "~/cert.pem", str(Path.home() / "cert.pem")),
        ("web_hosts", "chat.example.org, Büro:8888", ("chat.example.org", "xn--bro-hoa")),
        *(("message_rate", text, rate) for text, rate in RATES.items()),
    ],
)
def test_environment(runserver: Run, monkeypatch, name: str, text: str, value: object) -> None:
    monkeypatch.setenv(f"GREENROOM_{name.upper()}", text)
    settings, _ = runserver()
    assert asdict(settings) == DEFAULTS | {name: value}


BAD_VALUES = {
    "LISTEN": ("localhost", "127.0.0.1:65536", "127.0.0.1:http", "127.0.0.1:٣", "[::1:5", "::1]:5"),
    "PUBLIC_URL": ("chat.example.org", "https://chat.example.org/chat", "https://chat..org"),
    "HISTORY_REPLAY": ("-1", "1001", "some", "1_0", "+7", "٣", " 7", "7 ", "7.0", "0x7", "1e1"),
    "MESSAGE_RATE": (
        *("fast", "-1/20", "10/20/30", "٣", "1_0/20", "+1", "10/+20", "10 / 20", "10/"),
        *("0.001/1", "10/0", "0/5", "0.05", "1/9000000"),
    ),
    "LOGIN_SECONDS_MAX": ("0", "1_0", "+7", "٣", "7.", "inf", "nan", "86401"),
    "LINE_BYTES_MAX": ("63", "1048577"),
    "OUTBOX_BYTES_MAX": ("100", "4095"),  # and a line may have 4096
    **dict.fromkeys(("KEEPALIVE_SECONDS", "LOGINS_WAITING_MAX"), ("0",)),
    **dict.fromkeys(("CONNECTIONS_MAX", "CONNECTIONS_PER_IP_MAX", "LOGIN_ATTEMPTS"), ("-1",)),
    **dict.fromkeys(("REGISTRATIONS_PER_IP_PER_HOUR", "ROOMS_OWNED_MAX"), ("-1",)),
    "FILE_DAYS_MAX": ["999999999999"],
    "WEB_HOSTS": ["chat example"],
    "REGISTRATION": ["shut"],
    "DURABILITY": ["none"],
    "LOG_FORMAT": ["xml"],
    "TLS_KEY": ["key.pem"],  # and no certificate
    "REQUIRE_TLS": ["yes"],  # likewise
}


# A value that can't be is refused in one line that names the setting, and nothing starts.
@pytest.mark.parametrize(
    ("name", "text"), [(name, text) for name, texts in BAD_VALUES.items() for text in texts]
)
def test_bad_values(runserver: Run, monkeypatch, name: str, text: str) -> None:
    monkeypatch.setenv(f"GREENROOM_{name}", text)
    settings, result = runserver()
    assert settings is None
    assert refused(result).startswith(f"GREENROOM_{name}: ")


# A flag wins over the environment, the environment over `.env`, and `.env` over the default.
def test_who_wins(runserver: Run, monkeypatch) -> None:
    lines = ("HISTORY_REPLAY=1", "LOGIN_ATTEMPTS=1", "LISTEN=:1001", "LINE_BYTES_MAX=101")
    Path(".env").write_text("".join(f"GREENROOM_{line}\n" for line in (*lines, "MEANT_FOR=others")))
    monkeypatch.setenv("GREENROOM_LOGIN_ATTEMPTS", "2")
    monkeypatch.setenv("GREENROOM_LINE_BYTES_MAX", "102")
    settings, _ = runserver("0.0.0.0:1003", "--line-bytes-max", "103")
    assert asdict(settings) == DEFAULTS | {
        "history_replay": 1,
        "login_attempts": 2,
        "line_bytes_max": 103,
        "listen": "0.0.0.0:1003",
    }


# An empty value is the default, of every setting, in the environment or as a flag; it wins over
# `.env` like any other value.
@pytest.mark.parametrize("name", DEFAULTS)
def test_empty_values(runserver: Run, monkeypatch, name: str) -> None:
    Path(".env").write_text(f"GREENROOM_{name.upper()}=?\n")
    monkeypatch.setenv(f"GREENROOM_{name.upper()}", "")
    assert asdict(runserver()[0]) == DEFAULTS
    monkeypatch.delenv(f"GREENROOM_{name.upper()}")
    if name not in ("metrics_token", "require_tls"):
        flag = ("",) if name == "listen" else (f"--{name.replace('_', '-')}", "")
        assert asdict(runserver(*flag)[0]) == DEFAULTS


# What goes with a certificate can be set where there is one; yes or no is a flag alone.
def test_tls_settings(runserver: Run) -> None:
    settings, _ = runserver("--tls-cert", "cert.pem", "--tls-key", "key.pem", "--require-tls")
    given = {"tls_cert": "cert.pem", "tls_key": "key.pem", "require_tls": True}
    assert asdict(settings) == DEFAULTS | given


# There is a flag for every setting but the address, which is an argument; --help lists them.
def test_every_setting_is_a_flag(runserver: Run) -> None:
    _, result = runserver("--help")
    for each in fields(Settings):
        assert each.metadata["description"]
        is_flag = each.name not in ("listen", "metrics_token")
        assert (f"--{each.name.replace('_', '-')} " in result.output) == is_flag


_A_RATE = "a rate is from 0.1 to 1000000, a burst from 1 to 1000000, like 10/20"
_LIKE = "like 10/20, or 0 for no limit"
_A_HOST = "expected a name or an address, like chat.example.org"


# What can't be is told in words of ours, with what can, in the environment as for a flag.
@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("HISTORY_REPLAY", "some", "'some' can't be; it must be a whole number from 0 to 1000"),
        ("CONNECTIONS_MAX", "-1", "'-1' can't be; it must be a whole number, 0 or more"),
        ("LOGIN_SECONDS_MAX", "0", "'0' can't be; it must be a number over 0, and up to 86400"),
        ("MESSAGE_RATE", "fast", f"expected RATE/BURST in messages a second, {_LIKE}"),
        ("MESSAGE_RATE", "0.001/1", f"{_A_RATE}; or it is 0, alone, for no limit"),
        ("REGISTRATION", "shut", "'shut' can't be; it must be open or closed"),
        ("REQUIRE_TLS", "perhaps", "'perhaps' can't be; it must be true or false"),
        ("PUBLIC_URL", "x", "'x' can't be; it must be like https://chat.example.org:8888"),
        ("WEB_HOSTS", "a b", f"not a host: 'a b'; {_A_HOST}"),
    ],
)
def test_words(runserver: Run, monkeypatch, name: str, text: str, words: str) -> None:
    monkeypatch.setenv(f"GREENROOM_{name}", text)
    told = f"Error: GREENROOM_{name}: {words}\n"
    assert runserver()[1].stderr == told
    if name != "REQUIRE_TLS":
        monkeypatch.delenv(f"GREENROOM_{name}")
        assert runserver(f"--{name.lower().replace('_', '-')}", text)[1].stderr == told


# A secret is not taken from the command line, where ps shows it; an address without one is.
@pytest.mark.parametrize(
    ("flag", "value", "is_taken"),
    [
        ("--metrics-token", "s3cret", False),
        ("--database-url", "postgresql+psycopg://me:s3cret@db/chat", False),
        ("--database-url", "postgresql+psycopg://db/chat?user=me&password=s3cret", False),
        ("--database-url", "postgresql+psycopg://me@db/chat", True),
    ],
)
def test_secrets_are_no_flags(runserver: Run, flag: str, value: str, is_taken: bool) -> None:
    settings, result = runserver(flag, value)
    assert (settings is not None) == is_taken
    if not is_taken:
        name = flag[2:].upper().replace("-", "_")
        assert result.exit_code == 2
        assert f"into the environment or .env instead: GREENROOM_{name}" in result.stderr
        assert "s3cret" not in result.stderr


# What looks like a setting and is none is found, in the environment and `.env`, with what is meant.
def test_unknown_settings(monkeypatch) -> None:
    Path(".env").write_text("GREENROOM_LISTEM=:1\nGREENROOM_LISTEN=:1\nOTHER=1\n")
    environment = {"GREENROOM_REGISTRATON": "closed", "GREENROOM_X": "", "GREENROOM_PORT": "tcp:"}
    for name, value in (environment | {"greenroom_log_format": "json"}).items():
        monkeypatch.setenv(name, value)
    assert unknown_settings() == {
        "GREENROOM_LISTEM": "GREENROOM_LISTEN",
        "GREENROOM_REGISTRATON": "GREENROOM_REGISTRATION",
        "GREENROOM_X": "",
    }


# Each command that reads the settings names once what is none, on standard error; the server has
# a log for it.
@pytest.mark.parametrize(
    "arguments",
    [
        *(("users", "list"), ("audit",), ("who",), ("status",), ("vacuum",), ("export", "lobby")),
        *(("backup", "b.db"), ("restore", "b.db"), ("purge", "--room", "lobby", "--yes")),
        *(("createuser", "alice", "--password", "secret"), ("selfsigned", "--directory", ".")),
    ],
    ids=" ".join,
)
def test_unknown_settings_of_commands(arguments: tuple[str, ...], monkeypatch) -> None:
    monkeypatch.setenv("GREENROOM_REGISTRATON", "closed")
    lines = CliRunner().invoke(main, arguments).stderr.splitlines()
    told = "GREENROOM_REGISTRATON is no setting, and does nothing; is it GREENROOM_REGISTRATION?"
    assert lines.count(told) == (0 if arguments[0] == "selfsigned" else 1)


# A `.env` that can't be read is told of in a line; so is a line of it that would do nothing.
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xff=1", "it is not UTF-8"),
        (None, "Permission denied"),
        (b"A=1\n\nGREENROOM_REGISTRATION: closed\n", "line 3 is not like GREENROOM_LISTEN="),
        (b"GREENROOM_REGISTRATION closed\r\n", "line 1 is not like"),
        (b"A=1\r\n\r\nGREENROOM_REGISTRATION\r\n", "line 3 is not like"),
        (b"set greenroom_registration=closed", "line 1 is not like"),
        (b'GREENROOM_REGISTRATION="closed\nGREENROOM_LISTEN=1', "line 1 is not like"),
        (b"# one\nGREENROOM REGISTRATION=closed", "line 2 is not like"),
    ],
)
def test_an_env_that_cant_be_read(runserver: Run, content: bytes | None, words: str) -> None:
    if content is None:
        pytest.skip("root reads everything") if os.geteuid() == 0 else None
        Path(".env").touch(0)
    else:
        Path(".env").write_bytes(content)
    settings, result = runserver()
    assert settings is None
    assert refused(result).startswith(f"can't read .env: {words}")


# Lines that are meant for others, and notes, may be as they like; a BOM is no part of a name.
def test_an_env_with_more_in_it(runserver: Run, capsys) -> None:
    lines = "\ufeffGREENROOM_REGISTRATION=closed\n# GREENROOM_LISTEN\nOTHERS: x\nOTHER\n\nA='\n"
    Path(".env").write_text(lines, encoding="utf-8")
    settings, result = runserver()
    assert settings is not None
    assert settings.registration == "closed"
    assert (result.stderr, capsys.readouterr().err) == ("", "")


def _give_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a file be another user's: of one who is not root, so that nobody need be."""
    if os.geteuid() == 0:
        os.chown(path, 12345, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 12345)


# What another user could have written is not read: `.env`, or a data directory.
@pytest.mark.parametrize("mode", [0o602, 0o620, None])
@pytest.mark.parametrize("name", [".env", "var"])
def test_what_others_may_write(runserver: Run, monkeypatch, name: str, mode: int | None) -> None:
    path = Path(name)
    path.touch() if name == ".env" else path.mkdir()
    assert runserver()[0] is not None
    if mode is None:
        _give_away(path, monkeypatch)
        words = f"{name} belongs to another user; be that one: sudo -u USER"
    else:
        path.chmod(mode)
        words = f"other users may write to {name}; run: chmod go-w {name}"
    settings, result = runserver()
    assert (settings, refused(result)) == (None, words)


# Root trusts the owner of a data directory that it names from the root on, and of no other.
@pytest.mark.skipif(os.geteuid() != 0, reason="only root works for others")
def test_root_works_for_others(runserver: Run) -> None:
    Path("var").mkdir()
    os.chown("var", 12345, -1)
    assert runserver()[0] is None
    assert runserver("--data-dir", str(Path("var").absolute()))[0] is not None


# A host is what people write for one, in one form; what is none is refused.
@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("chat.example.org", "chat.example.org"),
        (" HTTPS://Chat.Example.ORG:8888/ ", "chat.example.org"),
        ("chat.example.org.", "chat.example.org"),
        ("x:8888", "x"),
        ("[2001:DB8::1]", "2001:db8::1"),
        ("[::1]:8888", "::1"),
        ("2001:db8:0::1", "2001:db8::1"),
        ("192.0.2.7:80", "192.0.2.7"),
        ("büro.example", "xn--bro-hoa.example"),
        ("*.example.org", "*.example.org"),
        *((text, None) for text in ("", "a..b", "a b", "a,b", "x:port", "user@x", "x/path", "*")),
        *((text, None) for text in ("https://", "[x]", "300.1.1.1", "fe80::1%eth0", "*.org")),
        *((text, None) for text in ("a*.example.org", "x" * 64, ".".join(["x" * 60] * 5))),
    ],
)
def test_hosts(text: str, host: str | None) -> None:
    if host is None:
        with pytest.raises(ValueError, match="not a host"):
            parse_host(text)
    else:
        assert parse_host(text) == host


# IPv4 that came over a socket of IPv6 is shown as IPv4.
@pytest.mark.parametrize(
    ("address", "shown"),
    [("::ffff:192.0.2.7", "192.0.2.7"), ("192.0.2.7", "192.0.2.7"), ("2001:db8::1", "2001:db8::1")],
)
def test_plain_addresses(address: str, shown: str) -> None:
    assert plain_address(address) == shown
    assert format_address((address, 80)) == (f"[{shown}]:80" if ":" in shown else f"{shown}:80")


# An address is [HOST:]PORT, the host of IPv6 in brackets.
@pytest.mark.parametrize(
    ("text", "address"),
    [
        *((text, ("127.0.0.1", 8888)) for text in ("8888", ":8888")),
        ("0.0.0.0:0", ("0.0.0.0", 0)),
        ("localhost:65535", ("localhost", 65535)),
        ("[::1]:8888", ("::1", 8888)),
    ],
)
def test_addresses(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address


# A server to reach is [HOST][:PORT], or a port alone; without a port it is the default.
@pytest.mark.parametrize(
    ("text", "address"),
    [
        *((text, ("127.0.0.1", 8889)) for text in ("8889", ":8889")),
        *((text, ("chat.example.org", 8888)) for text in ("chat.example.org", "chat.example.org:")),
        ("chat.example.org:8889", ("chat.example.org", 8889)),
        *((text, (text, 8888)) for text in ("192.0.2.7", "fe80::1%eth0")),
        *((text, ("::1", 8888)) for text in ("::1", "[::1]", "[::1]:")),
        ("[::1]:8889", ("::1", 8889)),
        ("8" * 5_000, ("8" * 5_000, 8888)),  # a name, though nobody's
    ],
)
def test_servers_to_reach(text: str, address: tuple[str, int]) -> None:
    assert parse_server(text) == address


@pytest.mark.parametrize(
    "text", ["", ":", "a b", "a/b", "bob@a", "a:b", "a:1:2", "[::1", "::1]:80", "a:-1", "a:65536"]
)
def test_no_server_to_reach(text: str) -> None:
    with pytest.raises(ValueError, match=r"not (an address|a port): "):
        parse_server(text)
