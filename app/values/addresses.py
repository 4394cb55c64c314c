"""Addresses to listen at and to reach, hosts, paths, Unix sockets."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from pathlib import Path

from app.values.sizes import parse_whole

UNIX_PATH_BYTES_MAX = 100  # of a Unix socket: kernels' limits lie between 103 and 107
PORT_MAX = 65_535
_HOST_CHARS_MAX = 253  # of a name (RFC 1035)
LOOPBACK, PORT = "127.0.0.1", 8888  # where a server listens by default
_SERVER = re.compile(r"(?:\[([^\s\[\]/@]+)\]|([^\s\[\]:/@]*))(?::(\d{0,9}))?", re.ASCII)
_LABEL = re.compile(r"[a-z0-9_-]{1,63}", re.ASCII)


def parse_address(text: str) -> tuple[str, int]:
    """Split `[HOST:]PORT` (an IPv6 host in brackets); the host defaults to loopback.

    Raises ValueError.
    """
    host, _, port = text.rpartition(":")
    number = parse_whole(port)
    if number is None or number > PORT_MAX or host.startswith("[") != host.endswith("]"):
        raise ValueError(f"not an address: {text!r}; expected [HOST:]PORT, like 127.0.0.1:8888")
    return host.removeprefix("[").removesuffix("]") or LOOPBACK, number


def parse_server(text: str) -> tuple[str, int]:
    """Split `[HOST][:PORT]`, or a port, of a server to reach. Missing parts get defaults.

    Raises ValueError.
    """
    with suppress(ValueError):
        return str(ip_address(text)), PORT
    match = _SERVER.fullmatch(text)
    bracketed, host, port = match.groups() if match else ("", "", "")
    if host and port is None and parse_whole(host) is not None:
        host, port = "", host
    if not (bracketed or host or port):
        expected = "expected [HOST][:PORT], like chat.example.org:8888"
        raise ValueError(f"not an address: {text!r}; {expected}")
    number = parse_whole(port) if port else PORT
    if not number or number > PORT_MAX:
        raise ValueError(f"not a port: {port}; it is a number from 1 to 65535")
    return bracketed or host or LOOPBACK, number


def parse_host(text: str) -> str:
    """Return a host's name or address in its form for comparing.

    It takes `https://HOST/`, `HOST:PORT`, `[ADDRESS]:PORT`, and a name in letters of any script.
    Raises ValueError.
    """
    host = text.strip().lower().removeprefix("https://").removeprefix("http://").removesuffix("/")
    if bracketed := re.fullmatch(r"\[([0-9a-f:.]+)\](:\d{1,5})?", host, re.ASCII):
        return str(ip_address(bracketed[1]))
    if host.count(":") == 1:
        host = re.sub(r":\d{1,5}$", "", host, flags=re.ASCII)
    try:
        if "%" not in host:  # an interface's name has a meaning on this machine alone
            return str(ip_address(host))
    except ValueError:
        pass
    return _parse_host_name(host.removesuffix("."), text)


def _parse_host_name(name: str, text: str) -> str:
    if len(name) <= _HOST_CHARS_MAX:  # a longer one could take long
        try:
            labels = name.encode("idna").decode().split(".")
        except UnicodeError:
            labels = []
        if labels[:1] == ["*"] and len(labels) > 2:
            labels[0] = "any"  # of a certificate: any one label
            name = f"*.{'.'.join(labels[1:])}"
        elif labels:
            name = ".".join(labels)
        if labels and all(map(_LABEL.fullmatch, labels)) and not labels[-1].isdigit():
            return name
    raise ValueError(f"not a host: {text!r}; expected a name or an address, like chat.example.org")


def expand_home(path: str | Path) -> str:
    """Replace `~` with the home folder, as a shell does. Raises ValueError."""
    expanded = os.path.expanduser(path)
    if expanded.startswith("~"):
        whose = expanded.split("/")[0]
        raise ValueError(f"{whose} is nobody's home folder; a folder of that name is ./{whose}")
    return expanded


@contextmanager
def short_path(path: Path) -> Iterator[str]:
    """Give a Unix socket's path a name within the kernel's limit.

    Raises OSError when its folder can't be opened.
    """
    if len(os.fsencode(path)) <= UNIX_PATH_BYTES_MAX:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
