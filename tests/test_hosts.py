"""By which names the server is known over HTTP: nobody else's page reaches it by its own name."""

import socket

import pytest

from app.net.hosts import KnownHosts
from app.settings import Settings
from tests.server_process import ServerProcess

SERVER_SETTINGS = {"PUBLIC_URL": "https://chat.example.org:8888", "WEB_HOSTS": "other.example"}
PATHS = ("/healthz", "/metrics", "/f/x", "/f/x/name", "/", "/nothing")


def _status(server: ServerProcess, request: str) -> int:
    client = server.connect()
    client.send(request.replace("\n", "\r\n").encode() + b"\r\n\r\n")
    return int(client.receive_end().split(b" ", 2)[1])


# A request for a host that is not known is refused on each path, for each method, before anything
# else is looked at; so is one for none, but of HTTP/1.0 for /healthz.
@pytest.mark.parametrize("path", PATHS)
def test_unknown_hosts(server: ServerProcess, path: str) -> None:
    for method in ("GET", "HEAD", "PUT", "POST"):
        for host in ("evil.example", "evil.example:80", "localhost.evil.example", "a, localhost"):
            head = f"{method} {path} HTTP/1.1\nHost: {host}\nConnection: close"
            assert _status(server, head) == 421
        two = f"{method} {path} HTTP/1.1\nHost: localhost\nHost: evil.example\nConnection: close"
        assert _status(server, two) in (400, 421)
        assert _status(server, f"{method} {path} HTTP/1.1\nConnection: close") == 400
    assert _status(server, f"GET {path} HTTP/1.0") == (200 if path == "/healthz" else 400)


# The server's own names are known, with any port and in any spelling.
@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "192.0.2.7:80", "[::1]:8888", "localhost", "LocalHost.:1"),
        *(socket.gethostname(), "Chat.Example.org:8888", "chat.example.org", "other.example"),
    ],
)
def test_known_hosts(server: ServerProcess, host: str) -> None:
    assert _status(server, f"GET /healthz HTTP/1.1\nHost: {host}\nConnection: close") == 200


# So are those of the certificate, as of now; a star stands for one label.
def test_hosts_of_the_certificate() -> None:
    certified = {"a.example", "*.b.example"}
    hosts = KnownHosts(Settings(), lambda: certified)

    def is_known(host: str) -> bool:
        request = {"HTTP_HOST": host, "SERVER_PROTOCOL": "HTTP/1.1", "PATH_INFO": "/"}
        return hosts.refusal(request) is None

    assert all(map(is_known, ("a.example", "x.b.example")))
    assert not any(map(is_known, ("b.example", "x.y.b.example", "x.a.example")))
    certified.discard("a.example")
    assert not is_known("a.example")
