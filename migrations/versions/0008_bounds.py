"""What bounds need: sums of each user's files, and indexes of what is counted or runs out."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0006"

RUNS_OUT = sa.text("until_at IS NOT NULL")


def upgrade() -> None:
    for name, kind in (("file_count", sa.Integer()), ("file_bytes", sa.BigInteger())):
        op.add_column("users", sa.Column(name, kind, server_default="0", nullable=False))
    op.execute(
        "UPDATE users SET"
        " file_count = (SELECT count(*) FROM files WHERE files.user_id = users.id),"
        " file_bytes = (SELECT coalesce(sum(size), 0) FROM files WHERE files.user_id = users.id)"
    )
    op.create_index("ix_rooms_owner_id", "rooms", ["owner_id"])
    op.create_index("ix_audit_actor_id", "audit", ["actor", "id"])
    op.create_index(
        "ix_server_sanctions_until_at",
        "server_sanctions",
        ["until_at"],
        sqlite_where=RUNS_OUT,
        postgresql_where=RUNS_OUT,
    )


def downgrade() -> None:
    op.drop_index("ix_server_sanctions_until_at", "server_sanctions")
    op.drop_index("ix_audit_actor_id", "audit")
    op.drop_index("ix_rooms_owner_id", "rooms")
    op.drop_column("users", "file_bytes")
    op.drop_column("users", "file_count")
