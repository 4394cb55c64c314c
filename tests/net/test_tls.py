"""TLS on the port of everybody else: the same chat, and a certificate that can be exchanged."""

import datetime
import hashlib
import http.client
import os
import signal
import socket
import ssl
import stat
import warnings
from collections.abc import Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import gevent
import pytest
import structlog
from click.testing import CliRunner
from cryptography.hazmat.primitives import serialization
from gevent import socket as cooperative

from app.cli import main
from app.errors import StartRefused
from app.net.tls import Tls
from tests.attacks.test_connections import client_hello
from tests.kit.client import WAIT_SECONDS_MAX, SilentClient, all_see, wait_until
from tests.kit.commands import refused
from tests.kit.server_process import ServerProcess, manage
from tests.kit.transfers import send_raw

OUTBOX_BYTES_MAX = 300_000
OTHER_HOST = "chat.example.org"


def _make_certificate(folder: Path, *options: str) -> str:
    """Make a certificate and its key, and return the fingerprint that is printed."""
    result = CliRunner().invoke(main, ["selfsigned", "--directory", str(folder), *options])
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-2].startswith("for: localhost, 127.0.0.1, ::1")
    return result.stdout.splitlines()[-1].removeprefix("SHA-256 fingerprint: ")


def _paths(folder: Path) -> dict[str, Path]:
    return {"TLS_CERT": folder / "tls-cert.pem", "TLS_KEY": folder / "tls-key.pem"}


@pytest.fixture(scope="module", autouse=True)
def folder(request, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the certificate of the module's server is."""
    folder = tmp_path_factory.mktemp("tls")
    _make_certificate(folder)
    request.module.SERVER_SETTINGS = {**_paths(folder), "OUTBOX_BYTES_MAX": OUTBOX_BYTES_MAX}
    return folder


@pytest.fixture
def tls(folder: Path) -> ssl.SSLContext:
    """What a client trusts: the certificate that is there now, and nothing else."""
    return ssl.create_default_context(cafile=folder / "tls-cert.pem")


@pytest.fixture
def own_address() -> str:
    """An address of this machine that is not loopback; nothing is sent to find it."""
    with socket.socket(type=socket.SOCK_DGRAM) as probe:
        with suppress(OSError):
            probe.connect(("192.0.2.1", 9))
        address = probe.getsockname()[0]
    if address.startswith(("127.", "0.")):
        pytest.skip("this machine has no address but loopback")
    return address


def _fingerprint(server: ServerProcess) -> str:
    """Return the fingerprint of the certificate that a newcomer is shown."""
    context = ssl._create_unverified_context()
    plain = socket.create_connection(("127.0.0.1", server.port), 10)
    with context.wrap_socket(plain) as wrapped:
        return hashlib.sha256(wrapped.getpeercert(binary_form=True)).digest().hex(":").upper()


# Inside TLS it is the same chat, in the same rooms, for people and for programs.
def test_chat(server, new_name, tls: ssl.SSLContext) -> None:
    room = new_name("room")
    plain = server.connect().register(new_name("plain")).join(room)
    secret = server.connect(tls=tls).register(new_name("secret")).join(room)
    plain.expect_lines(f"{secret.name} has joined the room.")
    for talker in (plain, secret):
        talker.type("hello")
        all_see((plain, secret), f"{talker.name}: hello")
    secret.close()
    plain.expect_lines(f"{secret.name} has disconnected.")
    server.program(tls=tls).log_in(plain.name).join(room).say("hello")
    plain.expect_lines(f"{plain.name}: hello")


# What a client sends at once, in one record as large as there are, is all carried out.
def test_a_whole_record_at_once(server, new_name, tls: ssl.SSLContext) -> None:
    name = new_name("quick")
    client = server.connect(tls=tls)
    lines = [f"/register {name} secret", f"/join {new_name('room')}", *map(str, range(3300))]
    data = "".join(f"{line}\n" for line in lines).encode()
    assert len(data) < 16384
    client.send(data.ljust(16384, b"\n"))
    for number in range(3300):
        client.expect(f"{name}: {number}\r\n")
    client.expect_nothing_more()


# The end of a session is told as TLS has it, so that its client knows that nothing was cut off.
def test_a_clean_end(server, tls: ssl.SSLContext) -> None:
    client = server.connect(tls=tls)
    client.type("/quit")
    assert client.expect_end().endswith("Goodbye.\r\n")  # an end that is not clean would raise


# Who stops reading is cut as without TLS: what it gets is whole, in order, and says why at the end.
def test_a_slow_reader(server, new_name, tls: ssl.SSLContext) -> None:
    bodies = [f"{number} " + "x" * (number * 97 % 4000) for number in range(10_000)]
    room = new_name("room")
    talker = server.connect().register(new_name("talker")).join(room)
    slow = server.connect(tls=tls, receive_buffer_bytes=4096).register(new_name("slow")).join(room)
    talker.expect_lines(f"{slow.name} has joined the room.")
    count, gone = 0, f"{slow.name} has disconnected."
    while gone not in talker.catch_up():
        assert count < len(bodies)
        talker.type(*bodies[count : count + 50])
        count += 50
    *lines, last, end = slow.expect_end().split("\r\n")
    why = f"Error: you left over {OUTBOX_BYTES_MAX} bytes unread; come back and read on"
    assert (last, end) == (why, "")
    assert lines == [f"{talker.name}: {body}" for body in bodies[: len(lines)]]
    assert 0 < len(lines) < count


# HTTP comes in TLS as well, whether it was announced in the handshake or not.
@pytest.mark.parametrize("alpn", [["http/1.1"], ["h2", "http/1.1"], ["h2"], []])
def test_http(server, tls: ssl.SSLContext, alpn: list[str]) -> None:
    if alpn:
        tls.set_alpn_protocols(alpn)
    opened = http.client.HTTPSConnection("localhost", server.port, timeout=60, context=tls)
    with closing(opened) as connection:
        for _ in range(2):
            connection.request("GET", "/healthz")
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (200, b"ok\n")


# Who says in the handshake that HTTP follows may take its time, as browsers do.
def test_a_connection_made_in_advance(server, tls: ssl.SSLContext) -> None:
    tls.set_alpn_protocols(["http/1.1"])
    browser = server.connect(tls=tls)
    person = SilentClient(server.port, tls=ssl._create_unverified_context())
    person.expect("login: ")  # so the browser would have been greeted too
    person.close()
    browser.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert browser.receive_through(b" 200 OK\r\n") == b"HTTP/1.1"


# Who is banned by address is sent away in TLS as without it, and told so there when they come back.
def test_a_banned_address(server, tls: ssl.SSLContext) -> None:
    there, sentence = "127.0.0.9", "your address is banned from this server"
    healthz = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    person = server.newcomer(tls=tls, source=there)
    visitor = server.connect(tls=tls, source=there)
    visitor.send(healthz)
    visitor.expect("ok\n")
    server.operate("server.ban", target=there)
    assert person.expect_end() == f"Error: {sentence}\r\n"
    with suppress(ssl.SSLError):  # it is broken off
        assert visitor.receive_end() == b""
    told = partial(send_raw, server, tls=tls, source=there)
    assert told(b"hello\n").decode() == f"Error: {sentence}\r\n"
    answer = told(healthz).decode()
    assert answer.startswith("HTTP/1.1 403 Forbidden\r\n")
    assert answer.endswith(f"{sentence}\n")
    server.operate("server.unban", target=there)


# Nothing older than TLS 1.2 is spoken.
def test_old_versions(server) -> None:
    context = ssl._create_unverified_context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError, match="ALERT_PROTOCOL_VERSION"):
        server.connect(tls=context)


# What is no handshake, or none that can be agreed upon, is closed, with one line in the log.
@pytest.mark.parametrize(
    ("data", "source"),
    [
        (client_hello()[:100] + b"\r\n/login bob s3cret\r\n" * 99, "127.0.0.8"),
        (b"\x16\x03\x01\0\x05hello\n", "127.0.0.9"),
    ],
    ids=["text after half a hello", "no hello"],
)
def test_broken_handshakes(server, data: bytes, source: str) -> None:
    stranger = server.connect(source=source)
    stranger.send(data)
    stranger.receive_end()
    wait_until(lambda: source in server.log, "it is logged")
    (record,) = (line for line in server.log.splitlines() if source in line)
    assert "TLS handshake failed" in record
    assert "s3cret" not in server.log


# A handshake has its time, no matter how much of it comes.
@pytest.mark.parametrize("length", [1, 100])
def test_half_a_handshake(folder: Path, monkeypatch, length: int) -> None:
    monkeypatch.setattr("app.net.tls.TLS_HANDSHAKE_SECONDS_MAX", 0.05)
    near, far = cooperative.socketpair()
    far.sendall(client_hello()[:length])
    with gevent.Timeout(WAIT_SECONDS_MAX), pytest.raises(TimeoutError, match="took too long"):
        Tls(*map(str, _paths(folder).values())).shake_hands(near)
    assert far.recv(100) == b""
    far.close()


# On SIGHUP newcomers are shown the new certificate, and those who are here go on; files that are no
# good leave everything as it is, and are told of in the log.
def test_reload(server, folder: Path, tls: ssl.SSLContext, new_name) -> None:
    alice = server.connect(tls=tls).register(new_name("alice")).join(new_name("room"))
    old = _fingerprint(server)
    new = _make_certificate(folder, "--force")
    assert _fingerprint(server) == old
    server.process.send_signal(signal.SIGHUP)
    wait_until(lambda: _fingerprint(server) == new, "the certificate is the new one")
    (folder / "tls-cert.pem").write_text("no certificate")
    server.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "kept the old certificate" in server.log, "the bad one is told of")
    assert _fingerprint(server) == new != old
    alice.exchange("still here", f"{alice.name}: still here")
    _make_certificate(folder, "--force")
    server.process.send_signal(signal.SIGHUP)
    wait_until(lambda: server.log.count("loaded the certificate") == 2, "it is loaded")


# Where TLS is required, passwords that come from elsewhere in the clear are not looked at, right or
# wrong, nor asked for; the answer says what to do. From this machine, or in TLS, all is as ever.
def test_required(start_server, folder: Path, tls: ssl.SSLContext, own_address: str) -> None:
    server = start_server(**_paths(folder), REQUIRE_TLS="true")
    server.connect().register("alice")
    what_to_do = "openssl s_client -quiet -connect HOST:PORT, to this same port"
    outsider = server.connect(source=own_address)
    outsider.expect("Logging in needs TLS: openssl s_client")
    for line in ("/login alice secret", "/login alice wrong", "/register bob secret", "alice"):
        outsider.expect("login: ")
        outsider.exchange(line, f"Error: log in over TLS: {what_to_do}")
    server.connect(source=own_address, tls=tls).log_in("alice")


# Whatever is wrong with the files is said in one line when the server starts.
def test_bad_files(folder: Path, tmp_path) -> None:
    _make_certificate(tmp_path / "other")
    certificate, key = map(str, _paths(folder).values())
    other_key, encrypted = _paths(tmp_path / "other")["TLS_KEY"], tmp_path / "encrypted"
    loaded = serialization.load_pem_private_key(other_key.read_bytes(), None)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
    passphrase = serialization.BestAvailableEncryption(b"secret")
    encrypted.write_bytes(loaded.private_bytes(*form, passphrase))
    for given, why in [
        ((certificate, str(other_key)), r"no certificate and its key, in PEM \(KEY_VALUES_MISM"),
        ((certificate, ""), "no certificate and its key"),
        ((key, certificate), "no certificate and its key"),
        ((certificate, str(tmp_path / "none")), f"can't read {tmp_path}/none: No such file"),
        ((str(tmp_path), key), "can't read .*: Is a directory"),
        ((certificate, str(encrypted)), "has a passphrase"),
    ]:
        with pytest.raises(StartRefused, match=why):
            Tls(*given)
    told = refused(manage(tmp_path, "runserver", "0", TLS_CERT=tmp_path / "none"))
    assert told == f"can't read {tmp_path}/none: No such file or directory"


@pytest.fixture
def records() -> Iterator[list[dict[str, object]]]:
    with structlog.testing.capture_logs() as captured:
        yield captured


# A key that others can read is used, but its owner is told.
def test_a_readable_key(tmp_path, records: list[dict[str, object]]) -> None:
    _make_certificate(tmp_path)
    certificate, key = map(str, _paths(tmp_path).values())
    Tls(certificate, key)
    assert records == []
    os.chmod(key, 0o644)
    Tls(certificate, key)
    (record,) = records
    assert (record["log_level"], record["path"]) == ("warning", key)


# A certificate is made for this machine and for the hosts that are named; its key is its owner's
# alone; and none is ever replaced by accident.
def test_selfsigned(tmp_path) -> None:
    hosts = f"https://{OTHER_HOST}/,b.example:8888"
    _make_certificate(tmp_path / "new", "--host", hosts, "--host", "192.0.2.7", "--host", "[::2]")
    certificate, key = _paths(tmp_path / "new").values()
    names = ssl._ssl._test_decode_cert(str(certificate))["subjectAltName"]
    named = ("localhost", "127.0.0.1", OTHER_HOST, "b.example", "192.0.2.7", "0:0:0:0:0:0:0:2")
    assert {name for _, name in names} >= set(named)
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    before = key.read_bytes(), certificate.read_bytes()
    for options, why in [
        (["--directory", str(tmp_path / "new")], f"{key} exists; --force replaces it"),
        (["--directory", str(certificate / "x")], f"can't write {certificate}/x"),
        (["--host", "a..b"], "a..b is neither a name of a host nor an address"),
        (["--host", "x,a b"], "a b is neither a name of a host nor an address"),
        (["--host", "0.0.0.0"], "0.0.0.0 is no address that a client uses"),
    ]:
        assert refused(CliRunner().invoke(main, ["selfsigned", *options])).startswith(why)
    assert (key.read_bytes(), certificate.read_bytes()) == before
    _make_certificate(tmp_path / "new", "--force")
    assert key.read_bytes() != before[0]


# A certificate that has run out, or soon will, or is not good yet, is told of when it is loaded.
# How long it is good is known, and so are the hosts that it is for.
@pytest.mark.parametrize(
    ("days", "skew_days", "event"),
    [
        (-1, 2, "the certificate has run out"),
        (13, 2, "the certificate runs out soon"),
        (15, 2, ""),
        (365, -1, "the certificate is not good yet"),
    ],
)
def test_a_certificate_that_runs_out(
    tmp_path, records, monkeypatch, days: int, skew_days: int, event: str
) -> None:
    monkeypatch.setattr("app.net.selfsigned.SELFSIGNED_DAYS", days)
    monkeypatch.setattr("app.net.selfsigned._CLOCK_SKEW", datetime.timedelta(days=skew_days))
    _make_certificate(tmp_path, "--host", OTHER_HOST)
    tls = Tls(*map(str, _paths(tmp_path).values()))
    assert [record["event"] for record in records] == ([event] if event else [])
    assert abs(tls.seconds_left() - days * 86_400) < 3_600
    assert tls.names() == {"localhost", "127.0.0.1", "::1", OTHER_HOST}


# The line that says how to connect says how to do so with TLS.
def test_how_to_connect(server) -> None:
    hint = f"(or: nc 127.0.0.1 {server.port}; with TLS: openssl s_client -quiet -connect "
    assert server.process.stdout.readline().startswith(hint)
