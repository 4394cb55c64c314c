"""The servers that are measured: how each is found, configured and started.

Every one gets the same core, the same number of sessions and the same messages. The peers store
nothing; what would make them drop a slow reader, or slow down a fast sender, is set as far out of
the way as they allow. Pings are an hour apart, so none falls into a measurement.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import dialects
from generator import Crowd, Door, unchecked_tls
from process import HOST, REPOSITORY, BenchError, ServerProcess, free_port, running

GREENROOM = "greenroom"
RELAY = "relay"  # the ceiling, no peer: see relay.py
MANAGE = REPOSITORY / "manage.py"
CONNECTIONS_MAX = 12_000  # idle's 10,000 sessions and some air; below the descriptors one may have

REDIS_CONFIGURATION = f"""
bind {HOST}
port {{port}}
dir "{{folder}}"
save ""
appendonly no
maxclients {CONNECTIONS_MAX}
client-output-buffer-limit pubsub 0 0 0
"""

REDIS_TLS = """
port 0
tls-port {port}
tls-cert-file "{folder}/tls-cert.pem"
tls-key-file "{folder}/tls-key.pem"
tls-auth-clients no
"""

NATS_CONFIGURATION = f"""
host: "{HOST}"
port: {{port}}
max_connections: {CONNECTIONS_MAX}
max_pending: 1GB
write_deadline: "60s"
ping_interval: "1h"
"""

NATS_TLS = """
tls {{
  cert_file: "{folder}/tls-cert.pem"
  key_file: "{folder}/tls-key.pem"
}}
"""

NGIRCD_CONFIGURATION = f"""
[Global]
Name = irc.bench.invalid
Info = bench
AdminInfo1 = bench
AdminEMail = bench@bench.invalid
Listen = {HOST}
Ports = {{plain_port}}
MotdPhrase = bench
[Limits]
MaxConnections = 0
MaxConnectionsIP = 0
MaxJoins = 0
MaxNickLength = 16
MaxPenaltyTime = 0
PingTimeout = 3600
[Options]
DNS = no
Ident = no
PAM = no
IncludeDir = {{folder}}
"""
NGIRCD_TLS = """
[SSL]
CertFile = {folder}/tls-cert.pem
KeyFile = {folder}/tls-key.pem
Ports = {port}
"""


@dataclass(frozen=True)
class Server:
    """One contender. `{port}`, `{folder}` and `{configuration}` are filled in when it starts.

    `{plain_port}` is the same as `{port}`, but over TLS: then it is one that nobody asks for.
    """

    name: str
    dialect: dialects.Dialect
    needs: str  # a program in PATH or a file: it is here when this is
    command: tuple[str, ...]
    version_command: tuple[str, ...] = ()
    configuration: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    tls_configuration: str = ""  # to be added to the configuration; with the next, how to speak TLS
    tls_environment: dict[str, str] = field(default_factory=dict)
    is_over_tls: bool = False
    is_ours: bool = False  # this repository's, of whatever revision
    exits_with_0: bool = False  # on SIGTERM; what others do is their business

    @property
    def is_here(self) -> bool:
        """Whether it can be started."""
        return shutil.which(self.needs) is not None or Path(self.needs).is_file()

    @property
    def can_tls(self) -> bool:
        """Whether `over_tls` has any meaning."""
        return bool(self.tls_configuration or self.tls_environment)

    def over_tls(self) -> "Server":
        """Return the same server that speaks TLS at its port, under a certificate of its own."""
        return replace(
            self,
            configuration=self.configuration + self.tls_configuration,
            environment=self.environment | self.tls_environment,
            is_over_tls=True,
        )

    @property
    def door(self) -> Door:
        """How its clients come in."""
        return Door(self.dialect, unchecked_tls() if self.is_over_tls else None)

    @property
    def version(self) -> str:
        """The first line it says about itself."""
        if not self.version_command:
            return "part of the bench"
        answer = subprocess.run(
            self.version_command, capture_output=True, text=True, timeout=10, check=False
        )
        return answer.stdout.partition("\n")[0] or "unknown"

    @contextlib.contextmanager
    def started(self, core: int, folder: Path) -> Iterator[ServerProcess]:
        """Start it on a free port of loopback with its files in `folder`, which the caller owns.

        Yields at once: see `accepting_port`. Killed at the end unless the caller stops it.
        """
        configuration = folder / "server.conf"
        port = free_port()
        plain_port = free_port() if self.is_over_tls else port
        places = {"port": port, "plain_port": plain_port, "folder": folder}
        places["configuration"] = configuration
        configuration.write_text(self.configuration.format_map(places))
        command = [part.format_map(places) for part in self.command]
        own = {key: value.format_map(places) for key, value in self.environment.items()}
        if self.is_over_tls:
            _make_certificate(folder)
        with running(command, _environment() | own, port, folder, core) as process:
            yield process

    def check_exit(self, code: int) -> None:
        """Raise BenchError when the server owes an exit code of 0 and gave another."""
        if self.exits_with_0 and code != 0:
            raise BenchError(f"exited with {code} after SIGTERM instead of 0")


@contextlib.contextmanager
def served(server: Server, core: int) -> Iterator[tuple[ServerProcess, Crowd]]:
    """Run the server in a temporary folder, with nobody there yet; ask it to end after the block.

    Raises BenchError when it does not start, or owes an exit code of 0 and gives another.
    """
    with (
        tempfile.TemporaryDirectory(prefix="greenroom-bench-") as folder,
        server.started(core, Path(folder)) as process,
    ):
        with Crowd(server.door, process.accepting_port()) as crowd:
            yield process, crowd
        server.check_exit(process.stop())


def _environment() -> dict[str, str]:
    """Return this process's environment without Greenroom's settings: its database is not ours."""
    return {key: value for key, value in os.environ.items() if not key.startswith("GREENROOM_")}


def _make_certificate(folder: Path) -> None:
    """Write tls-cert.pem and tls-key.pem. Raises BenchError."""
    command = [sys.executable, str(MANAGE), "selfsigned", "--directory", str(folder), "--force"]
    made = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if made.returncode:
        raise BenchError(f"no certificate: {made.stderr}")


def greenroom(
    durability: str,
    name: str = GREENROOM,
    checkout: Path = REPOSITORY,
    python: str = sys.executable,
) -> Server:
    """Return the server of a checkout, with the limits off that keep one address from flooding."""
    manage = checkout / "manage.py"
    return Server(
        name=name,
        dialect=dialects.Greenroom(),
        needs=str(manage),
        command=(python, str(manage), "runserver", f"{HOST}:{{port}}"),
        version_command=("git", "-C", str(checkout), "describe", "--always", "--dirty"),
        environment={
            "GREENROOM_DATA_DIR": "{folder}",
            "GREENROOM_DURABILITY": durability,
            "GREENROOM_MESSAGE_RATE": "0",
            "GREENROOM_LOGIN_ATTEMPTS": "0",
            "GREENROOM_LOGIN_SECONDS_MAX": "600",
            "GREENROOM_CONNECTIONS_PER_IP_MAX": "0",
            "GREENROOM_REGISTRATIONS_PER_IP_PER_HOUR": "0",
            "GREENROOM_CONNECTIONS_MAX": str(CONNECTIONS_MAX),
        },
        tls_environment={
            "GREENROOM_TLS_CERT": "{folder}/tls-cert.pem",
            "GREENROOM_TLS_KEY": "{folder}/tls-key.pem",
        },
        is_ours=True,
        exits_with_0=True,
    )


PEERS = (
    Server(
        name="redis",
        dialect=dialects.Redis(),
        needs="redis-server",
        version_command=("redis-server", "--version"),
        command=("redis-server", "{configuration}"),
        configuration=REDIS_CONFIGURATION,
        tls_configuration=REDIS_TLS,
    ),
    Server(
        name="nats",
        dialect=dialects.Nats(),
        needs="nats-server",
        version_command=("nats-server", "--version"),
        command=("nats-server", "--config", "{configuration}"),
        configuration=NATS_CONFIGURATION,
        tls_configuration=NATS_TLS,
    ),
    Server(
        name="ngircd",
        dialect=dialects.Irc(),
        needs="ngircd",
        version_command=("ngircd", "--version"),
        command=("ngircd", "--nodaemon", "--config", "{configuration}"),
        configuration=NGIRCD_CONFIGURATION,
        tls_configuration=NGIRCD_TLS,
    ),
    Server(
        name=RELAY,
        dialect=dialects.Relay(),
        needs=str(REPOSITORY / "bench" / "relay.py"),
        command=(sys.executable, str(REPOSITORY / "bench" / "relay.py"), "{port}"),
    ),
)
