"""The database's file: whatever it is called, and whatever names lead to it, one server has it."""

import os
import shutil
import subprocess
from functools import partial
from pathlib import Path

import pytest

from app.database.opening import check_readable, open_database
from app.errors import DatabaseInUse, StartRefused
from tests.kit.commands import refused
from tests.kit.databases import make_database
from tests.kit.server_process import manage

IN_USE = "is open in another Greenroom; stop that one first"
ODD_NAMES = ["a?b=c", "100%", "a%3Fb%20c", "a#b", "two  words", 'it\'s "it"', "-x", "é\\n"]


# Whatever the data directory is called, the database is in it, and a backup of it is whole.
@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_of_the_folder(tmp_path, run_here, name: str) -> None:
    folder = tmp_path / name
    run, copy = partial(run_here, tmp_path, DATA_DIR=folder), str(folder / "b?.db")
    alice = ("createuser", "alice", "--password", "secret")
    for words in (alice, ("backup", copy), ("vacuum",), ("restore", copy)):
        assert run(*words).exit_code == 0
    assert "alice" in run("users", "list").stdout
    assert (folder / "greenroom.db").stat().st_size
    assert list(tmp_path.iterdir()) == [folder]


# So it is for a server, which is asked, exports, and starts again there.
def test_a_server_in_an_odd_folder(tmp_path, start_server) -> None:
    server = start_server(DATA_DIR=tmp_path / "a?b%20c#\udcff")
    server.connect().register("alice").join("lobby").type("kept")
    server.connect().log_in("alice").join("lobby").expect("alice: kept")
    exported = manage(tmp_path, "export", "lobby", **server.settings)
    assert '"body":"kept"' in exported.stdout, exported.stderr
    server.restart()
    server.connect().log_in("alice").join("lobby").expect("alice: kept")


@pytest.fixture
def elsewhere(server, tmp_path) -> Path:
    """Where another name of the server's database can be; its folder is a data directory."""
    (tmp_path / "var").mkdir(mode=0o700)
    return tmp_path / "var" / "greenroom.db"


def _by_links(path: Path, other: Path) -> None:
    (other.parent / "link").symlink_to(path.parent)
    other.symlink_to(Path("link", path.name))


LEADS = {
    "link": lambda path, other: other.symlink_to(path),
    "links": _by_links,
    "folder": lambda path, other: (
        other.parent.rmdir(),
        other.parent.symlink_to(path.parent),
    ),
    "hard link": os.link,
}


# Whatever name leads to a server's database, no other opens it, and the server goes on.
@pytest.mark.parametrize("how", LEADS)
def test_another_name_of_a_database_in_use(server, elsewhere, tmp_path, run_here, how: str) -> None:
    path = server.folder / "var" / "greenroom.db"
    before = path.stat().st_ino
    LEADS[how](path, elsewhere)
    with pytest.raises(DatabaseInUse, match=IN_USE):
        open_database(elsewhere, print)
    settings = {"DATABASE_URL": f"sqlite:///{elsewhere}", "DATA_DIR": server.folder / "third"}
    backup = str(tmp_path / "copy")
    assert run_here(server.folder, "backup", backup).exit_code == 0
    for command in (("restore", backup), ("vacuum",), ("users", "disable", "x")):
        told = run_here(elsewhere.parent, *command, **settings)
        assert told.exit_code == 1
        assert IN_USE in told.stderr or "a server has the database" in told.stderr
    if how == "hard link":
        elsewhere.unlink()
    assert path.stat().st_ino == before
    server.program().call("ping")


# A database that has two names for good is used under neither: each would have a log of its own.
def test_a_hard_link(data: Path, run_here) -> None:
    path, other = data / "greenroom.db", data / "snapshot.db"
    os.link(path, other)
    for use in (lambda: open_database(path, print), lambda: check_readable(other)):
        with pytest.raises(StartRefused, match="another name as well"):
            use()
    told = refused(run_here(data.parent, "backup", str(data / "b.db")))
    assert "another name as well" in told
    other.unlink()
    open_database(path, print).release()


# A bind mount is a name as well, which no path tells.
def test_a_bind_mount(tmp_path, new_database) -> None:
    path, other = tmp_path / "a" / "greenroom.db", tmp_path / "b" / "greenroom.db"
    for each in (path, other):
        each.parent.mkdir()
        shutil.copy(new_database, each)
    mount = ["mount", "--bind", path, other]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        lock = open_database(path, print)
        with pytest.raises(DatabaseInUse, match=IN_USE):
            open_database(other, print)
        lock.release()
    finally:
        subprocess.run(["umount", other], check=True)


# The lock file may go while a server runs: the database's file is locked as well.
def test_without_the_lock_file(data: Path) -> None:
    lock = open_database(data / "greenroom.db", print)
    (data / "greenroom.db.lock").unlink()
    with pytest.raises(DatabaseInUse, match=IN_USE):
        open_database(data / "greenroom.db", print)
    lock.release()


# A database that there was is not begun anew, wherever it went; that is done on purpose.
def test_a_database_that_is_gone(tmp_path, run_here) -> None:
    folder = tmp_path / "var"
    run = partial(run_here, tmp_path, "createuser", "alice", "--password", "secret")
    assert run().exit_code == 0
    (folder / "greenroom.db").unlink()
    before = {each.name for each in folder.iterdir()}
    assert "is empty or gone, though it held data" in refused(run())
    assert {each.name for each in folder.iterdir()} == before
    for each in folder.glob("greenroom.db*"):
        each.unlink()
    assert run().exit_code == 0


# A link to nothing is a disk that is not there, and not a new beginning.
def test_a_link_to_nothing(tmp_path, run_here) -> None:
    (tmp_path / "var").mkdir(mode=0o700)
    (tmp_path / "var" / "greenroom.db").symlink_to(tmp_path / "disk" / "greenroom.db")
    told = refused(run_here(tmp_path, "createuser", "alice", "--password", "secret"))
    assert "and there is nothing: is its disk mounted?" in told


# What is no plain path of a file is refused: the lock would be on another one.
@pytest.mark.parametrize("url", ["sqlite:///file:x.db?uri=true", "sqlite:///x.db?mode=ro"])
def test_addresses_of_files_that_are_no_paths(tmp_path, url: str) -> None:
    with pytest.raises(StartRefused, match=r"^GREENROOM_DATABASE_URL: "):
        open_database(url, print)


# `~` is the home folder in every path that is given, also where no shell sees it; one that is
# nobody's is refused. No folder of that name is ever made.
@pytest.mark.parametrize(
    ("arguments", "settings", "made"),
    [
        (["createuser", "alice", "--password", "x"], {"DATABASE_URL": "sqlite:///~/x.db"}, "x.db"),
        (["createuser", "alice", "--password", "x"], {"DATA_DIR": "~/var"}, "var/greenroom.db"),
        (["selfsigned", "--directory=~/tls"], {}, "tls/tls-key.pem"),
        (["backup", "~/b.db"], {}, "b.db"),
        (["export", "old", "--output=~/old.txt"], {}, "old.txt"),
    ],
)
def test_the_home_folder(tmp_path, run_here, monkeypatch, arguments, settings, made: str) -> None:
    home, here = tmp_path / "home", tmp_path / "here"
    home.mkdir()
    (here / "var").mkdir(mode=0o700, parents=True)
    make_database(here / "var" / "greenroom.db")
    monkeypatch.setenv("HOME", str(home))
    result = run_here(here, *arguments, **settings)
    assert result.exit_code == 0, result.stderr
    assert (home / made).exists()

    nobody = {name: value.replace("~", "~no-such-user") for name, value in settings.items()}
    refused = run_here(here, *(each.replace("~", "~no-such-user") for each in arguments), **nobody)
    assert refused.exit_code != 0
    assert "~no-such-user is nobody's home folder" in refused.stderr
    assert not list(here.glob("~*"))


# Of a restore that was cut off, the second name of the database is taken away again.
def test_after_a_restore_that_was_cut_off(data: Path) -> None:
    path = data / "greenroom.db"
    kept = data / "greenroom.db.before-restore.20261123T030000Z"
    os.link(path, kept)
    other = Path(shutil.copy(path, f"{kept}.older"))
    open_database(path, print).release()
    assert not kept.exists()
    assert other.exists()
