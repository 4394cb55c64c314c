"""Login tokens; and what a program calls its messages, so that a retry is stored once."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

IDENTIFIER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "tokens",
        sa.Column("id", IDENTIFIER, nullable=False),
        sa.Column("user_id", IDENTIFIER, nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_tokens_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tokens")),
        sa.UniqueConstraint("digest", name=op.f("uq_tokens_digest")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_tokens_user_id"), "tokens", ["user_id"], unique=False)
    op.add_column("messages", sa.Column("txn", sa.Text(), nullable=True))
    op.create_index(
        op.f("ix_messages_user_id_txn"),
        "messages",
        ["user_id", "txn"],
        unique=True,
        sqlite_where=sa.text("txn IS NOT NULL"),
        postgresql_where=sa.text("txn IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_messages_user_id_txn"), "messages")
    op.drop_column("messages", "txn")
    op.drop_index(op.f("ix_tokens_user_id"), "tokens")
    op.drop_table("tokens")
