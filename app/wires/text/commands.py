"""Commands as people type them: reading them, and their usage, by the table of commands."""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from typing import NamedTuple, get_type_hints

from app.bounds import FILE_PATH_CHARS_MAX
from app.errors import BadLine
from app.protocol import COMMANDS
from app.protocol.command import Addressee, Command, Count, End, Level, Path, Rest, Shape, Span
from app.values.sizes import parse_whole
from app.values.times import parse_span


class _Argument(NamedTuple):
    """A field of a command, and how it is typed."""

    field: str
    shape: Shape
    is_optional: bool

    @property
    def usage(self) -> str:
        return f"[{self.shape.name}]" if self.is_optional else self.shape.name


def _arguments(kind: type[Command]) -> Sequence[_Argument]:
    hints = get_type_hints(kind, include_extras=True)
    arguments = []
    for field in fields(kind):
        for shape in getattr(hints[field.name], "__metadata__", ()):
            if isinstance(shape, Shape):
                is_optional = field.default is not MISSING and not shape.is_needed
                arguments.append(_Argument(field.name, shape, is_optional))
    return arguments


_ARGUMENTS: Mapping[type[Command], Sequence[_Argument]] = {
    kind: _arguments(kind) for kind in COMMANDS.values()
}


def usage(kind: type[Command]) -> str:
    """Return the usage of a command: /kick USER [REASON]."""
    return " ".join([f"/{kind.word}", *(argument.usage for argument in _ARGUMENTS[kind])])


def summary(kind: type[Command]) -> str:
    """Return a sentence that says what a command does."""
    return str(kind.__doc__)


def split_command(text: str) -> tuple[str, str]:
    """Split a line at its first blank or tab of any kind."""
    word, rest = (*text.split(maxsplit=1), "", "")[:2]
    return word, rest


def find_command(word: str) -> type[Command]:
    """Return a word's command, with or without its slash. Raises BadLine."""
    word = word.removeprefix("/")
    kind = COMMANDS.get(word.lower())
    if kind is None or not kind.is_typed or kind.least is Level.OPERATOR:
        raise BadLine(f"unknown command /{word}. Try /help.", code="unknown_command")
    return kind


def parse_arguments(kind: type[Command], text: str) -> Command:
    """Read a command from the text after its word. Raises BadLine."""
    values: dict[str, object] = {}
    rest = text.strip()
    for argument in _ARGUMENTS[kind]:
        value, left = _read(argument.shape, rest)
        if value is not None:
            values[argument.field], rest = value, left
        elif not argument.is_optional:
            raise _bad_usage(kind)
    if rest:
        raise _bad_usage(kind)
    return kind(**values)


def _bad_usage(kind: type[Command]) -> BadLine:
    return BadLine(f"usage: {usage(kind)}", code="bad_arguments")


def _read(shape: Shape, text: str) -> tuple[str | int | None, str]:
    """Return the value, and the rest of the text; None when there is no value. Raises BadLine."""
    if not text:
        return None, text
    if isinstance(shape, Rest):
        if shape.chars_max is not None and len(text) > shape.chars_max:
            raise _too_long(shape, shape.chars_max)
        return text, ""
    if isinstance(shape, Path):
        return _read_path(shape, text)
    word, left = (*text.split(maxsplit=1), "")[:2]
    if isinstance(shape, Addressee):
        return left, ""  # the rest after a path begins with `to`
    if isinstance(shape, Span):
        try:
            return parse_span(word), left
        except ValueError as error:
            raise BadLine(str(error), code="bad_arguments") from error
    if isinstance(shape, End):
        number = (*left.split(maxsplit=1), "", "")
        return (_number(shape, number[0]), number[1]) if word == "end" else (None, text)
    return (_number(shape, word) if isinstance(shape, Count) else word), left


def _number(shape: Count, word: str) -> int:
    number = parse_whole(word)
    if not number or number > shape.most:
        name = shape.name.removeprefix("end ")
        raise BadLine(f"{name} is a whole number from 1 to {shape.most}", code="bad_arguments")
    return number


def _too_long(shape: Shape, chars_max: int) -> BadLine:
    name = shape.name.partition("|")[0]  # of TEXT|- the text
    return BadLine(f"{name} has at most {chars_max} characters here", code="too_long")


def _read_path(shape: Shape, text: str) -> tuple[str, str]:
    words = text.rsplit(maxsplit=2)
    has_addressee = len(words) == 3 and words[1] == "to"
    path = words[0] if has_addressee else text
    if len(path) > FILE_PATH_CHARS_MAX:
        raise _too_long(shape, FILE_PATH_CHARS_MAX)
    return path, f"to {words[2]}" if has_addressee else ""
