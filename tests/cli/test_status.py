"""manage.py status and top: for people at a terminal, for programs, and without a server."""

import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pexpect
import pytest
from rich.console import Console

from app.cli import status
from tests.kit.client import WAIT_SECONDS_MAX
from tests.kit.server_process import ROOT, ServerProcess, environment


# Programs are given all of it as one object; people without a terminal a figure a line.
def test_on_the_command_line(server: ServerProcess, run_here) -> None:
    figures = json.loads(run_here(server.folder, "status", "--json").stdout)
    told = {"concerns", "now", "minute", "version", "uptime_seconds", "is_storing", "illness"}
    assert told == set(figures)
    printed = run_here(server.folder, "status").stdout.splitlines()
    rows = dict(line.split("\t", 1) for line in printed if not line.startswith("concern\t"))
    assert rows["storing"] == "yes"
    assert rows["messages"].endswith("/s)")


# Without a server there is nothing to tell, and none is made up; top needs a terminal besides.
def test_no_server(run_here, tmp_path: Path) -> None:
    for command in (["status"], ["status", "--json"]):
        result = run_here(tmp_path, *command)
        assert result.exit_code == 1
        expected = f"no server runs on {tmp_path / 'var'}; start one: manage.py runserver"
        assert result.output == f"Error: {expected}\n"
    assert not (tmp_path / "var").exists()
    assert "top needs a terminal" in run_here(tmp_path, "top").output


# A script asks in one word whether it is well, as the image does.
def test_check(server: ServerProcess, run_here, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run_here(server.folder, "status", "--check")
    assert (result.exit_code, result.stdout) == (0, "ok\n")

    @contextmanager
    def ill() -> Iterator[Callable[..., dict]]:
        yield lambda _op: {"illness": "messages can't be stored now"}

    monkeypatch.setattr(status, "running", ill)
    result = run_here(server.folder, "status", "--check")
    assert (result.exit_code, result.stderr) == (1, "Error: messages can't be stored now\n")


# On a small screen `top` has all figures, and of all that is wrong the beginning.
@pytest.mark.parametrize("count", [0, 1, 30])
@pytest.mark.parametrize("width", [80, 200])
def test_top_fits_on_a_small_screen(
    server: ServerProcess, run_here, count: int, width: int
) -> None:
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


# What is wrong is what stands last when `status` has scrolled by.
def test_the_verdict_is_seen(terminal: Callable[..., pexpect.spawn]) -> None:
    child = terminal("status")
    child.expect(pexpect.EOF)
    last = child.before.rstrip().splitlines()[-1]
    assert last.startswith(("All is well.", "! ")) or "open files" not in last


# What draws tables is loaded for people at a terminal alone: a script waits for less.
def test_programs_wait_for_no_tables(server: ServerProcess) -> None:
    script = (
        "import sys; from app.cli import main; main(['status', '--json'], standalone_mode=False);"
        "sys.exit('rich' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=environment(server.folder),
        capture_output=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr


@pytest.fixture
def terminal(server: ServerProcess) -> Iterator[Callable[..., pexpect.spawn]]:
    started = []

    def start(*arguments: str) -> pexpect.spawn:
        command = [str(ROOT / "manage.py"), *arguments]
        given = {**environment(server.folder), "TERM": "xterm", "NO_COLOR": "1"}
        started.append(
            pexpect.spawn(
                sys.executable,
                command,
                env=given,
                cwd=str(ROOT),
                encoding="utf-8",
                timeout=WAIT_SECONDS_MAX,
                dimensions=(60, 120),
            )
        )
        return started[-1]

    yield start
    for child in started:
        child.close(force=True)


# At a terminal top shows the same again and again, and q ends it; so does Ctrl-C.
@pytest.mark.parametrize("key", ["q", "\x03"])
def test_top(terminal: Callable[..., pexpect.spawn], key: str) -> None:
    child = terminal("top")
    child.expect("deliveries/s")
    child.expect("live rooms")
    child.send(key)
    child.expect(pexpect.EOF)
    child.wait()
    assert (child.exitstatus, "Traceback" in child.before) == (0, False)


# Who asked for no colours is shown none.
def test_no_colours(terminal: Callable[..., pexpect.spawn]) -> None:
    child = terminal("status")
    child.expect(pexpect.EOF)
    assert "sessions" in child.before
    assert "\x1b[3" not in child.before
