"""What removing leaves behind: retries of purged messages, and the gaps of restoring."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

IDENTIFIER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "spent_txns",
        sa.Column("user_id", IDENTIFIER, nullable=False),
        sa.Column("txn", sa.Text(), nullable=False),
        sa.Column("message_id", sa.BigInteger(), nullable=False),
        sa.Column("spent_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_spent_txns_user_id_users")
        ),
        sa.PrimaryKeyConstraint("user_id", "txn", name=op.f("pk_spent_txns")),
    )
    op.create_index(op.f("ix_spent_txns_spent_at"), "spent_txns", ["spent_at"])
    op.create_table(
        "restorations",
        sa.Column("id", IDENTIFIER, nullable=False),
        sa.Column("after_id", sa.BigInteger(), nullable=False),
        sa.Column("up_to_id", sa.BigInteger(), nullable=False),
        sa.Column("done_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_restorations")),
    )


def downgrade() -> None:
    op.drop_table("restorations")
    op.drop_table("spent_txns")
