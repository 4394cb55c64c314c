"""Fixtures that many tests share."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.server_process import ServerProcess


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One server for a module's tests, which use names of their own."""
    process = ServerProcess(tmp_path_factory.mktemp("server"))
    process.start()
    yield process
    assert process.stop() == 0, process.log


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[..., ServerProcess]]:
    """Start servers with settings of their own; they are ended after the test."""
    started = []

    def start(folder: str = ".", **settings: object) -> ServerProcess:
        (tmp_path / folder).mkdir(exist_ok=True)
        process = ServerProcess(tmp_path / folder, **settings)
        process.start()
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
