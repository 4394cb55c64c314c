"""What is shipped beside the code fits it: the unit of systemd, and the image."""

import json
import re
import shutil
import signal
from pathlib import Path

import pytest

from app.bounds import DRAIN_SECONDS_MAX, RESERVED_DESCRIPTORS
from app.settings import Settings
from tests.kit.client import wait_until
from tests.kit.server_process import run_to_end

ROOT = Path(__file__).parents[1]
UNIT = ROOT / "packaging" / "greenroom.service"


def _unit() -> dict[str, str]:
    return dict(re.findall(r"^(\w+)=(.*)$", UNIT.read_text(), re.M))


# The unit makes room for as many clients as the settings do, and for a farewell to all of them.
def test_the_unit_fits_the_settings() -> None:
    unit = _unit()
    assert unit["LimitCORE"] == "0"
    room = int(unit["LimitNOFILE"]) - RESERVED_DESCRIPTORS
    assert room >= Settings.connections_max
    assert int(unit["TimeoutStopSec"]) > DRAIN_SECONDS_MAX
    assert unit["ExecStart"].endswith("/python manage.py runserver")


# systemd understands it.
def test_the_unit_is_one(tmp_path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd is not here")
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace("/opt/greenroom/.venv/bin/python", "/bin/true"))
    result = run_to_end(["systemd-analyze", "verify", "--man=no", copy])
    assert UNIT.name not in result.stderr
    assert result.returncode == 0


# `systemctl reload` ends nothing, also where there is no certificate to be loaded anew.
def test_reload_under_systemd(start_server, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody-listens"))
    server = start_server()
    here = server.connect().register("here").join("room")
    server.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "nothing to load anew" in server.log, "the server has heard it")
    here.exchange("hello", "here: hello")
    assert server.stop() == 0


# It can use PostgreSQL, by what the tests were run with; its health is asked wherever it listens.
def test_the_image_has_postgresql() -> None:
    image = (ROOT / "Dockerfile").read_text()
    assert "-r requirements-postgresql.txt" in image
    extra = (ROOT / "requirements-postgresql.txt").read_text()
    _, _, pins = extra.partition("\n")
    assert pins.startswith("psycopg==")
    assert "\npsycopg-binary==" in pins
    assert pins in (ROOT / "requirements-dev.txt").read_text()
    health = re.search(r"^HEALTHCHECK .*(\[.*\])$", image, re.M)[1]
    assert json.loads(health)[1:] == ["manage.py", "status", "--check"]


# The image is made of files that there are, and that the build is shown.
def test_the_image_has_its_files() -> None:
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.M)
    sources = {source for line in copied for source in line.split()}
    shown = set(re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.M))
    assert sources == shown
    assert all((ROOT / source).exists() for source in sources)
