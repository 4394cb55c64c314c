"""Rooms, messages and files that are encrypted from end to end, and who belongs to such rooms."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

IDENTIFIER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("rooms", sa.Column("e2ee_from", sa.BigInteger(), nullable=True))
    op.add_column(
        "rooms", sa.Column("roster_rev", sa.BigInteger(), server_default="0", nullable=False)
    )
    op.add_column("messages", sa.Column("sender_device", sa.Text(), nullable=True))
    op.add_column(
        "files", sa.Column("e2ee", sa.Boolean(), server_default=sa.false(), nullable=False)
    )
    op.create_table(
        "members",
        sa.Column("room_id", IDENTIFIER, nullable=False),
        sa.Column("user_id", IDENTIFIER, nullable=False),
        sa.ForeignKeyConstraint(["room_id"], ["rooms.id"], name=op.f("fk_members_room_id_rooms")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_members_user_id_users")),
        sa.PrimaryKeyConstraint("room_id", "user_id", name=op.f("pk_members")),
    )


def downgrade() -> None:
    """What is encrypted goes: an older Greenroom would show it as if it had been said so."""
    op.drop_table("members")
    op.execute("DELETE FROM file_chunks WHERE file_id IN (SELECT id FROM files WHERE e2ee)")
    op.execute("DELETE FROM files WHERE e2ee")
    op.drop_column("files", "e2ee")
    op.execute("DELETE FROM messages WHERE sender_device IS NOT NULL")
    op.drop_column("messages", "sender_device")
    op.drop_column("rooms", "roster_rev")
    op.drop_column("rooms", "e2ee_from")
