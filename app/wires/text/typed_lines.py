"""Lines as a person types them: Return ends one, and erased characters are gone. Pure.

Terminals send many things for Return: CR LF, CR NUL, LF, LF CR, CR CR LF, or CR alone. Each ends a
line once, and at once: no line waits for the byte after it. A NUL anywhere else means nothing.

Backspace (08 or 7F) erases the character before it, however many bytes it has, and Ctrl-U (15) all
of the line; telnet's own commands for that come here as those keys. Erased bytes count in the
length of a line.

Floods of any of these bytes cost no step of Python for each.
"""

import re
from collections.abc import Iterator
from itertools import groupby

from app.wires.lines import LineSplitter

# A CR that follows an LF ends nothing, unless it begins a CR LF. Nothing here comes twice in a row
# but LF.
_END = re.compile(rb"\r(?:\0?\n|\0)?|\n(?:\0?\r(?!\0?\n))?")
# An end to which the next byte may still belong; at most 4 bytes, and 2 decide where it begins.
_OPEN_END = re.compile(rb"(?:(?<!\r)(?<!\r\0)\n\0?\r?|\r)\0?\Z")
_OPEN_END_BYTES_MAX = 6

_LF = 10
_ERASING = "\x08\x7f"
_PAIR = re.compile("[^\x08\x7f][\x08\x7f]")
_PAIR_PASSES = 4  # over a line; pairs that are left then are nested deeply, so there are few
# Invisible: controls, blanks but the plain one, characters that Unicode ignores when shown, joiners
# of hieroglyphs, and a note without a head; for the brackets of a regular expression.
UNSEEN = (
    "\\x00-\\x1f\\x7f-\\xa0\\xad\\u034f\\u061c\\u115f\\u1160\\u1680\\u17b4\\u17b5\\u180b-\\u180f\\u2000-\\u200f"
    "\\u2028-\\u202f\\u205f-\\u206f\\u2800\\u3000\\u3164\\ufe00-\\ufe0f\\ufeff\\uffa0\\ufff0-\\ufffb"
    "\\U00013430-\\U00013442\\U0001bca0-\\U0001bca3\\U0001d159\\U0001d173-\\U0001d17a"
    "\\U000e0000-\\U000e0fff"
)
# Terminals send these for keys, and as answers: ESC [ A, ESC O A, ESC b, ESC ] ... BEL.
_KEY = (
    r"\x1b[]PX^_][^\x07\x1b]*+(?:\x07|\x1b\\)"
    r"|(?:\x1b[\[O]|\x9b|\x8f)\[?[0-?]*+[ -.]*+[@-~]?"
    r"|\x1b[^/]"
)
_HIDDEN_COMMAND = re.compile(rf"[ \t]*+(?:{_KEY}|[{UNSEEN}])(?:{_KEY}|[{UNSEEN} ])*+/")

_NO_CHARACTER = "\udcff"  # stands for bytes that are no UTF-8, and becomes FF, which is none either


class TypedLines:
    """Cuts typed bytes into lines."""

    __slots__ = (
        "_lines",
        "_may_erase",
        "_open_end",
    )

    def __init__(self, line_bytes_max: int) -> None:
        """Refuse lines over that many bytes, their ends not counted."""
        self._lines = LineSplitter(line_bytes_max)
        self._open_end = b""  # of the line before: the next bytes may belong to it
        self._may_erase = False  # a key that erases has come

    def feed(self, data: bytes) -> Iterator[bytes | None]:
        """Yield each line that `data` completes. Yield None once for each too long one."""
        return_at = data.find(b"\r")
        if return_at < 0 and b"\0" not in data and not (self._open_end and data[:1] == b"\n"):
            if data:
                self._open_end = b"\n" if data[-1] == _LF else b""
        elif not 0 < return_at == len(data) - 2 or data[-1] != _LF or b"\0" in data:
            data = self._with_plain_ends(data)
        else:
            self._open_end = b""  # the usual: one line, and CR LF
        lines = self._lines.feed(data)
        if not self._may_erase:
            self._may_erase = b"\x08" in data or b"\x7f" in data or b"\x15" in data
        return map(_without_erased, lines) if self._may_erase else lines

    def _with_plain_ends(self, data: bytes) -> bytes:
        """Return the data with an LF for each end of line."""
        if not self._open_end or data[0] not in b"\r\n\0":
            plain = data.replace(b"\r\n", b"\n")
            if b"\r" not in plain and b"\0" not in plain:
                is_open = data[-1] == _LF and not data.endswith(b"\r\n")
                self._open_end = b"\n" if is_open else b""
                return plain
            self._open_end = b""
        before, data = self._open_end, _once(b"\r", _once(b"\0", self._open_end + data))
        end = _OPEN_END.search(data, max(0, len(data) - _OPEN_END_BYTES_MAX))
        self._open_end = end[0] if end else b""
        return _END.sub(b"\n", data).replace(b"\0", b"")[bool(before) :]


def _once(byte: bytes, data: bytes) -> bytes:
    """Return data without runs of a byte; each pass halves a run."""
    while byte * 2 in data:
        data = data.replace(byte * 2, byte)
    return data


def _without_erased(line: bytes | None) -> bytes | None:
    """Return a line without its erased characters and erasing keys."""
    if line is None:
        return None
    line = line.rpartition(b"\x15")[2]
    if b"\x08" not in line and b"\x7f" not in line:
        return line
    text = _decode(line)
    for _ in range(_PAIR_PASSES):
        text, pairs = _PAIR.subn("", text)
        if not pairs:
            break
    if not any(each in text for each in _ERASING):
        return text.encode(errors="surrogateescape")
    kept: list[str] = []
    for is_erasing, run in groupby(text, _ERASING.__contains__):
        if is_erasing:
            del kept[max(0, len(kept) - len(list(run))) :]
        else:
            kept += run
    return "".join(kept).encode(errors="surrogateescape")


def _decode(line: bytes) -> str:
    """Return the text of a line; bytes that are no UTF-8 become characters that don't exist."""
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode(errors="replace").replace("\N{REPLACEMENT CHARACTER}", _NO_CHARACTER)


def hides_command(text: str) -> bool:
    """Whether invisible text hides that a line is a command."""
    return _HIDDEN_COMMAND.match(text) is not None
