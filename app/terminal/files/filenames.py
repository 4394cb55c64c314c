"""Choose a harmless name in a folder for a received file.

Pure, but for `reserve`, which makes the file.
"""

import os
import re
import unicodedata
from pathlib import Path

NAME_BYTES_MAX = 150  # of a name: file systems take 255, and a number may be added
_SUFFIX_BYTES_MAX = 20  # of them, kept for the ending of a long name: .tar.gz
_TRIES_MAX = 1_000  # names to try: report (2).pdf, report (3).pdf ...
_UNSAFE = re.compile(r'[<>:"|?*$`&;!\'\\]')  # to Windows, or to a shell when pasted
_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def safe_name(name: str) -> str:
    """Return a safe file name for one from another user.

    1. It names no folder: of a path, the last part counts, whichever way the slashes lean.
    2. It begins with no dot or dash, so it is neither hidden nor an option of a program.
    3. It has no control characters and none that reorder or hide text.
    4. It has at most 150 bytes, its ending kept.
    """
    last = re.split(r"[/\\]", name.rstrip("/\\"))[-1]
    text = unicodedata.normalize("NFC", last)
    shown = "".join(c if c.isprintable() or c.isspace() else "" for c in text)
    plain = " ".join(_UNSAFE.sub("_", shown).split()).lstrip(".- ").rstrip(". ")
    if _DEVICE.fullmatch(plain):
        plain = f"_{plain}"
    return _shortened(plain) or "file"


def reserve(folder: Path, name: str) -> Path:
    """Make an empty file for a name from another user.

    Returns its path. A file that is there already stays as it is, also a symbolic link. Raises
    OSError.
    """
    plain = Path(safe_name(name))
    for number in range(1, _TRIES_MAX):
        path = folder / (f"{plain.stem} ({number}){plain.suffix}" if number > 1 else plain.name)
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError:
            continue
        return path
    raise FileExistsError(f"{folder} has too many files named {plain}")


def _shortened(name: str) -> str:
    """Cut the middle out of a long name. It is cut between characters, and its ending stays."""
    if len(name.encode()) <= NAME_BYTES_MAX:
        return name
    stem, dot, ending = name.rpartition(".")
    suffix = f"{dot}{ending}" if len(ending.encode()) <= _SUFFIX_BYTES_MAX else ""
    bytes_left = NAME_BYTES_MAX - len(suffix.encode())
    return (stem if suffix else name).encode()[:bytes_left].decode(errors="ignore") + suffix
