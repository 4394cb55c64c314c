"""Addresses to listen at and to reach: `[HOST:]PORT` as people write it, paths of Unix sockets."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

UNIX_PATH_BYTES_MAX = 100  # of a Unix socket: what kernels take ends between 103 and 107


def parse_address(text: str) -> tuple[str, int]:
    """Split `[HOST:]PORT` (an IPv6 host in brackets); the host defaults to loopback.

    Raises ValueError.
    """
    host, _, port = text.rpartition(":")
    if not re.fullmatch(r"\d{1,5}", port, re.ASCII) or int(port) > 65_535:
        raise ValueError(f"not an address: {text!r}; expected [HOST:]PORT, like 127.0.0.1:8888")
    return host.removeprefix("[").removesuffix("]") or "127.0.0.1", int(port)


@contextmanager
def short_path(path: Path) -> Iterator[str]:
    """Give a name of a Unix socket's path that fits what the kernel takes, however long it is.

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
