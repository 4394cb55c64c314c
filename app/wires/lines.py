"""Bytes to lines, of bounded length. Pure: the same bytes in any pieces give the same lines.

A line ends in LF or CR LF. One that is too long is refused as a whole, up to its end, as soon as it
is too long. The lines around it are whole.
"""

from collections.abc import Iterator


class LineSplitter:
    """Cuts a stream of bytes into lines."""

    __slots__ = (
        "_begun",
        "_is_refusing",
        "line_bytes_max",
    )

    def __init__(self, line_bytes_max: int) -> None:
        """Refuse lines over that many bytes, their ends not counted."""
        self.line_bytes_max = line_bytes_max
        self._begun = bytearray()  # of the line whose end has not come
        self._is_refusing = False  # the next bytes belong to a line that was refused

    def feed(self, data: bytes) -> Iterator[bytes | None]:
        """Yield each line that `data` completes. Yield None once for each too long one."""
        *lines, rest = data.split(b"\n")
        if self._begun and lines:
            lines[0] = bytes(self._begun) + lines[0]
            self._begun.clear()
        for line in lines:
            if self._is_refusing:
                self._is_refusing = False
                continue
            line = line.removesuffix(b"\r")
            yield line if len(line) <= self.line_bytes_max else None
        if not rest:
            return
        self._begun += rest
        if self._is_refusing or len(self._begun) > self.line_bytes_max + 1:
            if not self._is_refusing:
                self._is_refusing = True
                yield None
            self._begun = self._begun[-1:] if self._begun.endswith(b"\r") else bytearray()
