"""The house stays as it was drawn: imports point one way, files and functions are short."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.protocol import COMMANDS
from tests.kit.source import calls, nodes

ROOT = Path(__file__).parents[1]
FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70

# What each part of app/ may import of app/: each knows only those above it. A part is a folder,
# a folder in one of _SPLIT, or a file beside them.
_COMMON = {"bounds", "errors", "values", "measures", "protocol"}
_SERVED = _COMMON | {"settings", "log", "database", "queries", "archive", "engine"}
_MAY_IMPORT = {
    "bounds": set(),
    "errors": set(),
    "values": {"bounds", "errors"},
    "measures": {"bounds", "errors"},
    "protocol": {"bounds", "errors", "values"},
    "settings": {"bounds", "errors", "values"},  # an operator sets the server alone, and no client
    "log": {"bounds", "values", "measures"},
    "database": _COMMON,
    "queries": _COMMON | {"database"},
    "archive": _COMMON | {"database", "queries"},
    "engine": _COMMON | {"settings", "log", "database", "queries"},
    "chat.accounts": _SERVED,
    "chat.talk": _SERVED | {"chat.accounts"},
    "chat.rooms": _SERVED | {"chat.accounts"},
    "chat.devices": _SERVED | {"chat.accounts"},
    "chat.moderation": _SERVED | {"chat.accounts", "chat.rooms"},
    "chat.files": _SERVED | {"chat.accounts", "chat.rooms"},
    "chat.removal": _SERVED | {"chat.accounts", "chat.rooms", "chat.devices", "chat.files"},
    "chat.server": _SERVED | {"chat.accounts", "chat.rooms"},
    "chat": _SERVED | {"chat"},
    "wires": _COMMON | {"wires.text", "wires.ndjson"},
    "wires.text": _COMMON | {"wires"},
    "wires.ndjson": _COMMON | {"wires"},
    "net": _SERVED | {"chat", "wires"},
    "client": {"values"},
    "encryption": {"errors", "values", "protocol"},
    "terminal": _COMMON | {"terminal", "client", "wires"},
    "terminal.screen": _COMMON | {"terminal", "client", "wires"},
    "terminal.files": _COMMON | {"terminal", "client", "wires"},
    "terminal.encrypted": _COMMON | {"terminal", "client", "encryption", "wires"},
    "cli": _SERVED | {"net", "wires", "terminal", "client"},
    "__init__": set(),
}
_SPLIT = {"chat", "wires", "terminal"}
# Which libraries belong to which parts alone.
_BELONGS_TO = {
    "gevent": {"net", "chat", "engine", "database"},
    "socket": {"net", "client", "terminal"},
    "sqlite3": {"database", "archive", "encryption"},
    "sqlalchemy": {"database", "queries", "archive", "engine", "chat", "cli"},  # see below
    "alembic": {"database"},
    "prometheus_client": {"measures", "net"},
    "rich": {"cli"},
    "click": {"cli", "net", "terminal"},
    "cryptography": {"net", "encryption", "protocol"},
    "vodozemac": {"encryption"},
    "ssl": {"net", "client", "terminal"},
    "pydantic": {"values", "protocol", "wires", "terminal", "encryption"},
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
    return _part_of(".".join(path.relative_to(ROOT / "app").with_suffix("").parts))


def _part_of(module: str) -> str:
    """Return which part a module is, which may be a name in it, below app."""
    top, _, rest = module.partition(".")
    inner = f"{top}.{rest.partition('.')[0]}"
    return inner if top in _SPLIT and inner in _MAY_IMPORT else top


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
OURS = _python_files("app", "migrations", "tests", "bench", "docs")


# A part of the house knows only those below it: net, then wire and chat, then store.
@pytest.mark.parametrize("path", APP, ids=_name)
def test_imports_point_one_way(path: Path) -> None:
    for module, line in _imports(path):
        top, _, inner = module.partition(".")
        allowed = _MAY_IMPORT[_part(path)] | {_part(path)}
        if top == "app":
            parts = {_part_of(inner), inner.partition(".")[0]}
            assert parts & allowed, f"{_name(path)}:{line} imports {module}"


# A library is used by the parts that it belongs to, so that the others could do without it.
@pytest.mark.parametrize("path", APP, ids=_name)
def test_libraries_stay_in_their_parts(path: Path) -> None:
    for module, line in _imports(path):
        top = module.partition(".")[0]
        part = _part(path).partition(".")[0]
        assert part in _BELONGS_TO.get(top, {part}), f"{_name(path)}:{line} imports {module}"


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
    if path == ROOT / "app" / "measures" / "process.py":
        modules.discard("ctypes")  # for prctl, with nothing that anybody sent
    assert not modules & _FORBIDDEN_MODULES
    assert not {called for called, _ in calls(path)} & _FORBIDDEN_CALLS


# The rules speak the language of no wire: no text in them has a command as it is typed, or an op.
@pytest.mark.parametrize(
    "path", [path for path in APP if _part(path).partition(".")[0] in ("chat", "engine")], ids=_name
)
def test_rules_speak_no_wires_language(path: Path) -> None:
    ops = [re.escape(kind.op) for kind in COMMANDS.values() if kind.op and "." in kind.op]
    asked = re.compile(rf"(?<!\S)(/({'|'.join(COMMANDS)})|{'|'.join(ops)})\b")
    texts = [node.value for node in nodes(path) if isinstance(node, ast.Constant)]
    assert [text for text in texts if isinstance(text, str) and asked.search(text)] == []
