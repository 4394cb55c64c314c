"""The first tables: accounts, rooms and who moderates them, messages, the audit."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

IDENTIFIER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("id", IDENTIFIER, nullable=False),
        sa.Column("done_at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("room", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "users",
        sa.Column("id", IDENTIFIER, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("skeleton", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("is_admin", sa.Boolean(), nullable=False),
        sa.Column("is_disabled", sa.Boolean(), nullable=False),
        sa.Column("private_seen_id", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("key", name=op.f("uq_users_key")),
        sa.UniqueConstraint("skeleton", name=op.f("uq_users_skeleton")),
    )
    op.create_table(
        "ignored",
        sa.Column("user_id", IDENTIFIER, nullable=False),
        sa.Column("ignored_id", IDENTIFIER, nullable=False),
        sa.ForeignKeyConstraint(
            ["ignored_id"], ["users.id"], name=op.f("fk_ignored_ignored_id_users")
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_ignored_user_id_users")),
        sa.PrimaryKeyConstraint("user_id", "ignored_id", name=op.f("pk_ignored")),
    )
    op.create_table(
        "rooms",
        sa.Column("id", IDENTIFIER, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("skeleton", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("owner_id", IDENTIFIER, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], name=op.f("fk_rooms_owner_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rooms")),
        sa.UniqueConstraint("key", name=op.f("uq_rooms_key")),
        sa.UniqueConstraint("skeleton", name=op.f("uq_rooms_skeleton")),
    )
    op.create_table(
        "messages",
        sa.Column("id", IDENTIFIER, nullable=False),
        sa.Column("room_id", IDENTIFIER, nullable=True),
        sa.Column("recipient_id", IDENTIFIER, nullable=True),
        sa.Column("user_id", IDENTIFIER, nullable=False),
        sa.Column("is_action", sa.Boolean(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("said_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "(room_id IS NULL) <> (recipient_id IS NULL)", name=op.f("ck_messages_addressee")
        ),
        sa.ForeignKeyConstraint(
            ["recipient_id"], ["users.id"], name=op.f("fk_messages_recipient_id_users")
        ),
        sa.ForeignKeyConstraint(["room_id"], ["rooms.id"], name=op.f("fk_messages_room_id_rooms")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_messages_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_messages")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("ix_messages_recipient_id_id"),
        "messages",
        ["recipient_id", "id"],
        unique=False,
        sqlite_where=sa.text("recipient_id IS NOT NULL"),
        postgresql_where=sa.text("recipient_id IS NOT NULL"),
    )
    op.create_index(
        op.f("ix_messages_room_id_id"),
        "messages",
        ["room_id", "id"],
        unique=False,
        sqlite_where=sa.text("room_id IS NOT NULL"),
        postgresql_where=sa.text("room_id IS NOT NULL"),
    )

    op.create_table(
        "moderators",
        sa.Column("room_id", IDENTIFIER, nullable=False),
        sa.Column("user_id", IDENTIFIER, nullable=False),
        sa.ForeignKeyConstraint(
            ["room_id"], ["rooms.id"], name=op.f("fk_moderators_room_id_rooms")
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_moderators_user_id_users")
        ),
        sa.PrimaryKeyConstraint("room_id", "user_id", name=op.f("pk_moderators")),
    )
    op.create_table(
        "sanctions",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("room_id", IDENTIFIER, nullable=False),
        sa.Column("user_id", IDENTIFIER, nullable=False),
        sa.Column("by_id", IDENTIFIER, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("until_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("kind IN ('ban', 'mute')", name=op.f("ck_sanctions_kind")),
        sa.ForeignKeyConstraint(["by_id"], ["users.id"], name=op.f("fk_sanctions_by_id_users")),
        sa.ForeignKeyConstraint(["room_id"], ["rooms.id"], name=op.f("fk_sanctions_room_id_rooms")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_sanctions_user_id_users")),
        sa.PrimaryKeyConstraint("kind", "room_id", "user_id", name=op.f("pk_sanctions")),
    )


def downgrade() -> None:
    op.drop_table("sanctions")
    op.drop_table("moderators")
    op.drop_index(op.f("ix_messages_room_id_id"), "messages")
    op.drop_index(op.f("ix_messages_recipient_id_id"), "messages")

    op.drop_table("messages")
    op.drop_table("rooms")
    op.drop_table("ignored")
    op.drop_table("users")
    op.drop_table("audit")
