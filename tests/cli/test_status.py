"""manage.py status and top: for people at a terminal, for programs, and without a server."""

import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from rich.console import Console

from app.cli import status
from tests.kit.commands import refused, said


# Programs are given all of it as one object; people without a terminal a figure a line.
def test_on_the_command_line(server, run_here) -> None:
    figures = json.loads(run_here(server.folder, "status", "--json").stdout)
    told = {"concerns", "now", "minute", "version", "uptime_seconds", "is_storing", "illness"}
    assert told == set(figures)
    printed = run_here(server.folder, "status").stdout.splitlines()
    rows = dict(line.split("\t", 1) for line in printed if not line.startswith("concern\t"))
    assert rows["storing"] == "yes"
    assert rows["messages"].endswith("/s)")


# Without a server there is nothing to tell (net/test_control.py), and top needs a terminal besides.
def test_no_terminal(run_here, tmp_path) -> None:
    assert "top needs a terminal" in run_here(tmp_path, "top").output
    assert list(tmp_path.iterdir()) == []


# A script asks in one word whether it is well, as the image does.
def test_check(server, run_here, monkeypatch) -> None:
    assert said(run_here(server.folder, "status", "--check")) == "ok"

    @contextmanager
    def ill() -> Iterator[Callable[..., dict]]:
        yield lambda _op: {"illness": "messages can't be stored now"}

    monkeypatch.setattr(status, "running", ill)
    told = refused(run_here(server.folder, "status", "--check"))
    assert told == "messages can't be stored now"


# On a small screen `top` has all figures, and of all that is wrong the beginning.
@pytest.mark.parametrize("count", [0, 1, 30])
@pytest.mark.parametrize("width", [80, 200])
def test_top_fits_on_a_small_screen(server, run_here, count: int, width: int) -> None:
    answer = json.loads(run_here(server.folder, "status", "--json").stdout)
    concern = {"name": "slow_disk", "sentence": "The disk is slow. " * 20}
    answer["concerns"] = [concern] * count
    page = status._page(answer, [0.0, 1.0], (width, 24))
    console = Console(width=width, height=24, file=io.StringIO())
    lines = ["".join(each.text for each in line) for line in console.render_lines(page)]
    assert len(lines) <= 24
    assert "storing: yes" in "".join(lines)
    assert "open files: " in "".join(lines)
    assert lines[0].startswith("! The disk is slow." if count else "All is well.")


# What is wrong is what stands last when `status` has scrolled by. Who asked for no colours is shown
# none.
def test_status_at_a_terminal(terminal) -> None:
    child = terminal("status")
    assert child.ended() == 0
    last = child.before.rstrip().splitlines()[-1]
    assert last.startswith(("All is well.", "! ")) or "open files" not in last
    assert "sessions" in child.before
    assert "\x1b[3" not in child.before


# At a terminal top shows the same again and again, and q ends it; so does Ctrl-C.
@pytest.mark.parametrize("key", ["q", "\x03"])
def test_top(terminal, key: str) -> None:
    child = terminal("top")
    child.expect("deliveries/s")
    child.expect("live rooms")
    child.send(key)
    assert child.ended() == 0
    assert "Traceback" not in child.before
