"""Shapes of payloads that clients encrypt or send each other. Pure.

They are made like those of app/protocol/signed.py. A payload of another shape is Malformed.
"""

from __future__ import annotations

import json
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from app.encryption.refusals import Malformed
from app.errors import BadNameError
from app.protocol.signed import (
    AnyShape,
    DeviceId,
    Key,
    Shape,
    Short,
    UserKey,
    check_name,
    read_payload,
)
from app.values.names import parse_name

BODY_BYTES_MAX = 16 << 10  # of a text; the server bounds the line of the wire
FILE_NAME_CHARS_MAX = 1_024  # four times what a file system holds
FILE_TYPE_CHARS_MAX = 100  # such as application/pdf
CONTROL_BYTES_MAX = 32 << 10  # of a message from device to device
TS_MAX = 32_503_680_000_000  # the year 3000, in ms: calendars can't show later ones
SESSION_KEY_CHARS_MAX = 512  # 306, as base64 of the library's form


def _check_room(text: str) -> str:
    for name in text.removeprefix("@").split(",") if text.startswith("@") else [text]:
        check_name(name)
    return text


def user_key(name: str) -> str:
    """Return a user's or room's name, folded to compare it. Raises Malformed."""
    try:
        return parse_name(name).key
    except BadNameError as error:
        raise Malformed(what="a name") from error


def private_room(one: str, other: str) -> str:
    """Return the room of the private conversation of two users. Raises Malformed."""
    return "@" + ",".join(sorted({user_key(one), user_key(other)}))


def room_key_of(name: str) -> str:
    """Return a room's name, folded to compare it.

    `@one,other` is a private conversation. Raises Malformed.
    """
    if not name.startswith("@"):
        return user_key(name)
    one, _, other = name[1:].partition(",")
    return private_room(one, other or one)


RoomKey = Annotated[str, Field(max_length=80), AfterValidator(_check_room)]


def parse(shape: type[AnyShape], text: object, what: str) -> AnyShape:
    """Read a payload. Raises Malformed, which names `what` was expected."""
    if not isinstance(text, str):
        raise Malformed(what=what)
    try:
        return read_payload(shape, text)
    except ValueError as error:
        raise Malformed(what=what) from error


def parse_answer(shape: type[AnyShape], answer: object, what: str) -> AnyShape:
    """Read a part of a server's answer. Raises Malformed."""
    try:
        return parse(shape, json.dumps(answer), what)
    except (TypeError, ValueError, RecursionError) as error:
        raise Malformed(what=what) from error


class Address(Shape):
    """A device of a user."""

    user: UserKey
    device: DeviceId

    def __str__(self) -> str:
        return f"{self.user}/{self.device}"


class Party(Address):
    """A device, and the key that it signs with."""

    ed25519: Key


class OlmBody(Shape):
    """The body of a to-device item. The server can't read `ct`."""

    alg: Literal["olm.v1"] = "olm.v1"
    sender: Address
    curve25519: Key
    type: Literal[0, 1]
    ct: str = Field(max_length=2 * CONTROL_BYTES_MAX)


ControlKind = Literal["room_key", "renew", "approved", "verify"]
VerifyStep = Literal["start", "commit", "key", "mac", "cancel"]
MessageKind = Literal["text", "me", "file"]


class Control(Shape):
    """The plaintext of a message between two devices.

    It names both devices; each name is checked.
    """

    v: Literal[1] = 1
    sender: Party
    recipient: Party
    kind: ControlKind
    content: str


class RoomKeyContent(Shape):
    """The key to a sender's messages from `index` on.

    `is_exported`: it is in the library's form for exported keys, not as a session was first shared.
    """

    room: RoomKey
    sid: Key
    index: int = Field(ge=0, lt=1 << 32)
    key: str = Field(max_length=SESSION_KEY_CHARS_MAX)
    is_exported: bool = False


class ApprovedContent(Shape):
    """The identity key for an approved device. The tag proves that its sender knows the code."""

    aik_seed: Key
    tag: Key


class VerifyContent(Shape):
    """A step of a verification; see verification.py."""

    vid: Short
    step: VerifyStep
    value: str = Field(default="", max_length=100)


class FileReference(Shape):
    """The id and key to fetch and open a file."""

    id: int = Field(ge=0, lt=1 << 63)
    name: str = Field(max_length=FILE_NAME_CHARS_MAX)
    type: str = Field(max_length=FILE_TYPE_CHARS_MAX)
    size: int = Field(ge=0, lt=1 << 53)
    key: Key
    sha256: Key


class Content(Shape):
    """A message's content: text, a deed (`/me`) or a file."""

    t: MessageKind
    body: str | None = None
    file: FileReference | None = None


class Envelope(Shape):
    """The plaintext of an encrypted message.

    `mid` is the message's own id, given by its sender; `ts` is the sender's time, in ms.
    """

    v: Literal[1] = 1
    room: RoomKey
    sender: Address
    mid: Short
    ts: int = Field(ge=0, le=TS_MAX)
    t: MessageKind
    body: str | None = None
    file: FileReference | None = None


class Encrypted(Shape):
    """The part of a message that a device encrypted."""

    alg: str
    sid: str = Field(max_length=64)
    ct: str = Field(max_length=64 << 10)
