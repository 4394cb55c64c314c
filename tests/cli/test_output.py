"""manage.py where output can't be written, or what is typed is no text: one line, no traceback."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.commands import refused
from tests.kit.server_process import ROOT, environment, run_to_end

NOT_UTF8 = "b\udcffb"  # as Python has what a shell passes on


# What can't be written is told in a line, and the exit code is no success.
@pytest.mark.parametrize(
    ("redirected", "why"),
    [
        ("users list >&-", "Bad file descriptor"),
        ("users list >/dev/full", "No space left on device"),
        ("--help >/dev/full", "No space left on device"),
    ],
)
def test_output_that_cant_be_written(run_here, data: Path, redirected: str, why: str) -> None:
    run_here(data.parent, "createuser", "alice", "--password", "secret")
    told = refused(_run_in_a_shell(data.parent, redirected))
    assert told == f"can't write to standard output: {why}"


# Any of the three may be closed, and standard error may be full: the exit code stays right, and
# what goes elsewhere is said.
@pytest.mark.parametrize(
    ("command", "redirected", "code"),
    [
        ("schema", "0>&-", 0),
        ("schema", "2>&-", 0),
        ("schema", "1>&- 2>&-", 1),
        ("who", "2>/dev/full", 1),
        ("who", "0>&- 1>&- 2>&-", 1),
        ("nonsense", "2>&-", 2),
    ],
)
def test_streams_that_are_closed(tmp_path, command: str, redirected: str, code: int) -> None:
    run = _run_in_a_shell(tmp_path, f"{command} {redirected}")
    assert (run.returncode, run.stderr) == (code, "")
    assert bool(run.stdout) == (code == 0)


def _run_in_a_shell(folder: Path, words: str) -> subprocess.CompletedProcess[str]:
    """Run manage.py with words that a shell reads, such as those that redirect its output."""
    command = ["sh", "-c", f'"$0" "$1" {words}', sys.executable, ROOT / "manage.py"]
    return run_to_end(command, env=environment(folder))


# What is no UTF-8 is refused in a line, whoever is asked for.
@pytest.mark.parametrize(
    "words",
    [
        *("createuser", "users passwd", "rooms create den --owner", "kick", "announce hello"),
        *("export", "selfsigned --host", "audit --user"),
    ],
)
def test_arguments_that_are_not_utf8(run_here, tmp_path, words: str) -> None:
    result = run_here(tmp_path, *words.split(), NOT_UTF8)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "is not UTF-8: " in result.stderr.splitlines()[-1]


# A password that is piped and no UTF-8 is refused likewise, and none that is cut off is taken.
@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])  # the latter without a locale
def test_a_password_that_is_not_utf8(tmp_path, errors: str) -> None:
    command = [sys.executable, ROOT / "manage.py", "createuser", "alice"]
    given = environment(tmp_path) | {"PYTHONIOENCODING": f"utf-8:{errors}"}
    run = run_to_end(command, env=given, input=b"s\xff\n", text=False)
    told = b"Error: what was typed is not UTF-8, and was not used\n"
    assert (run.returncode, run.stderr) == (1, told)
