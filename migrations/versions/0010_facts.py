"""What decisions did, in the order of the messages beside them."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

_Identifier = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "facts",
        sa.Column("id", _Identifier, nullable=False),
        sa.Column("after_id", sa.BigInteger(), nullable=False),
        sa.Column("room_id", _Identifier, nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["room_id"], ["rooms.id"], name="fk_facts_room_id_rooms"),
        sa.PrimaryKeyConstraint("id", name="pk_facts"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_facts_room_id_id", "facts", ["room_id", "id"])
    op.create_index("ix_facts_made_at", "facts", ["made_at"])


def downgrade() -> None:
    op.drop_table("facts")
