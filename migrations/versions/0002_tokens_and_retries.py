"""Login tokens; what a program calls its messages, so that a retry is stored once; files."""

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
    op.create_table(
        "files",
        sa.Column("id", IDENTIFIER, nullable=False),
        sa.Column("room_id", IDENTIFIER, nullable=True),
        sa.Column("recipient_id", IDENTIFIER, nullable=True),
        sa.Column("user_id", IDENTIFIER, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=True),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "(room_id IS NULL) <> (recipient_id IS NULL)", name=op.f("ck_files_addressee")
        ),
        sa.ForeignKeyConstraint(["room_id"], ["rooms.id"], name=op.f("fk_files_room_id_rooms")),
        sa.ForeignKeyConstraint(
            ["recipient_id"], ["users.id"], name=op.f("fk_files_recipient_id_users")
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_files_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_files")),
        sqlite_autoincrement=True,
    )
    for addressee in ("room_id", "recipient_id"):
        op.create_index(
            op.f(f"ix_files_{addressee}_id"),
            "files",
            [addressee, "id"],
            unique=False,
            sqlite_where=sa.text(f"{addressee} IS NOT NULL"),
            postgresql_where=sa.text(f"{addressee} IS NOT NULL"),
        )
    op.create_index(op.f("ix_files_user_id"), "files", ["user_id"], unique=False)
    op.create_index(op.f("ix_files_made_at"), "files", ["made_at"], unique=False)
    op.create_table(
        "file_chunks",
        sa.Column("file_id", IDENTIFIER, nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["file_id"], ["files.id"], name=op.f("fk_file_chunks_file_id_files")
        ),
        sa.PrimaryKeyConstraint("file_id", "place", name=op.f("pk_file_chunks")),
    )


def downgrade() -> None:
    op.drop_table("file_chunks")
    op.drop_table("files")
    op.drop_index(op.f("ix_messages_user_id_txn"), "messages")
    op.drop_column("messages", "txn")
    op.drop_index(op.f("ix_tokens_user_id"), "tokens")
    op.drop_table("tokens")
