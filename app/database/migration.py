"""Alembic, as the server and `manage.py` call it. Imported late: it costs 0.4 s of a start."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy.exc import SQLAlchemyError

from app.database.database import Url, first_line, migrating_engine
from app.errors import StartRefused

_ROOT = Path(__file__).parents[2]


def _config() -> Config:
    config = Config(_ROOT / "alembic.ini")
    config.set_main_option("script_location", str(_ROOT / "migrations").replace("%", "%%"))
    return config


def is_known_revision(revision: str) -> bool:
    """Whether this version knows a revision of the schema."""
    scripts = ScriptDirectory.from_config(_config())
    return revision in {script.revision for script in scripts.walk_revisions()}


def migrate(url: Url, revision: str = "head") -> None:
    """Bring the schema to a revision, in one transaction. Blocks. Raises StartRefused."""
    engine = migrating_engine(url)
    try:
        with engine.begin() as connection:
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
    except SQLAlchemyError as error:
        raise StartRefused(f"the database can't be migrated: {first_line(error)}") from error
    finally:
        engine.dispose()
