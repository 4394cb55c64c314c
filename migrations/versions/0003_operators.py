"""What operators decide: bans and mutes on the whole server, retention, rooms on their way out."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

IDENTIFIER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("rooms", sa.Column("retention_days", sa.Integer(), nullable=True))
    op.add_column("rooms", sa.Column("deleted_at", sa.BigInteger(), nullable=True))
    with op.batch_alter_table("sanctions") as sanctions:
        sanctions.alter_column("by_id", existing_type=IDENTIFIER, nullable=True)
    op.create_table(
        "server_sanctions",
        sa.Column("id", IDENTIFIER, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("user_id", IDENTIFIER, nullable=True),
        sa.Column("network", sa.Text(), nullable=True),
        sa.Column("by_id", IDENTIFIER, nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("until_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("kind IN ('ban', 'mute')", name=op.f("ck_server_sanctions_kind")),
        sa.CheckConstraint(
            "(user_id IS NULL) <> (network IS NULL)", name=op.f("ck_server_sanctions_subject")
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_server_sanctions_user_id_users")
        ),
        sa.ForeignKeyConstraint(
            ["by_id"], ["users.id"], name=op.f("fk_server_sanctions_by_id_users")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_server_sanctions")),
        sa.UniqueConstraint("kind", "user_id", name=op.f("uq_server_sanctions_kind_user_id")),
        sa.UniqueConstraint("kind", "network", name=op.f("uq_server_sanctions_kind_network")),
    )


def downgrade() -> None:
    op.drop_table("server_sanctions")
    op.execute("DELETE FROM sanctions WHERE by_id IS NULL")
    with op.batch_alter_table("sanctions") as sanctions:
        sanctions.alter_column("by_id", existing_type=IDENTIFIER, nullable=False)
    op.drop_column("rooms", "deleted_at")
    op.drop_column("rooms", "retention_days")
