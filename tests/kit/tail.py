"""A file that another process writes lines to."""

from pathlib import Path


class Tail:
    """Reads on where it left off."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def new_lines(self) -> list[str]:
        """Return the lines that were written since last time, as far as they are whole."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._offset)
            whole, end, _ = file.read().rpartition(b"\n")
        self._offset += len(whole + end)
        return whole.decode(errors="replace").splitlines()
