"""Every setting of the server: named once, with its unit and its use.

Settings are environment variables with the prefix `GREENROOM_`, or lines of a `.env` file; a flag
of the command line wins over both. Bounds that need no tuning are in bounds.py.
"""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from io import StringIO
from pathlib import Path
from typing import Any, Literal, Self

from app.bounds import MESSAGE_RATE_MAX, MESSAGE_RATE_MIN, RETENTION_DAYS_MAX, Kept
from app.errors import StartRefused
from app.values.addresses import expand_home, parse_address, parse_host
from app.values.sizes import parse_decimal, parse_whole, seconds, unfit, whole

VERSION = "0.1.0"  # as in pyproject.toml


class MessageRate(tuple[float, int]):
    """The limit of one session's lines: (messages a second, burst); a rate of 0 is no limit."""

    __slots__ = ()


def _message_rate(text: str) -> MessageRate:
    """Read a rate: `10/20`, `10` (the burst is then twice the rate) or `0` (no limit).

    Raises ValueError.
    """
    rate_text, slash, burst_text = text.partition("/")
    rate = parse_decimal(rate_text)
    if rate is None:
        raise ValueError("expected RATE/BURST in messages a second, like 10/20, or 0 for no limit")
    if not slash and rate == 0:
        return MessageRate((0.0, 1))
    burst = parse_whole(burst_text) if slash else max(1, int(rate * 2))
    if not MESSAGE_RATE_MIN <= rate <= MESSAGE_RATE_MAX or not burst or burst > MESSAGE_RATE_MAX:
        raise ValueError(
            f"a rate is from {MESSAGE_RATE_MIN} to {MESSAGE_RATE_MAX}, a burst from 1 to "
            f"{MESSAGE_RATE_MAX}, like 10/20; or it is 0, alone, for no limit"
        )
    return MessageRate((rate, burst))


def _hosts(text: str) -> tuple[str, ...]:
    """Read `chat.example.org, chat.local`. Raises ValueError."""
    return tuple(parse_host(each) for each in text.split(",") if each.strip())


def _address(text: str) -> str:
    parse_address(text)
    return text


def _public_url(text: str) -> str:
    if not re.fullmatch(r"https?://[^/\s]+", text):
        raise unfit(text, "like https://chat.example.org:8888")
    parse_host(text)
    return text


def _folder(text: str) -> Path:
    return Path(expand_home(text))


def _true_or_false(text: str) -> bool:
    if text.lower() in ("true", "t", "yes", "y", "on", "1"):
        return True
    if text.lower() in ("false", "f", "no", "n", "off", "0"):
        return False
    raise unfit(text, "true or false")


def _one_of(*choices: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in choices:
            raise unfit(text, " or ".join(choices))
        return text

    return read


def _setting(
    default: object, read: Callable[[str], object], description: str, *, is_secret: bool = False
) -> Any:
    """Return a field. `read` reads its value from a text, or raises ValueError."""
    told = {"read": read, "description": description, "is_secret": is_secret}
    return field(default=default, metadata=told, repr=not is_secret)


_PREFIX = "GREENROOM_"
# Variables that Kubernetes gives every program beside a service that is called greenroom.
_OF_KUBERNETES = re.compile(r"GREENROOM_(SERVICE_HOST|SERVICE_PORT\w*|PORT|PORT_\d\w*)", re.ASCII)


def _read_lines(text: str) -> Mapping[str, str | None]:
    """Read the text of `.env`. Raises StartRefused when a line of ours sets nothing."""
    from dotenv.main import resolve_variables  # here, for it takes a tenth of most commands' time
    from dotenv.parser import parse_stream

    values = []
    for key, value, original, is_bad in parse_stream(StringIO(text)):
        sets_nothing = is_bad or (key is not None and value is None)
        if sets_nothing and _PREFIX[:-1] in original.string.upper():
            blank_lines = original.string.partition(original.string.strip())[0].count("\n")
            raise StartRefused(
                f"can't read .env: line {original.line + blank_lines} is not like "
                f"{_PREFIX}LISTEN=0.0.0.0:8888"
            )
        if key is not None:
            values.append((key, value))
    return resolve_variables(values, override=True)


def _written() -> dict[str, str]:
    """Return the settings of `.env` and the environment, which wins. By their names there.

    Raises StartRefused.
    """
    lines: Mapping[str, str | None] = {}
    if Path(".env").is_file():
        try:
            lines = _read_lines(Path(".env").read_text("utf-8-sig"))
        except OSError as error:
            raise StartRefused(f"can't read .env: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise StartRefused("can't read .env: it is not UTF-8") from error
    return {
        name.upper(): value
        for name, value in (*lines.items(), *os.environ.items())
        if name.upper().startswith(_PREFIX) and value is not None
    }


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings. Their names are the environment's names without the prefix.

    A text that is given for one is read; an empty one is the default. Raises StartRefused.
    """

    data_dir: Path = _setting(
        Path("var"), _folder, "where the database and the control socket live; created 0700"
    )
    database_url: str = _setting(
        "", str, "SQLAlchemy URL; empty: SQLite in the data directory", is_secret=True
    )
    listen: str = _setting("127.0.0.1:8888", _address, "the address, [HOST:]PORT")
    public_url: str = _setting(
        "", _public_url, "what the lines for curl call this server; empty: where its client came to"
    )
    web_hosts: tuple[str, ...] = _setting(
        (), _hosts, "names of this server that HTTP is answered to, besides its own: a,b"
    )
    registration: Literal["open", "closed"] = _setting(
        "open", _one_of("open", "closed"), "closed: only createuser makes accounts"
    )
    history_replay: int = _setting(20, whole(0, 1000), "messages replayed on join; 0: none")
    durability: Literal["full", "normal"] = _setting(
        "full", _one_of("full", "normal"), "full survives power loss, normal a crash of the process"
    )
    line_bytes_max: int = _setting(4096, whole(64, 1 << 20), "longest line of a client")
    message_rate: MessageRate = _setting(
        MessageRate((10.0, 20)), _message_rate, "lines a second / burst, a session; 0: no limit"
    )
    connections_max: Kept = _setting(
        10_000, whole(0), "beyond it newcomers are told so; 0: as many as RLIMIT_NOFILE lets"
    )
    connections_per_ip_max: Kept = _setting(
        1_000, whole(0), "from one address: a class behind one router fits; 0: no limit"
    )
    outbox_bytes_max: Kept = _setting(
        1 << 20, whole(4096), "what one slow reader may leave unread before it is cut"
    )
    login_seconds_max: float = _setting(
        60, seconds(86_400), "of silence before login; five minutes in all"
    )
    keepalive_seconds: int = _setting(
        60, whole(1, 32_767), "of silence, until the kernel asks if a client is there"
    )
    login_attempts: int = _setting(
        20, whole(0), "failed logins a minute, per address and per account; 0: no limit"
    )
    logins_waiting_max: Kept = _setting(
        1_000, whole(1), "for a password to be checked: some 25 s; who hung up goes first"
    )
    registrations_per_ip_per_hour: Kept = _setting(
        1_000, whole(0), "new accounts from one address, all at once or not; 0: no limit"
    )
    rooms_owned_max: Kept = _setting(
        500, whole(0), "that one user may own, but for admins; 0: no limit"
    )
    tls_cert: str = _setting(
        "", expand_home, "certificate and those that vouch for it, PEM; empty: no TLS"
    )
    tls_key: str = _setting("", expand_home, "its key, PEM; empty: it is in the certificate's file")
    require_tls: bool = _setting(
        False, _true_or_false, "refuse logins without TLS, but from this machine"
    )
    file_bytes_max: int = _setting(8 << 20, whole(0), "largest file; 0: none can be shared")
    file_quota_bytes: Kept = _setting(64 << 20, whole(0), "of all files of one user together")
    file_days_max: Kept = _setting(30, whole(1, RETENTION_DAYS_MAX), "for how long a file is kept")
    retention_days: Kept = _setting(
        0, whole(0, RETENTION_DAYS_MAX), "for how long messages are kept; 0: for ever"
    )
    metrics_token: str = _setting(
        "", str, "lets others than this machine read /metrics; empty: nobody", is_secret=True
    )
    log_format: Literal["console", "json"] = _setting(
        "console", _one_of("console", "json"), "for people, or programs"
    )

    @classmethod
    def read(cls, **given: Any) -> Self:
        """Read the settings that are written; given ones win. Raises StartRefused."""
        written = {name.removeprefix(_PREFIX).lower(): each for name, each in _written().items()}
        known = {each.name for each in fields(cls)}
        return cls(**{name: written[name] for name in written if name in known} | given)

    def __post_init__(self) -> None:
        """Read the values that are given as text. Raises StartRefused."""
        for each in fields(self):
            text = getattr(self, each.name)
            if isinstance(text, str):
                try:
                    value = each.metadata["read"](text) if text else each.default
                except ValueError as error:
                    raise _refused(each.name, str(error)) from error
                object.__setattr__(self, each.name, value)
        if self.outbox_bytes_max < self.line_bytes_max:
            raise _refused(
                "outbox_bytes_max", "less than GREENROOM_LINE_BYTES_MAX: one line would be too much"
            )
        for name in ("tls_key", "require_tls"):
            if getattr(self, name) and not self.tls_cert:
                raise _refused(name, "there is no GREENROOM_TLS_CERT")

    @property
    def control_path(self) -> Path:
        """The path of the control socket."""
        return self.data_dir / "control.sock"

    @property
    def url(self) -> str | Path:
        """The database's SQLAlchemy URL, or the path of its file."""
        return self.database_url or self.data_dir / "greenroom.db"


def _refused(name: str, why: str) -> StartRefused:
    return StartRefused(f"{_PREFIX}{name.upper()}: {why}")


def unknown_settings() -> dict[str, str]:
    """Return the names that look like settings and are none.

    Each comes with the setting that is probably meant; "" where none is near. Raises StartRefused.
    """
    known = [f"{_PREFIX}{each.name.upper()}" for each in fields(Settings)]
    return {
        name: "".join(get_close_matches(name, known, 1, 0.8))
        for name in sorted(_written().keys() - known)
        if not _OF_KUBERNETES.fullmatch(name)
    }


def no_setting(name: str, meant: str) -> str:
    """Return a sentence about a name that is no setting."""
    return f"{name} is no setting, and does nothing" + (f"; is it {meant}?" if meant else ".")
