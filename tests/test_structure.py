"""The house stays as it was drawn: imports point one way, files and functions are short."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.source import calls, nodes

ROOT = Path(__file__).parents[1]
FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70

# What each part of app/ may import of app/; a part is a folder, or a file beside them.
_COMMON = {
    "bounds",
    "addresses",
    "errors",
    "metrics",
    "last_minute",
    "process",
    "sizes",
    "names",
    "networks",
    "protocol",
    "times",
}
# An operator sets the server alone: clients know nothing of its settings.
_MAY_IMPORT = {
    **dict.fromkeys(_COMMON, _COMMON),
    "settings": _COMMON,
    "log": {"metrics", "networks", "bounds"},
    "store": {"store", "settings"} | _COMMON,
    "chat": {"chat", "store", "log", "settings"} | _COMMON,
    "wire": {"wire"} | _COMMON,
    "net": {"net", "wire", "chat", "store", "log", "settings"} | _COMMON,
    "client": {"client"} | _COMMON,
    "encryption": {"encryption", "errors", "names", "protocol"},
    "terminal": {"terminal", "client", "encryption", "wire"} | _COMMON,
    "cli": {"cli", "net", "chat", "store", "wire", "terminal", "client", "settings"} | _COMMON,
    "__init__": set(),
}
# Which libraries belong to which parts alone.
_BELONGS_TO = {
    "gevent": {"net", "chat", "store"},
    "socket": {"net", "client", "terminal"},
    "sqlite3": {"store", "encryption"},
    "sqlalchemy": {"store", "chat", "cli"},  # of it, chat and cli know connections by name
    "alembic": {"store"},
    "prometheus_client": {"metrics", "net"},
    "rich": {"cli"},
    "click": {"cli", "net", "terminal"},
    "cryptography": {"net", "encryption", "protocol"},
    "vodozemac": {"encryption"},
    "ssl": {"net", "client", "terminal"},
    "pydantic": {"times", "protocol", "wire", "terminal", "encryption"},
    "prompt_toolkit": {"terminal"},
    "passlib": {"chat"},
}
_FORBIDDEN_MODULES = {"pickle", "shelve", "marshal", "subprocess", "ctypes"}
_FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "os.execv"}


def _python_files(*folders: str) -> list[Path]:
    found = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return [*found, ROOT / "manage.py"] if "app" in folders else found


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _part(path: Path) -> str:
    """Return which part of app/ a file is: its folder, or its own name."""
    return path.relative_to(ROOT / "app").parts[0].removesuffix(".py")


def _imports(path: Path) -> Iterator[tuple[str, int]]:
    """Yield each module that is imported, wherever, and the line of it; app itself by its parts."""
    for node in nodes(path):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "app":
            yield from ((f"app.{alias.name}", node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or "", node.lineno


APP = [path for path in _python_files("app") if path.name != "manage.py"]
OURS = _python_files("app", "migrations", "tests", "bench")


# A part of the house knows only those below it: net, then wire and chat, then store.
@pytest.mark.parametrize("path", APP, ids=_name)
def test_imports_point_one_way(path: Path) -> None:
    for module, line in _imports(path):
        top, _, inner = module.partition(".")
        if top == "app":
            part = inner.partition(".")[0]
            assert part in _MAY_IMPORT[_part(path)], f"{_name(path)}:{line} imports {module}"


# A library is used by the parts that it belongs to, so that the others could do without it.
@pytest.mark.parametrize("path", APP, ids=_name)
def test_libraries_stay_in_their_parts(path: Path) -> None:
    for module, line in _imports(path):
        top = module.partition(".")[0]
        where = _BELONGS_TO.get(top, {_part(path)})
        assert _part(path) in where, f"{_name(path)}:{line} imports {module}"


# A file can be read in one go.
@pytest.mark.parametrize("path", OURS, ids=_name)
def test_files_are_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= FILE_LINES_MAX


# A function fits on a screen or two; a migration is a list, as long as the tables that it makes.
@pytest.mark.parametrize("path", OURS, ids=_name)
def test_functions_are_short(path: Path) -> None:
    is_migration = path.parent.name == "versions"
    for node in nodes(path):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not is_migration:
            lines = node.end_lineno - node.lineno + 1
            assert lines <= FUNCTION_LINES_MAX, f"{_name(path)}:{node.lineno} {node.name}"


# A file begins with a sentence that says what it does.
@pytest.mark.parametrize("path", OURS, ids=_name)
def test_files_say_what_they_do(path: Path) -> None:
    sentence = (ast.get_docstring(nodes(path)[0]) or "").partition("\n\n")[0]
    assert len(sentence.split()) >= 3, "no docstring"
    assert sentence.rstrip().endswith((".", ":")), sentence


# Whoever begins to read finds each file on the map.
def test_files_stand_on_the_map() -> None:
    on_the_map = set(re.findall(r"\w+\.py", (ROOT / "app" / "__init__.py").read_text()))
    assert {path.name for path in APP} - {"__init__.py"} <= on_the_map


# Nothing that a client sends could ever be run, by an interpreter or by a shell.
@pytest.mark.parametrize("path", APP, ids=_name)
def test_nothing_is_evaluated(path: Path) -> None:
    modules = {module.partition(".")[0] for module, _ in _imports(path)}
    if path == ROOT / "app" / "process.py":
        modules.discard("ctypes")  # for prctl, with nothing that anybody sent
    assert not modules & _FORBIDDEN_MODULES
    assert not {called for called, _ in calls(path)} & _FORBIDDEN_CALLS
