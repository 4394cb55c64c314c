"""Accounts that are deleted: their rows stay, so that nobody is given their names."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column("users", sa.Column("deleted_at", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    """Deleted accounts are disabled, and have no password: an older Greenroom lets nobody in."""
    op.drop_column("users", "deleted_at")
