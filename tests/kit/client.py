"""A person at nc: types lines, and reads what comes back, exactly."""

import asyncio
import ctypes
import re
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

from app.values.addresses import short_path
from tests.kit.sockets import reset_on_close

WAIT_SECONDS_MAX = 60  # for what takes a moment, also on a busy machine: it will not come
_SO_ATTACH_FILTER, _BPF_RETURN = 26, 6  # of Linux, socket(7)
_TELNET_NOP = b"\xff\xf1"


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Look again and again until something holds that nobody is shown."""
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.01)


async def until(
    condition: Callable[[], object],
    seconds_max: float = WAIT_SECONDS_MAX,
    tell: Callable[[], str] = lambda: "waited in vain",
) -> float:
    """Likewise, and let others go on; return after how long. Raises TimeoutError."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds_max:
            raise TimeoutError(tell())
        await asyncio.sleep(0.005)
    return time.monotonic() - began


def all_see(clients: Iterable["Client"], *lines: str) -> None:
    """Check that the next lines of each are exactly these."""
    for client in clients:
        client.expect_lines(*lines)


def at_once(*acts: Callable[[], object]) -> None:
    """Do several things at the same moment, as near as threads come to that."""
    barrier = Barrier(len(acts))

    def wait_and(act: Callable[[], object]) -> None:
        barrier.wait()
        act()

    with ThreadPoolExecutor(len(acts)) as threads:
        for done in [threads.submit(wait_and, act) for act in acts]:
            done.result()


class Client:
    """A connection to a server, with what it received and nobody has looked at yet."""

    def __init__(
        self,
        port: int,
        *,
        receive_buffer_bytes: int = 0,
        source: str = "127.0.0.1",
        line_end: str = "\r\n",
        tls: ssl.SSLContext | None = None,
        control_path: Path | None = None,
    ) -> None:
        self._socket = socket.socket(socket.AF_UNIX if control_path else socket.AF_INET)
        self._socket.settimeout(WAIT_SECONDS_MAX)
        if receive_buffer_bytes:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        if control_path:
            with short_path(control_path) as name:
                self._socket.connect(name)
        else:
            self._socket.bind((source, 0))
            self._socket.connect(("127.0.0.1", port))
        if tls is not None:
            self._socket = tls.wrap_socket(
                self._socket, server_hostname="localhost", suppress_ragged_eofs=False
            )
        self.line_end = line_end  # of the server's lines; programs are sent LF alone
        self.received = b""
        self.everything = bytearray()  # whatever came, looked at or not
        self._has_spoken = False
        self.name = ""
        self.room = ""
        self.port = port

    def send(self, data: bytes) -> None:
        self._has_spoken = True
        self._socket.sendall(data)

    def send_urgent(self, data: bytes) -> None:
        """Send a byte as urgent data."""
        self._socket.send(data, socket.MSG_OOB)

    def send_some(self, data: bytes) -> int:
        """Send what can be sent without waiting, and return how much that was."""
        self._has_spoken = True
        self._socket.settimeout(0)
        try:
            return self._socket.send(data)
        except (BlockingIOError, ssl.SSLWantWriteError):
            return 0
        finally:
            self._socket.settimeout(WAIT_SECONDS_MAX)

    def type(self, *lines: str) -> None:
        """Send lines, each with its end."""
        self.send("".join(f"{line}\n" for line in lines).encode())

    def receive_through(self, wanted: bytes) -> bytes:
        """Read up to and including some bytes, and return what came before them."""
        while wanted not in self.received:
            self._receive_more(f"{wanted!r}")
        before, _, self.received = self.received.partition(wanted)
        return before

    def hears(self, wanted: bytes) -> bool:
        """Read until some bytes came, or the server is gone; say whether they came."""
        while wanted not in self.received:
            if not self._take_in():
                return False
        return True

    def expect(self, text: str) -> str:
        """Read up to and including a text, and return what came before it."""
        return self.receive_through(text.encode()).decode()

    def receive_exactly(self, count: int) -> bytes:
        """Read so many bytes."""
        while len(self.received) < count:
            self._receive_more(f"{count} bytes")
        data, self.received = self.received[:count], self.received[count:]
        return data

    def expect_line(self, pattern: str = ".*") -> str:
        """Read the next line, which must match a regular expression whole, and return it."""
        line = self.expect(self.line_end)
        assert re.fullmatch(pattern, line), f"expected {pattern!r}, got {line!r}"
        return line

    def expect_lines(self, *lines: str) -> None:
        """Read the next lines, which must be exactly these."""
        for line in lines:
            assert self.expect(self.line_end) == line

    def exchange(self, typed: str, *lines: str) -> None:
        """Type a line, and read the next lines, which must be exactly these."""
        self.type(typed)
        self.expect_lines(*lines)

    def expect_nothing_more(self) -> None:
        """Check that nothing came but the answer to a question that is asked now."""
        if self.line_end == "\n":
            self.type('{"id":"end","op":"ping"}')
            self.expect_lines('{"id":"end","ok":true,"sentence":"Pong."}')
            return
        self.type("/nothing-more")
        self.expect_lines("Error: unknown command /nothing-more. Try /help.")

    def catch_up(self) -> list[str]:
        """Return the lines that came until all that was typed up to now was answered."""
        self.type("/caught-up")
        return self.expect("Error: unknown command /caught-up. Try /help.\r\n").split("\r\n")[:-1]

    def receive_end(self) -> bytes:
        """Read until the server closes, and return what came before."""
        while self._take_in():
            pass
        data, self.received = self.received, b""
        return data

    def _take_in(self) -> bytes:
        """Read what comes next, and return it: nothing, when the server is gone."""
        try:
            data = self._socket.recv(65536)
        except ConnectionResetError:
            data = b""
        self.received += data
        self.everything += data
        return data

    def expect_end(self) -> str:
        """Read until the server closes, and return the text that came before."""
        return self.receive_end().decode()

    def register(self, name: str, password: str = "secret") -> "Client":
        """Make an account and log in; returns itself."""
        return self._enter("register", name, password)

    def log_in(self, name: str, password: str = "secret") -> "Client":
        """Log in; returns itself."""
        return self._enter("login", name, password)

    def _enter(self, word: str, name: str, password: str) -> "Client":
        self.expect("login: ")
        self.name = name
        self.type(f"/{word} {name} {password}")
        self.expect(f"Hello, {name}.")
        self.expect("\r\n")
        return self

    def join(self, room: str) -> "Client":
        """Enter a room, past its greeting; what is replayed stays to be read. Returns itself."""
        self.room = room
        self.type(f"/join {room}")
        self.expect(f"Welcome to room {room}!\r\n")
        self.expect_line("Current users: .*")
        return self

    def half_close(self) -> None:
        """Say that nothing more will be typed."""
        self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._socket.close()

    def reset(self) -> None:
        """Go without a goodbye, and without hearing one."""
        reset_on_close(self._socket)
        self._socket.close()

    def lose_network(self) -> None:
        """Let nothing of what is sent here arrive any more: it is not even acknowledged."""
        code = struct.pack("=HBBI", _BPF_RETURN, 0, 0, 0)  # a filter that drops whatever comes
        buffer = ctypes.create_string_buffer(code)
        program = struct.pack("HP", 1, ctypes.addressof(buffer))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)

    def greet(self) -> None:
        """Begin as some telnets do, with what means nothing: who is silent is let wait a while."""
        if not self._has_spoken:
            self.send(_TELNET_NOP)

    def _receive_more(self, what: str) -> None:
        self.greet()
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        try:
            data = self._take_in()
        except TimeoutError:
            data = b""
        late = time.monotonic() > deadline - 0.1
        assert data, f"waited for {what}; {'timed out' if late else 'closed'}: {self.received!r}"


class SilentClient(Client):
    """A person at nc, which sends nothing by itself."""

    def greet(self) -> None:
        pass
