"""The server's process: puts its parts together, and runs until a signal."""

import os
import signal
import sys
from contextlib import closing

import click
import gevent
import structlog
from gevent.event import Event as Signal
from gevent.socket import socket

from app import log as logging
from app.bounds import SWITCH_INTERVAL_SECONDS
from app.chat.service import Service
from app.database.database import Database
from app.database.opening import open_database
from app.net.control import Control
from app.net.garbage import keep_collections_short
from app.net.listener import listen
from app.net.pulse import Notifier, Pulse
from app.net.server import Server, connections_possible
from app.net.sockets import format_address
from app.net.tls import Tls
from app.settings import Settings, unknown_settings
from app.values.times import now

log = structlog.get_logger()


def run(settings: Settings) -> None:
    """Serve until SIGTERM, SIGINT or `manage.py shutdown`. A second signal exits at once.

    Raises StartRefused.
    """
    logging.wait_for_nobody()
    logging.configure(settings.log_format)
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    gevent.config.track_greenlet_tree = False  # 200 bytes each, and some time
    # First, so that too few descriptors or a taken port cost the database nothing.
    connections_max = connections_possible(settings.connections_max)
    with closing(listen(settings.listen, settings.keepalive_seconds)) as listener:
        _serve(settings, listener, connections_max)


def _serve(settings: Settings, listener: socket, connections_max: int) -> None:
    tls = Tls(settings.tls_cert, settings.tls_key) if settings.tls_cert else None
    lock = open_database(settings.url, log.info)
    database = Database(settings.url, settings.durability, lock.held)
    service = Service(database, settings, now)
    service.status.unknown_settings = unknown_settings()
    for name, meant in service.status.unknown_settings.items():
        log.warning("that is no setting", name=name, meant=meant or None)
    if tls is not None:
        service.status.certificate_seconds = tls.seconds_left
    server = Server(listener, service, settings, connections_max, tls)
    control = Control(settings.control_path, service, settings)
    _catch_signals(service.shutdown.is_due, tls)
    pulse = Pulse(service.status, Notifier(os.environ))
    server.start()
    control.start()
    pulse.start()
    _say_how_to_connect(format_address(listener.getsockname()), is_tls=tls is not None)
    keep_collections_short()
    service.shutdown.is_due.wait()
    log.info("stopping")
    pulse.stop()
    control.stop()
    server.stop()
    lock.release()
    log.info("stopped")


def _say_how_to_connect(address: str, *, is_tls: bool) -> None:
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    click.echo(f"Greenroom listens on {address}. In another terminal: telnet {host} {port}")
    with_tls = f"; with TLS: openssl s_client -quiet -connect {host}:{port}" if is_tls else ""
    click.echo(f"(or: nc {host} {port}{with_tls}). Ctrl-C stops it.")
    sys.stdout.flush()


def _catch_signals(is_due: Signal, tls: Tls | None) -> None:
    """Set `is_due` at SIGTERM or SIGINT, and end the process at a second one.

    SIGHUP loads the certificate again. Without a certificate it stops the server, as by default;
    but not under nohup, nor under systemd. There is no terminal to lose there, and `systemctl
    reload` sends it.
    """
    received = Signal()

    def stop() -> None:
        if received.is_set():
            os._exit(1)
        received.set()
        is_due.set()

    if signal.getsignal(signal.SIGTERM) is signal.SIG_IGN:
        is_due.set()  # one came before, and its exception was lost in a finalizer
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, stop)
    if tls is not None:
        gevent.signal_handler(signal.SIGHUP, tls.reload)
    elif "NOTIFY_SOCKET" in os.environ:
        gevent.signal_handler(signal.SIGHUP, lambda: log.info("nothing to load anew"))
    elif signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        gevent.signal_handler(signal.SIGHUP, stop)
