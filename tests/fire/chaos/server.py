"""The server under chaos: on a small file system of its own, with accounts, in a real process.

Its folder has `var` (the data), `server.log`, and what hub_watch.py reads and writes. The accounts
are put into the database before it starts: hashing the passwords of 2,000 would take a minute.
"""

import asyncio
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterable, Sequence
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import create_engine

from app.database.migration import migrate
from app.net.selfsigned import LOCAL_HOSTS, make_certificate
from app.queries import accounts, rooms, tokens
from app.queries import members as rosters
from app.values import names
from tests.kit.client import until
from tests.kit.hub_watch import PASSWORDS
from tests.kit.server_process import ServerProcess

DISK_BYTES = 256 << 20  # of the data's file system: 20 minutes of talk, and files, fill a third
GREENLETS_SECONDS_MAX = 5
METRICS_SECONDS_MAX = 5
PASSWORD = "zqp-password"  # of everybody; like each token, never to be seen in the log
_TOKEN = "zqt-{}-{}"


class Broken(Exception):
    """The server does not do what no run can go on without; `str(broken)` says what."""


def token_of(name: str) -> str:
    """Return what logs in as a user."""
    return _TOKEN.format(name, hashlib.sha256(name.encode()).hexdigest()[:24])


class ChaosServer(ServerProcess):
    """See the top of this file. What can wait is asked in a thread."""

    passwords = PASSWORDS  # what makes the hashes of the accounts

    def __init__(self, folder: Path, **options: object) -> None:
        certificate, key = folder / "cert.pem", folder / "key.pem"
        super().__init__(folder, **{"TLS_CERT": certificate, "TLS_KEY": key, **options})
        self.command = [sys.executable, "-m", "tests.kit.hub_watch", str(folder)]
        self.certificate = certificate
        self.data = folder / "var"
        self.database_path = self.data / "greenroom.db"
        self.has_disk = False
        chain, secret, _ = make_certificate(LOCAL_HOSTS)
        certificate.write_bytes(chain)
        key.write_bytes(secret)
        key.chmod(0o600)
        self.set_clock(0)

    def set_clock(self, wrong_by_milliseconds: int) -> None:
        """Let its clock be wrong from now on, at once and after restarts."""
        with (self.folder / "clock").open("r+b" if self._has("clock") else "wb") as file:
            file.write(wrong_by_milliseconds.to_bytes(8, "big", signed=True))

    def _has(self, name: str) -> bool:
        return (self.folder / name).exists()

    def mount(self) -> None:
        """Give the data a small file system of their own, if that is allowed here."""
        self.data.mkdir(mode=0o700)
        options = f"size={DISK_BYTES},mode=0700"
        command = ["mount", "-t", "tmpfs", "-o", options, "greenroom-chaos", str(self.data)]
        try:
            self.has_disk = (
                subprocess.run(command, capture_output=True, check=False).returncode == 0
            )
        except FileNotFoundError:
            self.has_disk = False

    def unmount(self) -> None:
        """Take the data away with their file system."""
        if self.has_disk:
            subprocess.run(["umount", str(self.data)], check=True)
            self.has_disk = False

    def keep(self) -> Path:
        """Copy the data to where they stay when the file system is gone; return where."""
        if self.has_disk:
            shutil.copytree(
                self.data, self.folder / "kept", ignore=shutil.ignore_patterns("*.sock")
            )
        return self.folder

    def furnish(
        self, people: Iterable[str], encrypted_room: str = "", members: Sequence[str] = ()
    ) -> None:
        """Make the database: these accounts, a token for each, and a room with its members."""
        url = f"sqlite:///{self.database_path}"
        migrate(url)
        self.database_path.chmod(0o600)
        engine, now = create_engine(url), time.time_ns() // 1_000_000
        password_hash = self.passwords.hash(PASSWORD)
        ids: dict[str, int] = {}
        with engine.begin() as connection:
            for person in people:
                name = names.parse_name(person)
                account = accounts.create(connection, name, password_hash, now)
                digest = hashlib.sha256(token_of(person).encode()).digest()
                tokens.add(connection, account.id, digest, "chaos", now)
                ids[person] = account.id
            if members:
                name = names.parse_name(encrypted_room)
                room = rooms.create(connection, name, ids[members[0]], now)
                rosters.encrypt(connection, room.id, [ids[member] for member in members])
        engine.dispose()

    async def begin(self) -> None:
        """Start it, and wait until it listens. Raises Broken."""
        try:
            await asyncio.to_thread(self.start)
        except AssertionError as error:
            raise Broken(str(error)) from None

    def check_is_alive(self) -> None:
        """Raise Broken when it has ended, though nobody asked it to."""
        code = self.process.poll()
        if code is not None:
            raise Broken(f"the server ended by itself, with {code}")

    async def ended(self, number: signal.Signals) -> int:
        """Send a signal that ends it, and return its exit code."""
        return await asyncio.to_thread(self._end, number)

    async def gone(self) -> int:
        """Wait until it has ended by itself, or kill it when it is late; return its exit code."""
        try:
            return await asyncio.to_thread(self._wait)
        except subprocess.TimeoutExpired:
            return self.process.returncode

    async def metrics(self) -> dict[str, float]:
        """Return its figures, by name; of buckets only those of the hub's delay. Raises Broken."""
        try:
            return await asyncio.to_thread(self.scrape)
        except OSError as error:
            raise Broken(f"the server does not tell its figures: {error!r}") from error

    def scrape(self) -> dict[str, float]:
        """Return the same at once. Raises OSError."""
        url = f"http://127.0.0.1:{self.port}/metrics"
        with urllib.request.urlopen(url, timeout=METRICS_SECONDS_MAX) as page:
            text = page.read().decode()
        return {
            f"{sample.name} {sample.labels.get('le', '')}".rstrip(): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if not sample.labels or family.name == "greenroom_hub_delay_seconds"
        }

    async def greenlets(self) -> int:
        """Return how many greenlets it has. Raises Broken."""
        path = self.folder / "greenlets"
        path.unlink(missing_ok=True)
        os.kill(self.pid, signal.SIGUSR1)
        try:
            await until(path.exists, GREENLETS_SECONDS_MAX)
        except TimeoutError as error:
            raise Broken("the server does not tell how many greenlets it has") from error
        return int(path.read_text())
