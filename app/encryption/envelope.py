"""Pad messages, so that their lengths say little. Pure.

4 bytes: the length of the JSON | the JSON | zero bytes, up to a multiple of 256
"""

from app.encryption.payloads import BODY_BYTES_MAX, Envelope, parse
from app.encryption.refusals import Malformed, TooLong

PADDED_BYTES = 256
_LENGTH_BYTES = 4
_WHAT = "an encrypted message"


def pack(envelope: Envelope) -> bytes:
    """Return the bytes to encrypt. Raises TooLong."""
    data = envelope.dump().encode()
    if len(envelope.body.encode() if envelope.body else b"") > BODY_BYTES_MAX:
        raise TooLong(bytes_max=BODY_BYTES_MAX)
    framed = len(data).to_bytes(_LENGTH_BYTES, "big") + data
    return framed + bytes(-len(framed) % PADDED_BYTES)


def unpack(padded: bytes) -> Envelope:
    """Read a decrypted message. Raises Malformed."""
    length = int.from_bytes(padded[:_LENGTH_BYTES], "big")
    end = _LENGTH_BYTES + length
    if len(padded) % PADDED_BYTES or len(padded) - end not in range(PADDED_BYTES):
        raise Malformed(what=_WHAT)
    if any(padded[end:]):
        raise Malformed(what=_WHAT)
    try:
        text = padded[_LENGTH_BYTES:end].decode()
    except UnicodeDecodeError as error:
        raise Malformed(what=_WHAT) from error
    envelope = parse(Envelope, text, _WHAT)
    if (envelope.t == "file") != (envelope.file is not None and envelope.body is None):
        raise Malformed(what=_WHAT)
    if envelope.t != "file" and envelope.body is None:
        raise Malformed(what=_WHAT)
    return envelope
