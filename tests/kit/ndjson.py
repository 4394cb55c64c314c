"""A line of the NDJSON wire, as bytes."""

import json


def request_line(op: str, **fields: object) -> bytes:
    """Return a request as it goes over the wire."""
    return json.dumps({"op": op, **fields}, ensure_ascii=False).encode() + b"\n"
