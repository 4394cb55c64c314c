"""Settings: what each is when nobody says, what it can't be, and who wins."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from pydantic import SecretStr

from app.addresses import parse_address
from app.cli import main
from app.networks import origin
from app.settings import Settings

DEFAULTS = {
    "data_dir": Path("var"),
    "database_url": "",
    "listen": "127.0.0.1:8888",
    "public_url": "",
    "registration": "open",
    "history_replay": 20,
    "durability": "full",
    "line_bytes_max": 4096,
    "message_rate": (10, 20),
    "connections_max": 10_000,
    "connections_per_ip_max": 1_000,
    "outbox_bytes_max": 1_048_576,
    "login_seconds_max": 60,
    "keepalive_seconds": 60,
    "login_attempts": 20,
    "logins_waiting_max": 1_000,
    "registrations_per_ip_per_hour": 1_000,
    "rooms_owned_max": 500,
    "tls_cert": "",
    "tls_key": "",
    "require_tls": False,
    "file_bytes_max": 8 << 20,
    "file_quota_bytes": 64 << 20,
    "file_days_max": 30,
    "retention_days": 0,
    "metrics_token": SecretStr(""),
    "log_format": "console",
}

Run = Callable[..., tuple[Settings, Result]]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Settings are read in a folder of our own, and of an environment without any."""
    for name in list(os.environ):
        if name.upper().startswith("GREENROOM_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    mask = os.umask(0o077)
    yield
    os.umask(mask)


@pytest.fixture
def runserver(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return what runs `manage.py runserver`, up to where the server would start."""
    started: list[Settings] = []
    monkeypatch.setattr("app.net.main.run", started.append)

    def run(*arguments: str) -> tuple[Settings | None, Result]:
        result = CliRunner().invoke(main, ["runserver", *arguments])
        return (started.pop() if started else None), result

    return run


# Every setting has the default that is promised, and there is no setting that is not.
def test_defaults(runserver: Run) -> None:
    settings, result = runserver()
    assert settings.model_dump() == DEFAULTS
    assert settings.url == Path("var/greenroom.db")
    assert result.output == ""


# Every setting can be set in the environment.
@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("data_dir", "/srv/chat", Path("/srv/chat")),
        ("database_url", "sqlite:////srv/x.db", "sqlite:////srv/x.db"),
        ("listen", "[::]:23", "[::]:23"),
        ("public_url", "https://chat.example.org:8888", "https://chat.example.org:8888"),
        ("registration", "closed", "closed"),
        ("history_replay", "0", 0),
        ("durability", "normal", "normal"),
        ("line_bytes_max", "512", 512),
        ("message_rate", "0", (0, 1)),
        ("message_rate", "5", (5, 10)),
        ("message_rate", "0.5/3", (0.5, 3)),
        ("connections_max", "0", 0),
        ("connections_per_ip_max", "0", 0),
        ("outbox_bytes_max", "65536", 65_536),
        ("login_seconds_max", "1.5", 1.5),
        ("keepalive_seconds", "10", 10),
        ("login_attempts", "0", 0),
        ("logins_waiting_max", "10", 10),
        ("registrations_per_ip_per_hour", "0", 0),
        ("rooms_owned_max", "0", 0),
        ("tls_cert", "/etc/cert.pem", "/etc/cert.pem"),
        ("file_bytes_max", "0", 0),
        ("file_quota_bytes", "1000", 1000),
        ("file_days_max", "1", 1),
        ("retention_days", "30", 30),
        ("metrics_token", "s3cret", SecretStr("s3cret")),
        ("log_format", "json", "json"),
    ],
)
def test_environment(
    runserver: Run, monkeypatch: pytest.MonkeyPatch, name: str, text: str, value: object
) -> None:
    monkeypatch.setenv(f"GREENROOM_{name.upper()}", text)
    settings, _ = runserver()
    assert settings.model_dump() == DEFAULTS | {name: value}


# A value that can't be is refused in one line that names the setting, and nothing starts.
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("LISTEN", ""),
        ("LISTEN", "localhost"),
        ("LISTEN", "127.0.0.1:65536"),
        ("LISTEN", "127.0.0.1:http"),
        ("PUBLIC_URL", "chat.example.org"),
        ("PUBLIC_URL", "https://chat.example.org/chat"),
        ("REGISTRATION", "shut"),
        ("HISTORY_REPLAY", "-1"),
        ("HISTORY_REPLAY", "1001"),
        ("HISTORY_REPLAY", "some"),
        ("DURABILITY", "none"),
        ("LINE_BYTES_MAX", "63"),
        ("LINE_BYTES_MAX", "1048577"),
        ("MESSAGE_RATE", "fast"),
        ("MESSAGE_RATE", "-1/20"),
        ("MESSAGE_RATE", "10/20/30"),
        ("CONNECTIONS_MAX", "-1"),
        ("CONNECTIONS_PER_IP_MAX", "-1"),
        ("OUTBOX_BYTES_MAX", "100"),
        ("OUTBOX_BYTES_MAX", "4095"),  # and a line may have 4096
        ("LOGIN_SECONDS_MAX", "0"),
        ("KEEPALIVE_SECONDS", "0"),
        ("LOGIN_ATTEMPTS", "-1"),
        ("LOGINS_WAITING_MAX", "0"),
        ("REGISTRATIONS_PER_IP_PER_HOUR", "-1"),
        ("ROOMS_OWNED_MAX", "-1"),
        ("TLS_KEY", "key.pem"),  # and no certificate
        ("REQUIRE_TLS", "yes"),  # likewise
        ("LOG_FORMAT", "xml"),
    ],
)
def test_bad_values(runserver: Run, monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
    monkeypatch.setenv(f"GREENROOM_{name}", text)
    settings, result = runserver()
    assert settings is None
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"Error: GREENROOM_{name}: ")


# A flag is refused as its setting is.
def test_bad_flag(runserver: Run) -> None:
    settings, result = runserver("--message-rate", "fast")
    assert settings is None
    assert result.stderr == (
        "Error: GREENROOM_MESSAGE_RATE: Value error, "
        "expected RATE/BURST in messages a second, like 10/20, or 0 for no limit\n"
    )


# A flag wins over the environment, the environment over `.env`, and `.env` over the default.
def test_who_wins(runserver: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ("HISTORY_REPLAY=1", "LOGIN_ATTEMPTS=1", "LISTEN=:1001", "LINE_BYTES_MAX=101")
    Path(".env").write_text("".join(f"GREENROOM_{line}\n" for line in (*lines, "MEANT_FOR=others")))
    monkeypatch.setenv("GREENROOM_LOGIN_ATTEMPTS", "2")
    monkeypatch.setenv("GREENROOM_LINE_BYTES_MAX", "102")
    settings, _ = runserver("0.0.0.0:1003", "--line-bytes-max", "103")
    assert settings.model_dump() == DEFAULTS | {
        "history_replay": 1,
        "login_attempts": 2,
        "line_bytes_max": 103,
        "listen": "0.0.0.0:1003",
    }


# What goes with a certificate can be set where there is one; yes or no is a flag alone.
def test_tls_settings(runserver: Run) -> None:
    settings, _ = runserver("--tls-cert", "cert.pem", "--tls-key", "key.pem", "--require-tls")
    given = {"tls_cert": "cert.pem", "tls_key": "key.pem", "require_tls": True}
    assert settings.model_dump() == DEFAULTS | given


# There is a flag for every setting but the address, which is an argument; --help lists them.
def test_every_setting_is_a_flag(runserver: Run) -> None:
    _, result = runserver("--help")
    for name, field in Settings.model_fields.items():
        assert field.description
        assert (f"--{name.replace('_', '-')} " in result.output) == (name != "listen")


# An address is [HOST:]PORT, the host of IPv6 in brackets.
@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("8888", ("127.0.0.1", 8888)),
        (":8888", ("127.0.0.1", 8888)),
        ("0.0.0.0:0", ("0.0.0.0", 0)),
        ("localhost:65535", ("localhost", 65535)),
        ("[::1]:8888", ("::1", 8888)),
    ],
)
def test_addresses(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address


# What counts as one where a limit is by address: of IPv6 a /64, for whoever has one has them all.
@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
    ],
)
def test_origins(address: str, counted: str) -> None:
    assert origin(address) == counted
