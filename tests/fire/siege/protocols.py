"""What is not spoken here (Ergo 2239, ngIRCd 343)."""

from tests.fire.chaos.strangers import client_hello
from tests.fire.siege import attackers
from tests.fire.siege.siege import Scene, Siege

EACH = 20  # connections that speak it, all at once
CLOSED_SECONDS_MAX = 1.0
STAY_SECONDS = 5.0
_GREETINGS = {
    "a request of HTTP": b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    "a form of HTTP": b"POST /login HTTP/1.0\r\nContent-Length: 8\r\n\r\nname=bob",
    "WebDAV": b"PROPFIND / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a ClientHello, where there is no TLS": client_hello(),
}


def speak_otherwise(siege: Siege) -> None:
    """Say what belongs to another port."""
    for what, greeting in _GREETINGS.items():
        expect_closed(siege, what, greeting)


def expect_closed(siege: Siege, what: str, greeting: bytes) -> None:
    """Want all who greet so to be closed, and to leave a record each in the log at most."""
    records = siege.server.log.count("\n")
    said, silent = [greeting] * EACH, [b""] * EACH
    ends = siege.attack(attackers.stall, said, silent, STAY_SECONDS).result()
    closed = [end.seconds for end in ends if end]
    siege.findings.equal(f"{what}: closed, of {EACH}", len(closed), EACH)
    siege.findings.at_most(
        f"{what}: closed after", max(closed, default=STAY_SECONDS), CLOSED_SECONDS_MAX, "s"
    )
    records = siege.server.log.count("\n") - records
    siege.findings.at_most(f"{what}: records in the log", records, EACH, "")


SCENE = Scene("protocols", "HTTP, TLS and others where none is spoken", speak_otherwise)
