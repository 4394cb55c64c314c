"""The servers that are measured: how each is found, configured and started.

Every one gets the same core, the same number of sessions and the same messages. The peers store
nothing; what would make them drop a slow reader, or slow down a fast sender, is set as far out of
the way as they allow. Pings are an hour apart, so none falls into a measurement.
"""

import contextlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import dialects
from process import HOST, REPOSITORY, ServerProcess, free_port, running

GREENROOM = "greenroom"
RELAY = "relay"  # the ceiling, no peer: see relay.py
MANAGE = REPOSITORY / "manage.py"
CONNECTIONS_MAX = 12_000  # idle's 10,000 sessions and some air; below the descriptors one may have

REDIS_CONFIGURATION = f"""
bind {HOST}
port {{port}}
dir {{folder}}
save ""
appendonly no
maxclients {CONNECTIONS_MAX}
client-output-buffer-limit pubsub 0 0 0
"""

NATS_CONFIGURATION = f"""
host: "{HOST}"
port: {{port}}
max_connections: {CONNECTIONS_MAX}
max_pending: 1GB
write_deadline: "60s"
ping_interval: "1h"
"""

NGIRCD_CONFIGURATION = f"""
[Global]
Name = irc.bench.invalid
Info = bench
AdminInfo1 = bench
AdminEMail = bench@bench.invalid
Listen = {HOST}
Ports = {{port}}
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


@dataclass(frozen=True)
class Server:
    """One contender. `{port}`, `{folder}` and `{configuration}` are filled in when it starts."""

    name: str
    dialect: dialects.Dialect
    needs: str  # a program in PATH or a file: it is here when this is
    command: tuple[str, ...]
    configuration: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    exits_with_0: bool = False  # on SIGTERM; what others do is their business

    @property
    def is_here(self) -> bool:
        """Whether it can be started."""
        return shutil.which(self.needs) is not None or Path(self.needs).is_file()

    @property
    def version(self) -> str:
        """The first line it says about itself, or nothing when it is part of this repository."""
        if "/" in self.needs:
            return ""
        answer = subprocess.run(
            [self.needs, "--version"], capture_output=True, text=True, timeout=10, check=False
        )
        return (answer.stdout + answer.stderr).splitlines()[0].strip()

    @contextlib.contextmanager
    def started(self, core: int, folder: Path) -> Iterator[ServerProcess]:
        """Start it on a free port of loopback with its files in `folder`, which the caller owns.

        Yields at once: use `wait_until_accepting`. Killed at the end unless the caller stops it.
        """
        configuration = folder / "server.conf"
        places = {"port": free_port(), "folder": folder, "configuration": configuration}
        configuration.write_text(self.configuration.format_map(places))
        command = [part.format_map(places) for part in self.command]
        environment = {key: value.format_map(places) for key, value in self.environment.items()}
        with running(command, environment, int(places["port"]), folder, core) as process:
            yield process


