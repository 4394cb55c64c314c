"""The base of commands: how fields are typed, and who may use which command."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Annotated, ClassVar, TypeVar, dataclass_transform

from annotated_types import Ge, GroupedMetadata, Le, MaxLen, MinLen
from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints

from app.bounds import (
    ENC_ALG_CHARS_MAX,
    ENC_CIPHERTEXT_CHARS_MAX,
    ENC_SESSION_CHARS_MAX,
    FILE_PATH_CHARS_MAX,
    ID_MAX,
    PAGE_ITEMS_MAX,
    REASON_CHARS_MAX,
    SPAN_SECONDS_MAX,
    TXN_CHARS_MAX,
)

Bound = Ge | Le | MaxLen | MinLen


@dataclass(frozen=True, slots=True)
class Shape(GroupedMetadata):
    """The way a field is typed, and its bounds on every wire.

    If it `is_needed`, it must be typed, although programs may leave it out.
    """

    name: str
    is_needed: bool = field(default=False, kw_only=True)

    def __iter__(self) -> Iterator[Bound]:
        """Yield the bounds of its value."""
        yield from ()


@dataclass(frozen=True, slots=True)
class Word(Shape):
    """Read one word."""


@dataclass(frozen=True, slots=True)
class Rest(Shape):
    """Read the rest of the line, at most `chars_max` characters."""

    chars_max: int | None = None

    def __iter__(self) -> Iterator[Bound]:
        if self.chars_max is not None:
            yield MaxLen(self.chars_max)


@dataclass(frozen=True, slots=True)
class Count(Shape):
    """Read a whole number from 1 to `most`."""

    most: int

    def __iter__(self) -> Iterator[Bound]:
        yield Ge(1)
        yield Le(self.most)


@dataclass(frozen=True, slots=True)
class End(Count):
    """Read `end` and a whole number; any other word leaves the field out."""


@dataclass(frozen=True, slots=True)
class Span(Shape):
    """Read a time span like 30m, in seconds; any other word leaves the field out."""

    name: str = "30m|2h|7d"

    def __iter__(self) -> Iterator[Bound]:
        yield Ge(1)
        yield Le(SPAN_SECONDS_MAX)


@dataclass(frozen=True, slots=True)
class Path(Shape):
    """Read the rest of the line, without `to USER` at its end."""

    def __iter__(self) -> Iterator[Bound]:
        yield MinLen(1)
        yield MaxLen(FILE_PATH_CHARS_MAX)


@dataclass(frozen=True, slots=True)
class Addressee(Shape):
    """Read `to` and a word."""

    name: str = "to USER"


def _one_line(text: str | None) -> str | None:
    if text is not None and ("\n" in text or "\r" in text):
        raise ValueError("it has an end of a line; send one line at a time")
    return text


OneLine = AfterValidator(_one_line)  # for programs; a typed line has no end of a line in it
RoomName = Annotated[str, Word("ROOM")]
# Lists come in pages: the last item of the page before, and the number of items.
AfterName = Annotated[str, Word("AFTER")]
PageCount = Annotated[int, Ge(1), Le(PAGE_ITEMS_MAX)]
UserName = Annotated[str, Word("USER")]
Body = Annotated[str, Rest("TEXT"), MinLen(1), OneLine]
Note = Annotated[str, Rest("TEXT", REASON_CHARS_MAX), OneLine]
Reason = Annotated[str, Rest("REASON", REASON_CHARS_MAX), OneLine]
Seconds = Annotated[int | None, Span()]
Secret = Annotated[str, Rest("[PASSWORD]", is_needed=True)]  # left out, it is asked for, unseen
MessageId = Annotated[int | None, Ge(0), Le(ID_MAX)]
RosterRev = Annotated[int | None, Ge(1), Le(ID_MAX)]
# A message with a txn that was used before is the same message. SQLite would cut one at a NUL.
Txn = Annotated[str, StringConstraints(max_length=TXN_CHARS_MAX, pattern="^[ -~]*$")]
NewTxn = Annotated[Txn, MinLen(1)]
Label = Annotated[str, MaxLen(REASON_CHARS_MAX)]
SaidText = Annotated[
    str, Rest("TEXT", is_needed=True), MinLen(1), OneLine
]  # programs may send an Enc instead
_ENC_WORD = "^[A-Za-z0-9+/=_.-]+$"
FilePath = Annotated[str, Path("NAME")]
OfferedPath = Annotated[str, Path("NAME", is_needed=True)]  # left out for an encrypted file
FileUser = Annotated[str, Addressee()]
FileSize = Annotated[int | None, Ge(0), Le(ID_MAX)]
FileId = Annotated[int, Count("N", ID_MAX)]


class Enc(BaseModel):
    """A ciphertext of a device: its algorithm, its session of encryption, and the text.

    The server can't read it, and need not: each part is a word of printable ASCII.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    alg: Annotated[str, StringConstraints(max_length=ENC_ALG_CHARS_MAX, pattern=_ENC_WORD)]
    sid: Annotated[str, StringConstraints(max_length=ENC_SESSION_CHARS_MAX, pattern=_ENC_WORD)]
    ct: Annotated[str, StringConstraints(max_length=ENC_CIPHERTEXT_CHARS_MAX, pattern=_ENC_WORD)]

    @property
    def size_bytes(self) -> int:
        """The length of its text, in bytes."""
        return len(self.alg) + len(self.sid) + len(self.ct)

    def dump(self) -> str:
        """Return it as JSON, in an eighth of pydantic's time: no part has quotes."""
        return f'{{"alg":"{self.alg}","sid":"{self.sid}","ct":"{self.ct}"}}'


class Level(IntEnum):
    """The level of a session: each may do what those before it may."""

    ANYBODY = 0  # before login
    USER = 1
    ADMIN = 2
    OPERATOR = 3  # a person who runs the server, over the control socket; takes no part in the chat


@dataclass(slots=True)
class Command:
    """A request of one session, for its `least` level and above.

    Programs ask for it by its `op`; by default that is its word, and None for people alone. People
    type it, unless `is_typed` is false. If it `may_be_long`, it may come in a line longer than
    others, from a session that has a device. The operator may use the commands of admins and of the
    operator, and others that `suits_operator` marks.
    """

    word: ClassVar[str]
    op: ClassVar[str | None] = ""
    is_typed: ClassVar[bool] = True
    may_be_long: ClassVar[bool] = False
    least: ClassVar[Level] = Level.USER
    suits_operator: ClassVar[bool] = False

    @property
    def is_long(self) -> bool:
        """Whether it may come in a line longer than others."""
        return self.may_be_long

    @classmethod
    def is_for(cls, level: Level) -> bool:
        """Whether sessions of a level may use it."""
        if level is Level.OPERATOR and not cls.suits_operator:
            return cls.least >= Level.ADMIN
        return cls.least <= level


# Raises Refusal when a session may not use a command. Wires call it before they read any argument.
Check = Callable[[type[Command]], None]


def let_all(_kind: type[Command]) -> None:
    """Refuse no command; a Check."""


@dataclass(slots=True)
class InRoom(Command):
    """A request about a room that the session is in: its only one, when none is named.

    The operator is in no room, and may name any.
    """

    room: str = field(default="", kw_only=True)


Kind = TypeVar("Kind", bound=Command)


@dataclass_transform()
def command(kind: type[Kind]) -> type[Kind]:
    """Make a class a command: a dataclass whose `op` is its word by default.

    It is not frozen, as events are not: that would cost each message a twentieth of its time.
    """
    made = dataclass(slots=True)(kind)
    if made.op == "":
        made.op = made.word
    return made
