"""A reader's terminal, in memory: shows what bytes from the server do to somebody's screen."""

import unicodedata

import pyte


class _Terminal(pyte.Screen):
    """A screen that notes what a terminal would have done but show text."""

    def __init__(self, columns: int, lines: int) -> None:
        super().__init__(columns, lines)
        self.sent_back: list[str] = []
        self.rings = 0

    def write_process_input(self, data: str) -> None:
        self.sent_back.append(data)

    def bell(self, *_: object) -> None:
        self.rings += 1


def assert_shows_plain_lines(received: bytes) -> None:
    """Check that the screen holds each line where it belongs, and that nothing else happened."""
    text = received.decode()
    controls = {c for c in text if unicodedata.category(c) == "Cc"} - set("\r\n\t")
    assert not controls, f"control characters: {controls}"
    lines = text.split("\r\n")
    assert not any("\r" in line or "\n" in line for line in lines), "half of a line's end"
    terminal = _Terminal(max(map(len, lines)) + 10, len(lines) + 10)
    pyte.ByteStream(terminal).feed(received)
    shown = [row.rstrip() for row in terminal.display]
    assert shown[: len(lines)] == [line.rstrip() for line in lines]
    assert not any(shown[len(lines) :])
    characters = [each for row in terminal.buffer.values() for each in row.values()]
    assert all(each._replace(data=" ") == terminal.default_char for each in characters), "colours"
    assert (terminal.sent_back, terminal.rings) == ([], 0)
    assert (terminal.title, terminal.icon_name) == ("", "")
    assert terminal.cursor.y == len(lines) - 1
