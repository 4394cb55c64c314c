"""The pulse: measures how long greenlets wait, and tells systemd that the server lives.

Its promises:
  1. It sleeps a moment, again and again. How late it wakes is how long all others waited.
  2. Once a second it takes a snapshot of the counters, for the figures of the last minute.
  3. Only a greenlet of its own waits for the disk.
  4. It tells systemd that it lives only while it beats, so a server that hangs is started again.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from math import inf
from typing import TYPE_CHECKING

import gevent
import structlog

from app.bounds import DISK_SECONDS, PULSE_SECONDS, SNAPSHOT_SECONDS
from app.measures import metrics
from app.values.sizes import parse_whole

if TYPE_CHECKING:
    from app.chat.server.status import Status

log = structlog.get_logger()


class Notifier:
    """Tells the service manager, if there is one, how the server is (sd_notify(3))."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Read its address, and how often it wants a sign of life."""
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        is_meant = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        microseconds = (parse_whole(environment.get("WATCHDOG_USEC", "")) or 0) if is_meant else 0
        self.seconds = microseconds / 1e6 / 2  # between signs of life; 0: none are wanted

    def tell(self, state: str) -> None:
        """Send a state: READY=1, STOPPING=1, WATCHDOG=1. Never switches, and never fails."""
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.setblocking(False)
                sender.sendto(state.encode(), self._address)
        except OSError as error:
            log.warning("can't tell the service manager", state=state, reason=str(error))


class Pulse:
    """Beats ten times a second. Times are of time.monotonic."""

    def __init__(self, status: Status, notifier: Notifier) -> None:
        self._status = status
        self._notifier = notifier
        self._snapshot_at = self._sign_at = -inf
        self._greenlets: list[gevent.Greenlet[[], None]] = []

    def start(self) -> None:
        """Begin to beat, and say that the server is ready. Never switches."""
        self._greenlets = [gevent.spawn(self._run), gevent.spawn(self._look_at_disk)]
        self._notifier.tell("READY=1")

    def stop(self) -> None:
        """Say that the server is stopping, and stop beating. Never switches."""
        self._notifier.tell("STOPPING=1")
        gevent.killall(self._greenlets, block=False)  # none of them writes to the database

    def beat(self, slept_at: float, now: float) -> None:
        """Note the delay of this beat, whose sleep began at `slept_at`."""
        delay = max(0.0, now - slept_at - PULSE_SECONDS)
        metrics.HUB_DELAY.observe(delay)
        self._status.last_minute.note_delay(now, delay)
        if now - self._snapshot_at >= SNAPSHOT_SECONDS:
            self._snapshot_at = now
            self._status.last_minute.note(now, metrics.snapshot())
        if self._notifier.seconds and now - self._sign_at >= self._notifier.seconds:
            self._sign_at = now
            self._notifier.tell("WATCHDOG=1")

    def _run(self) -> None:
        while True:
            slept_at = time.monotonic()
            gevent.sleep(PULSE_SECONDS)
            self.beat(slept_at, time.monotonic())

    def _look_at_disk(self) -> None:
        while True:
            self._status.look_at_disk()
            gevent.sleep(DISK_SECONDS)
