"""A small file that is typed: lines of base64, and a line with a dot alone. Pure.

All lines in between belong to the file, so that none of them can end up in a room.
"""

import binascii
from dataclasses import replace

from app.bounds import FILE_IN_LINES_BYTES_MAX
from app.errors import BadLine, TooLarge
from app.protocol.files import Upload

_TEXT_BYTES_MAX = (FILE_IN_LINES_BYTES_MAX + 2) // 3 * 4
TYPED_BYTES_MAX = 2 * _TEXT_BYTES_MAX  # with the ends of its lines, which may be short
_END = b"."


class Base64Lines:
    """Collects the lines of one file."""

    def __init__(self, command: Upload, line_bytes_max: int) -> None:
        self._command = command
        self._line_bytes_max = line_bytes_max
        self._text = bytearray()
        self._is_refused = False  # it is too large, or a line can't be one of it

    def takes(self, line: bytes | None) -> bool:
        """Take a line of the file; return False for its end, and once it is refused."""
        text = line.strip() if line is not None else b""
        if text == _END:
            return False
        self._is_refused |= line is None or len(self._text) + len(text) > _TEXT_BYTES_MAX
        if not self._is_refused:
            self._text += text
        return not self._is_refused

    @staticmethod
    def is_end(line: bytes | None) -> bool:
        """Whether a line ends the file."""
        return line is not None and line.strip() == _END

    def command(self) -> Upload:
        """Return the command with its file. Raises Refusal."""
        if self._is_refused:
            raise TooLarge(
                f"in lines come at most {FILE_IN_LINES_BYTES_MAX} bytes, and "
                f"{self._line_bytes_max} in each; /send takes more"
            )
        try:
            data = binascii.a2b_base64(bytes(self._text), strict_mode=True)
        except binascii.Error as error:
            raise BadLine("that was no base64; nothing was shared", code="bad_base64") from error
        return replace(self._command, data=data)
