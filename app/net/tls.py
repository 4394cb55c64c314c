"""TLS: the certificate in use, and the handshake."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, cast

import gevent
import structlog
from cryptography import x509
from gevent import ssl

from app.bounds import CERTIFICATE_SECONDS_CONCERN, TLS_HANDSHAKE_SECONDS_MAX
from app.errors import StartRefused
from app.net.sockets import TlsSocket

if TYPE_CHECKING:
    from gevent.socket import socket

HTTP = "http/1.1"  # a client of HTTP asks for it in the handshake (ALPN)
# An alert that ends a handshake before it has begun (RFC 8446, 6): fatal, internal_error.
NO_HANDSHAKE = b"\x15\x03\x03\x00\x02\x02\x50"
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"  # of TLS 1.2; those of 1.3 are all as good
_CURVE = "prime256v1"  # all clients have it; ffdhe8192 would stop the hub for 0.1 s
_READABLE_BY_OTHERS = 0o004

log = structlog.get_logger()


class _Context(ssl.SSLContext):
    sslsocket_class = TlsSocket


class Tls:
    """Shakes hands with clients, under a certificate that can be replaced at any time."""

    def __init__(self, certificate: str, key: str) -> None:
        """Load the certificate and its key from files. Raises StartRefused."""
        self._certificate = certificate
        self._key = key or certificate
        self._names: frozenset[str] = frozenset()
        self._ends_at: float | None = None  # seconds since 1970; None where it can't be told
        self._context = self._load()

    def names(self) -> frozenset[str]:
        """Return the hosts that the certificate is for."""
        return self._names

    def seconds_left(self) -> float | None:
        """Return for how long the certificate is valid; less than 0 after its end."""
        return None if self._ends_at is None else self._ends_at - time.time()

    def reload(self) -> None:
        """Load the files again, for the next handshakes. Keep the old ones if they are bad."""
        try:
            self._context = self._load()
        except StartRefused as error:
            log.error("kept the old certificate", reason=str(error))  # noqa: TRY400 (one line)
        else:
            log.info("loaded the certificate", path=self._certificate)

    def shake_hands(self, client_socket: socket) -> TlsSocket:
        """Return a socket that speaks TLS, in place of this one. Switches. Raises OSError."""
        wrapped = cast(
            "TlsSocket",
            self._context.wrap_socket(
                client_socket, server_side=True, do_handshake_on_connect=False
            ),
        )
        wrapped.settimeout(None)
        try:
            with gevent.Timeout(TLS_HANDSHAKE_SECONDS_MAX, TimeoutError("took too long")):
                wrapped.do_handshake()
        except BaseException:
            wrapped.close()
            raise
        return wrapped

    def _load(self) -> _Context:
        for path in (self._certificate, self._key):
            _check_readable(Path(path))
        if Path(self._key).stat().st_mode & _READABLE_BY_OTHERS:
            log.warning("anybody on this machine can read the key; chmod 600 it", path=self._key)
        context = _Context(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(_CIPHERS)
        context.set_ecdh_curve(_CURVE)
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
        context.set_alpn_protocols([HTTP])
        try:
            context.load_cert_chain(self._certificate, self._key, self._refuse_to_ask)
        except ssl.SSLError as error:
            raise StartRefused(
                f"{self._certificate} and {self._key} are no certificate and its key, in PEM "
                f"({error.reason or error})"
            ) from error
        self._look_at(Path(self._certificate))
        return context

    def _look_at(self, path: Path) -> None:
        """Read a certificate's hosts and its end, and warn when that is near."""
        try:
            certificate = x509.load_pem_x509_certificates(path.read_bytes())[0]
            names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        except (ValueError, x509.ExtensionNotFound):  # OpenSSL takes more forms than this
            self._names, self._ends_at = frozenset(), None
            return
        self._names = frozenset(
            str(each.value).lower()
            for each in names.value
            if isinstance(each, x509.DNSName | x509.IPAddress)
        )
        ends, begins = certificate.not_valid_after_utc, certificate.not_valid_before_utc
        self._ends_at = ends.timestamp()
        if begins > datetime.now(UTC):
            log.warning("the certificate is not good yet", path=str(path), at=begins.isoformat())
        elif ends < datetime.now(UTC):
            log.warning("the certificate has run out", path=str(path), at=ends.isoformat())
        elif self._ends_at - time.time() < CERTIFICATE_SECONDS_CONCERN:
            log.warning("the certificate runs out soon", path=str(path), at=ends.isoformat())

    def _refuse_to_ask(self) -> NoReturn:
        raise StartRefused(f"the key {self._key} has a passphrase; store it without one")


def _check_readable(path: Path) -> None:
    try:
        path.open("rb").close()
    except OSError as error:
        raise StartRefused(f"can't read {path}: {error.strerror}") from error
