"""By which names the server is known over HTTP: nobody else's page reaches it by its own name."""

import socket

import pytest

from app.net.hosts import KnownHosts
from app.settings import Settings
from tests.kit.server_process import ServerProcess
from tests.kit.transfers import send_raw

SERVER_SETTINGS = {"PUBLIC_URL": "https://chat.example.org:8888", "WEB_HOSTS": "other.example"}
PATHS = ("/healthz", "/metrics", "/f/x", "/f/x/name", "/", "/nothing")


def _status(server: ServerProcess, request: str) -> int:
    answer = send_raw(server, request.replace("\n", "\r\n").encode() + b"\r\n\r\n")
    return int(answer.split(b" ", 2)[1])


# A request for a host that is not known is refused on each path, for each method, before anything
# else is looked at; so is one for none, but of HTTP/1.0 for /healthz.
@pytest.mark.parametrize("path", PATHS)
def test_unknown_hosts(server, path: str) -> None:
    for method in ("GET", "HEAD", "PUT", "POST"):
        for host in ("evil.example", "evil.example:80", "localhost.evil.example", "x_y"):
            head = f"{method} {path} HTTP/1.1\nHost: {host}\nConnection: close"
            assert _status(server, head) == 421
        two = f"{method} {path} HTTP/1.1\nHost: localhost\nHost: evil.example\nConnection: close"
        assert _status(server, two) in (400, 421)
        assert _status(server, f"{method} {path} HTTP/1.1\nConnection: close") == 400
    assert _status(server, f"GET {path} HTTP/1.0") == (200 if path == "/healthz" else 400)


# What is no host is refused as that, in Host as in a target in absolute form, whose host counts
# instead of the one in Host.
@pytest.mark.parametrize(
    ("host", "status"),
    [
        *[(host, 200) for host in ("127.0.0.1", "localhost:", "[::1]:65535", "LocalHost:0")],
        *[(host, 421) for host in ("evil.example", "evil.example:65535", "a,b", "300.1.1.1")],
        *[(host, 400) for host in ("127.0.0.1:99999", "localhost:+80", "localhost:1_0", "a:b")],
        *[(host, 400) for host in ("[::1", "::1", "[::1]x", "[x]", "u@localhost", ":80")],
    ],
)
def test_what_is_no_host(server, host: str, status: int) -> None:
    end = "HTTP/1.1\nConnection: close\nHost:"
    assert _status(server, f"GET /healthz {end} {host}") == status
    for scheme, path in [("http", "/healthz"), ("HTTPS", "/healthz?x=/y")]:
        for other in ("localhost", "evil.example"):
            assert _status(server, f"GET {scheme}://{host}{path} {end} {other}") == status
    if status == 200:
        assert _status(server, f"GET http://{host}?/healthz {end} {host}") == 404
        assert _status(server, f"GET http://{host}/healthz HTTP/1.1\nConnection: close") == 400
        assert _status(server, f"GET http://{host}/metrics HTTP/1.0") == 200


@pytest.mark.parametrize("host", ["a b", "a, localhost", "localhost/", "http://localhost"])
def test_what_is_no_host_in_a_header(server, host: str) -> None:
    assert _status(server, f"GET /healthz HTTP/1.1\nConnection: close\nHost: {host}") == 400


# The server's own names are known, with any port and in any spelling.
@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "192.0.2.7:80", "[::1]:8888", "localhost", "LocalHost.:1"),
        *(socket.gethostname(), "Chat.Example.org:8888", "chat.example.org", "other.example"),
    ],
)
def test_known_hosts(server, host: str) -> None:
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
