"""Devices, their keys, and what they say to each other, for end-to-end encryption."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

IDENTIFIER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _only_where(condition: str) -> dict[str, sa.TextClause]:
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}


def upgrade() -> None:
    op.create_table(
        "devices",
        sa.Column("id", IDENTIFIER, nullable=False),
        sa.Column("user_id", IDENTIFIER, nullable=False),
        sa.Column("device_id", sa.Text(), nullable=False),
        sa.Column("ed25519", sa.Text(), nullable=False),
        sa.Column("curve25519", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("sig", sa.Text(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.Column("approved_at", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_devices_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_devices")),
        sa.UniqueConstraint("curve25519", name=op.f("uq_devices_curve25519")),
        sa.UniqueConstraint("ed25519", name=op.f("uq_devices_ed25519")),
        sa.UniqueConstraint("user_id", "device_id", name=op.f("uq_devices_user_id_device_id")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "manifests",
        sa.Column("user_id", IDENTIFIER, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("aik", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("sig", sa.Text(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_manifests_user_id_users")),
        sa.PrimaryKeyConstraint("user_id", "seq", name=op.f("pk_manifests")),
    )
    op.create_table(
        "one_time_keys",
        sa.Column("id", IDENTIFIER, nullable=False),
        sa.Column("device_id", IDENTIFIER, nullable=False),
        sa.Column("kid", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("sig", sa.Text(), nullable=False),
        sa.Column("claimed_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["device_id"], ["devices.id"], name=op.f("fk_one_time_keys_device_id_devices")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_one_time_keys")),
        sa.UniqueConstraint("device_id", "kid", name=op.f("uq_one_time_keys_device_id_kid")),
    )
    op.create_index(
        op.f("ix_one_time_keys_device_id_id"),
        "one_time_keys",
        ["device_id", "id"],
        unique=False,
        **_only_where("claimed_at IS NULL"),
    )
    op.create_index(
        op.f("ix_one_time_keys_claimed_at"),
        "one_time_keys",
        ["claimed_at"],
        unique=False,
        **_only_where("claimed_at IS NOT NULL"),
    )
    op.create_table(
        "fallback_keys",
        sa.Column("device_id", IDENTIFIER, nullable=False),
        sa.Column("kid", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("sig", sa.Text(), nullable=False),
        sa.Column("is_used", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["device_id"], ["devices.id"], name=op.f("fk_fallback_keys_device_id_devices")
        ),
        sa.PrimaryKeyConstraint("device_id", name=op.f("pk_fallback_keys")),
    )
    op.create_table(
        "to_device",
        sa.Column("id", IDENTIFIER, nullable=False),
        sa.Column("recipient_id", IDENTIFIER, nullable=False),
        sa.Column("sender_id", IDENTIFIER, nullable=False),
        sa.Column("txn", sa.Text(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=True),
        sa.Column("sent_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["recipient_id"], ["devices.id"], name=op.f("fk_to_device_recipient_id_devices")
        ),
        sa.ForeignKeyConstraint(
            ["sender_id"], ["devices.id"], name=op.f("fk_to_device_sender_id_devices")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_to_device")),
        sa.UniqueConstraint(
            "sender_id", "txn", "place", name=op.f("uq_to_device_sender_id_txn_place")
        ),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_to_device_recipient_id_id"), "to_device", ["recipient_id", "id"])
    op.create_index(op.f("ix_to_device_sent_at"), "to_device", ["sent_at"])
    op.create_table(
        "device_changes",
        sa.Column("id", IDENTIFIER, nullable=False),
        sa.Column("user_id", IDENTIFIER, nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_device_changes_user_id_users")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_device_changes")),
        sqlite_autoincrement=True,
    )


def downgrade() -> None:
    op.drop_table("device_changes")
    op.drop_table("to_device")
    op.drop_table("fallback_keys")
    op.drop_table("one_time_keys")
    op.drop_table("manifests")
    op.drop_table("devices")
