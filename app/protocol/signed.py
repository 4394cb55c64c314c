"""The shapes of texts that devices sign for others: their identity, and their keys. Pure.

A payload travels as a JSON string, and signatures cover that very string: nothing depends on how
another program would have written the same object. Clients believe nothing else. The server checks
them to keep junk out.
"""

import base64
import binascii
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, FailFast, Field

from app.bounds import DEVICES_A_USER_MAX, SIGNATURE_CHARS_MAX, SIGNED_CHARS_MAX
from app.errors import BadNameError
from app.values.names import parse_name

ONE_TIME, FALLBACK = "o:", "f:"  # before ids of keys: the library has the same ones for both


def encode(data: bytes) -> str:
    """Return bytes as unpadded base64: the only form for comparing keys."""
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


def check_name(text: str) -> str:
    """Return a name that is its own key: the form for comparing. Raises ValueError."""
    try:
        key = parse_name(text).key
    except BadNameError as error:
        raise ValueError(str(error)) from error
    if key != text:
        raise ValueError("not the form in which names are compared")
    return text


def _check_key(text: str) -> str:
    if len(decode(text)) != 32:
        raise ValueError("not 32 bytes")
    return text


UserKey = Annotated[str, AfterValidator(check_name)]
DeviceId = Annotated[str, Field(pattern="^[a-z2-7]{8}$")]
Key = Annotated[str, AfterValidator(_check_key)]
Short = Annotated[str, Field(min_length=1, max_length=64)]
KeyId = Annotated[str, Field(pattern="^[of]:[!-~]{1,62}$")]  # see ONE_TIME, FALLBACK
# Without control characters and ends of lines: as JSON it is not much longer, and harms no screen.
Line = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$")]
AtFirst = FailFast()  # of a list: the first fault is told, and no other is looked for


class Shape(BaseModel):
    """The base of shapes: nothing is coerced, added or changed."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    def dump(self) -> str:
        """Return the string that travels."""
        return self.model_dump_json(exclude_none=True)


AnyShape = TypeVar("AnyShape", bound=Shape)


def read_payload(shape: type[AnyShape], payload: str) -> AnyShape:
    """Read a signed text. Raises ValueError when it has another shape."""
    return shape.model_validate_json(payload)


class Signed(Shape):
    """A payload, and the signature over it."""

    payload: str = Field(max_length=SIGNED_CHARS_MAX)
    sig: str = Field(max_length=SIGNATURE_CHARS_MAX)


class DeviceKeys(Shape):
    """A device as its user's manifest lists it."""

    id: DeviceId
    ed25519: Key
    curve25519: Key


class Owned(Shape):
    """A text that a user or their device signs; it names the user."""

    user: UserKey


AnyOwned = TypeVar("AnyOwned", bound=Owned)


class DevicePayload(Owned):
    """A device's description, signed by itself; `approval` proves knowledge of its code."""

    device: DeviceKeys
    approval: Key


class ManifestPayload(Owned):
    """The devices of a user, signed by their identity key (AIK)."""

    aik: Key
    seq: int = Field(ge=1, lt=1 << 53)
    devices: tuple[DeviceKeys, ...] = Field(max_length=DEVICES_A_USER_MAX)


class OneTimeKeyPayload(Owned):
    """A key to begin one conversation, signed by its device."""

    device: DeviceId
    kid: Short
    key: Key
