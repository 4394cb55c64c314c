"""A disk that loses what was not synced when its power is cut; what was done to it is recorded.

All that was synced is there then, and of the rest any part, in any order, torn between sectors.
Names in a folder that was not synced may be missing, the last ones first.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import NamedTuple, Protocol

from tests.fire.power.disk_recorder import RECORD, Step, read_record
from tests.kit.findings import describe

SECTOR_BYTES = 512
_CUTS_A_NAME = 2
_CUTS_AT_THE_END = 8
_NAMES_CHANGE = ("mkdir", "create", "link", "rename", "unlink")


class _File:
    """A file on the disk: what is synced, and what was done to it since."""

    def __init__(self, data: bytes = b"", *, is_folder: bool = False) -> None:
        self.data = bytearray(data)
        self.is_folder = is_folder
        self.pending: list[Step] = []

    def sync(self) -> None:
        for step in self.pending:
            self.apply(step, 0, len(step.data))
        self.pending.clear()

    def apply(self, step: Step, start: int, end: int) -> None:
        """Do a step, or a part of what it writes."""
        if step.what == "truncate":
            del self.data[step.number :]
            return
        first, last = step.number + start, step.number + end
        self.data.extend(bytes(max(0, last - len(self.data))))
        self.data[first:last] = step.data[start:end]

    def lose(self, chance: Random, kept: float) -> None:
        """Be what is there after a cut: of each sector not synced, the old or the new."""
        for step in self.pending:
            for start in range(0, max(1, len(step.data)), SECTOR_BYTES):
                if chance.random() < kept:
                    self.apply(step, start, min(start + SECTOR_BYTES, len(step.data)))
        self.pending.clear()


class _Disk:
    """What of a folder would be there after a cut; steps are done to it in their order."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self._now = {path: _File(data) for path, data in files.items()}
        self._synced = dict(self._now)
        self._pending: defaultdict[str, list[tuple[str, str, _File]]] = defaultdict(list)
        self._new_folders: set[str] = set()

    def do(self, step: Step) -> None:
        """Do a step."""
        match step.what:
            case "create" | "mkdir":
                self._now[step.path] = _File(is_folder=step.what == "mkdir")
                self._name("create", step.path, self._now[step.path])
                if step.what == "mkdir":
                    self._new_folders.add(step.path)
            case "write" | "truncate" if step.path in self._now:
                self._now[step.path].pending.append(step)
            case "sync" if step.path in self._now:
                self._now[step.path].sync()
            case "unlink" if step.path in self._now:
                self._name(step.what, step.path, self._now.pop(step.path))
            case "rename" | "link":
                is_link, new_path = step.what == "link", step.data.decode()
                file = self._now[step.path] if is_link else self._now.pop(step.path)
                self._now[new_path] = file
                self._name("create" if is_link else step.path, new_path, file)
            case "sync folder":
                for change in self._pending.pop(step.path, ()):
                    _change(self._synced, change)

    def _name(self, what: str, path: str, file: _File) -> None:
        self._pending[str(Path(path).parent)].append((what, path, file))

    def cut(self, chance: Random) -> dict[str, bytes]:
        """Return the files that are there when the power is back; then it is used up."""
        kept = chance.choice([0.0, 0.5, 0.9, 1.0, chance.random()])
        for changes in self._pending.values():
            some = len(changes) if kept == 1 else chance.randint(0, len(changes))
            for change in changes[:some]:
                _change(self._synced, change)
        for file in self._synced.values():
            file.lose(chance, kept)
        return {
            path: bytes(file.data)
            for path, file in self._synced.items()
            if not file.is_folder and not _is_forgotten(path) and not self._is_out_of_reach(path)
        }

    def _is_out_of_reach(self, path: str) -> bool:
        above = {str(each) for each in Path(path).parents}
        return any(each not in self._synced for each in above & self._new_folders)


def _change(names: dict[str, _File], change: tuple[str, str, _File]) -> None:
    what, path, file = change
    if what == "unlink":
        names.pop(path, None)
        return
    if what != "create":
        names.pop(what, None)  # it was renamed
    names[path] = file


def _is_forgotten(path: str) -> bool:
    """Whether a file is only for processes that share it: whoever opens the database clears it."""
    return path.endswith("-shm")


def _syncs_a_log(step: Step) -> bool:
    return step.what == "sync" and step.path.endswith("-wal")


def _changes_names(step: Step) -> bool:
    return step.what in _NAMES_CHANGE and not _is_forgotten(step.path)


class Cut(NamedTuple):
    """What there is after a power cut."""

    folder: Path
    shown: bytes  # to anybody, before it
    shown_and_synced: bytes  # the part of it that came before a log of SQLite was synced


class Recording:
    """What was done to a folder, from when this is made until `finish`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        files = (path for path in folder.rglob("*") if path.is_file())
        self._at_first = {str(path): path.read_bytes() for path in files}
        self.steps: Sequence[Step] = ()

    def finish(self) -> None:
        """Take what was recorded up to now."""
        self.steps = read_record(self._folder / RECORD)

    @contextmanager
    def cut(self, place: int, seed: int) -> Iterator[Cut]:
        """Cut the power before a step; yield what there is then."""
        disk = _Disk(self._at_first)
        for step in self.steps[:place]:
            if step.what != "shown":
                disk.do(step)
        with TemporaryDirectory(prefix="greenroom-cut-") as name:
            for path, data in disk.cut(Random(seed)).items():
                there = Path(name) / Path(path).relative_to(self._folder)
                there.parent.mkdir(parents=True, exist_ok=True)
                there.write_bytes(data)
            yield Cut(Path(name), self.shown(place), self.shown(self._synced_before(place)))

    def shown(self, place: int | None = None) -> bytes:
        """Return what anybody was shown before a step; None: until the end."""
        return b"\n".join(step.data for step in self.steps[:place] if step.what == "shown")

    def _synced_before(self, place: int) -> int:
        """Return the place of the last sync of a log before a step: all until there was kept."""
        synced = (n for n in range(place - 1, -1, -1) if _syncs_a_log(self.steps[n]))
        return next(synced, 0)

    def places(self, count: int, chance: Random) -> list[int]:
        """Choose moments: a few at each change of a name and at the end, and as many as are asked.

        Those are in equal parts anywhere, and right behind what was shown or synced.
        """
        steps = self.steps
        named = [n + 1 for n, step in enumerate(steps) if _changes_names(step)]
        edges = [n + 1 for n, step in enumerate(steps) if step.what in ("shown", "sync")]
        anywhere = range(len(steps) + 1)
        chosen = [chance.choice(edges if number % 2 else anywhere) for number in range(count)]
        return [*named * _CUTS_A_NAME, *[len(steps)] * _CUTS_AT_THE_END, *chosen]


class Scene(Protocol):
    """Something that was recorded, and what of it outlasts a power cut."""

    recording: Recording

    def check(self, cut: Cut) -> None:
        """Check what a cut has left. Raises AssertionError."""


def cut_often(scene: Scene, places: Sequence[int], seed: int) -> list[str]:
    """Cut at each of these moments, and return what did not hold, with what shows it again."""
    wrong, recording = [], scene.recording
    for number, place in enumerate(places):
        with recording.cut(place, seed + number) as cut:
            try:
                scene.check(cut)
            except Exception as error:  # noqa: BLE001 (whatever it is, a check did not hold)
                wrong.append(f"cut {number} at step {place}: {describe(error)}")
    return wrong
