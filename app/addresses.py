"""Addresses as people write them: `[HOST:]PORT`."""

import re


def parse_address(text: str) -> tuple[str, int]:
    """Split `[HOST:]PORT` (an IPv6 host in brackets); the host defaults to loopback.

    Raises ValueError.
    """
    host, _, port = text.rpartition(":")
    if not re.fullmatch(r"\d{1,5}", port, re.ASCII) or int(port) > 65_535:
        raise ValueError(f"not an address: {text!r}; expected [HOST:]PORT, like 127.0.0.1:8888")
    return host.removeprefix("[").removesuffix("]") or "127.0.0.1", int(port)
