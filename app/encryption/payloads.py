"""The shapes of everything that is signed, encrypted or sent between clients. Pure.

A payload travels as a JSON string, and signatures cover that very string: nothing depends on how
somebody else would have written the same object. What has another shape is Malformed.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from app.encryption.refusals import Malformed
from app.errors import BadNameError
from app.names import parse_name

DEVICES_A_USER_MAX = 20  # a person's machines over the years; each costs a key at each rotation
BODY_BYTES_MAX = 16 << 10  # of a text; what a line of the wire holds is up to the server
FILE_NAME_CHARS_MAX = 1_024
FILE_TYPE_CHARS_MAX = 100
CONTROL_BYTES_MAX = 32 << 10  # of a message from device to device
SESSION_KEY_CHARS_MAX = 512


def encode(data: bytes) -> str:
    """Return bytes as unpadded base64, the only form in which keys are compared."""
    return base64.b64encode(data).decode().rstrip("=")


def decode(text: str) -> bytes:
    """Read unpadded base64 in its one form. Raises ValueError: two texts are never one key."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from error
    if encode(data) != text:
        raise ValueError("not canonical base64")
    return data


def _check_name(text: str) -> str:
    if user_key(text) != text:
        raise ValueError("not the form in which names are compared")
    return text


def _check_room(text: str) -> str:
    for name in text.removeprefix("@").split(",") if text.startswith("@") else [text]:
        _check_name(name)
    return text


def _check_key(text: str) -> str:
    if len(decode(text)) != 32:
        raise ValueError("not 32 bytes")
    return text


def user_key(name: str) -> str:
    """Return the form in which a user's or a room's name is compared. Raises Malformed."""
    try:
        return parse_name(name).key
    except BadNameError as error:
        raise Malformed(what="a name") from error


def private_room(one: str, other: str) -> str:
    """Return the room that stands for the private conversation of two users."""
    return "@" + ",".join(sorted({user_key(one), user_key(other)}))


def room_key_of(name: str) -> str:
    """Return the form in which a room is compared, private conversations included."""
    if not name.startswith("@"):
        return user_key(name)
    one, _, other = name[1:].partition(",")
    return private_room(one, other or one)


UserKey = Annotated[str, AfterValidator(_check_name)]
RoomKey = Annotated[str, Field(max_length=80), AfterValidator(_check_room)]
DeviceId = Annotated[str, Field(pattern="^[a-z2-7]{8}$")]
Key = Annotated[str, AfterValidator(_check_key)]
Short = Annotated[str, Field(min_length=1, max_length=64)]


class Shape(BaseModel):
    """What all shapes have in common: nothing is coerced, added or changed."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    def dump(self) -> str:
        """Return the string that travels."""
        return self.model_dump_json(exclude_none=True)


AnyShape = TypeVar("AnyShape", bound=Shape)


def parse(shape: type[AnyShape], text: object, what: str) -> AnyShape:
    """Read a payload. Raises Malformed, which names `what` it was meant to be."""
    if not isinstance(text, str):
        raise Malformed(what=what)
    try:
        return shape.model_validate_json(text)
    except (ValidationError, Malformed) as error:
        raise Malformed(what=what) from error


def parse_answer(shape: type[AnyShape], answer: object, what: str) -> AnyShape:
    """Read a part of an answer of the server. Raises Malformed."""
    try:
        return parse(shape, json.dumps(answer), what)
    except (TypeError, ValueError, RecursionError) as error:
        raise Malformed(what=what) from error


class Signed(Shape):
    """A payload, and the signature over it."""

    payload: str = Field(max_length=16 << 10)
    sig: str = Field(max_length=100)


class Address(Shape):
    """A device of a user."""

    user: UserKey
    device: DeviceId

    def __str__(self) -> str:
        return f"{self.user}/{self.device}"


class Party(Address):
    """A device, and the key that it signs with."""

    ed25519: Key


class DeviceKeys(Shape):
    """A device as its user's manifest lists it."""

    id: DeviceId
    ed25519: Key
    curve25519: Key


class DevicePayload(Shape):
    """What a device says of itself, signed by itself; `approval` proves who knows its code."""

    user: UserKey
    device: DeviceKeys
    approval: Key


class ManifestPayload(Shape):
    """The devices of a user, signed by the user's identity key (AIK)."""

    user: UserKey
    aik: Key
    seq: int = Field(ge=1, lt=1 << 53)
    devices: tuple[DeviceKeys, ...] = Field(max_length=DEVICES_A_USER_MAX)


class OneTimeKeyPayload(Shape):
    """A key to begin one conversation with, signed by its device."""

    user: UserKey
    device: DeviceId
    kid: Short
    key: Key


class OlmBody(Shape):
    """The body of a to-device item, which the server carries unread."""

    alg: Literal["olm.v1"] = "olm.v1"
    sender: Address
    curve25519: Key
    type: Literal[0, 1]
    ct: str = Field(max_length=2 * CONTROL_BYTES_MAX)


ControlKind = Literal["room_key", "renew", "approved", "verify"]
VerifyStep = Literal["start", "commit", "key", "mac", "cancel"]
MessageKind = Literal["text", "me", "file"]


class Control(Shape):
    """What is inside: from device to device, each of which is named and checked."""

    v: Literal[1] = 1
    sender: Party
    recipient: Party
    kind: ControlKind
    content: str


class RoomKeyContent(Shape):
    """The key to a sender's messages from `index` on; `exported` when it was sent before."""

    room: RoomKey
    sid: Key
    index: int = Field(ge=0, lt=1 << 32)
    key: str = Field(max_length=SESSION_KEY_CHARS_MAX)
    is_exported: bool = False


class ApprovedContent(Shape):
    """The identity key for an approved device; the tag proves who knows the code."""

    aik_seed: Key
    tag: Key


class VerifyContent(Shape):
    """A step of a verification: start, commit, key, mac, done or cancel."""

    vid: Short
    step: VerifyStep
    value: str = Field(default="", max_length=100)


class FileReference(Shape):
    """All that a reader needs to fetch and open a file."""

    id: int = Field(ge=0, lt=1 << 63)
    name: str = Field(max_length=FILE_NAME_CHARS_MAX)
    type: str = Field(max_length=FILE_TYPE_CHARS_MAX)
    size: int = Field(ge=0, lt=1 << 53)
    key: Key
    sha256: Key


class Content(Shape):
    """What was said: a text, a deed (`/me`) or a file."""

    t: MessageKind
    body: str | None = None
    file: FileReference | None = None


class Envelope(Shape):
    """The plaintext of an encrypted message: who says what, where, and which message it is."""

    v: Literal[1] = 1
    room: RoomKey
    sender: Address
    mid: Short
    ts: int = Field(ge=0, lt=1 << 53)
    t: MessageKind
    body: str | None = None
    file: FileReference | None = None


class Encrypted(Shape):
    """The part of a message that says how it is encrypted."""

    alg: str
    sid: str = Field(max_length=64)
    ct: str = Field(max_length=64 << 10)
