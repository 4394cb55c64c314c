"""The tables. Times are milliseconds UTC, names stand as `name` (shown), `key` and `skeleton`."""

from typing import Annotated, Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Text,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

SCHEMA_REVISION = "0010"  # the newest migration; a test compares it with migrations/

# SQLite counts row ids only in a column declared INTEGER; they are 64 bits wide all the same.
_Identifier = BigInteger().with_variant(Integer, "sqlite")

Identifier = Annotated[int, mapped_column(_Identifier, primary_key=True)]
UserId = Annotated[int, mapped_column(_Identifier, ForeignKey("users.id"))]
RoomId = Annotated[int, mapped_column(_Identifier, ForeignKey("rooms.id"))]
Milliseconds = Annotated[int, mapped_column(BigInteger)]
UniqueText = Annotated[str, mapped_column(Text, unique=True)]


class Base(DeclarativeBase):
    """The base of tables. Every constraint has a name, so that migrations can drop it."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {str: Text()}  # noqa: RUF012 (SQLAlchemy's own name)


def _only_where(condition: str) -> dict[str, Any]:
    """Make the arguments of an index on some rows only.

    Other rows cost the index nothing. PostgreSQL's indexes are made so by the migrations. To say it
    here as well would import its dialect where there is none: 3 MiB.
    """
    return {"sqlite_where": text(condition)}


class User(Base):
    """An account. It was shown its private messages up to `private_seen_id`.

    `file_count` and `file_bytes` are kept sums of its rows of `files`: see queries/files.py.
    An account with `deleted_at` is gone, and its name is never given again.
    """

    __tablename__ = "users"

    id: Mapped[Identifier]
    name: Mapped[str]
    key: Mapped[UniqueText]
    skeleton: Mapped[UniqueText]
    password_hash: Mapped[str]
    is_admin: Mapped[bool] = mapped_column(default=False)
    is_disabled: Mapped[bool] = mapped_column(default=False)
    private_seen_id: Mapped[int] = mapped_column(BigInteger, default=0)
    created_at: Mapped[Milliseconds]
    file_count: Mapped[int] = mapped_column(Integer, server_default="0")
    file_bytes: Mapped[int] = mapped_column(BigInteger, server_default="0")
    deleted_at: Mapped[int | None] = mapped_column(BigInteger)


class Token(Base):
    """A secret that logs in as its user; kept as its SHA-256, for it is long and random."""

    __tablename__ = "tokens"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[Identifier]
    user_id: Mapped[UserId] = mapped_column(index=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    label: Mapped[str]
    made_at: Mapped[Milliseconds]
    used_at: Mapped[Milliseconds]


class Room(Base):
    """A room, and its owner. One with `deleted_at` is gone; its rows are removed later.

    Its messages are kept for `retention_days`: NULL means the server's default. A room with an
    `e2ee_from`, the id of its last message in the clear, is encrypted for good. Then `roster_rev`
    rises with each change of its members.
    """

    __tablename__ = "rooms"

    id: Mapped[Identifier]
    name: Mapped[str]
    key: Mapped[UniqueText]
    skeleton: Mapped[UniqueText]
    topic: Mapped[str] = mapped_column(default="")
    owner_id: Mapped[UserId] = mapped_column(index=True)
    created_at: Mapped[Milliseconds]
    retention_days: Mapped[int | None]
    deleted_at: Mapped[int | None] = mapped_column(BigInteger)
    e2ee_from: Mapped[int | None] = mapped_column(BigInteger)
    roster_rev: Mapped[int] = mapped_column(BigInteger, server_default="0")


class Member(Base):
    """A member of an encrypted room, present or not."""

    __tablename__ = "members"

    room_id: Mapped[RoomId] = mapped_column(primary_key=True)
    user_id: Mapped[UserId] = mapped_column(primary_key=True)


class Moderator(Base):
    """A moderator of a room that another user owns."""

    __tablename__ = "moderators"

    room_id: Mapped[RoomId] = mapped_column(primary_key=True)
    user_id: Mapped[UserId] = mapped_column(primary_key=True)


class Sanction(Base):
    """A ban from a room, or a mute in it. Until `until_at`, or for good.

    Without a `by_id`, the operator made it.
    """

    __tablename__ = "sanctions"
    __table_args__ = (CheckConstraint("kind IN ('ban', 'mute')", name="kind"),)

    kind: Mapped[str] = mapped_column(primary_key=True)
    room_id: Mapped[RoomId] = mapped_column(primary_key=True)
    user_id: Mapped[UserId] = mapped_column(primary_key=True)
    by_id: Mapped[int | None] = mapped_column(_Identifier, ForeignKey("users.id"))
    reason: Mapped[str]
    made_at: Mapped[Milliseconds]
    until_at: Mapped[int | None] = mapped_column(BigInteger)


class ServerSanction(Base):
    """A ban from the whole server, or a mute on it.

    It is on a user, or on a network of addresses in CIDR notation. See Sanction for the rest.
    """

    __tablename__ = "server_sanctions"
    __table_args__ = (
        CheckConstraint("kind IN ('ban', 'mute')", name="kind"),
        CheckConstraint("(user_id IS NULL) <> (network IS NULL)", name="subject"),
        UniqueConstraint("kind", "user_id"),
        UniqueConstraint("kind", "network"),
        Index(None, "until_at", **_only_where("until_at IS NOT NULL")),
    )

    id: Mapped[Identifier]
    kind: Mapped[str]
    user_id: Mapped[int | None] = mapped_column(_Identifier, ForeignKey("users.id"))
    network: Mapped[str | None] = mapped_column(Text)
    by_id: Mapped[int | None] = mapped_column(_Identifier, ForeignKey("users.id"))
    reason: Mapped[str]
    made_at: Mapped[Milliseconds]
    until_at: Mapped[int | None] = mapped_column(BigInteger)


class Ignored(Base):
    """A user who does not want to hear another."""

    __tablename__ = "ignored"

    user_id: Mapped[UserId] = mapped_column(primary_key=True)
    ignored_id: Mapped[UserId] = mapped_column(primary_key=True)


class Message(Base):
    """A line said in a room, or to one recipient. Ids rise and are never used again.

    `txn` is its sender's own name for it: sent twice under one, it is stored once. A message with a
    `sender_device`, the device's public name, is encrypted. Its `body` is then the `enc` that a
    program sent, as JSON.
    """

    __tablename__ = "messages"
    __table_args__ = (
        CheckConstraint("(room_id IS NULL) <> (recipient_id IS NULL)", name="addressee"),
        Index(None, "room_id", "id", **_only_where("room_id IS NOT NULL")),
        Index(None, "recipient_id", "id", **_only_where("recipient_id IS NOT NULL")),
        Index(None, "user_id", "txn", unique=True, **_only_where("txn IS NOT NULL")),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[Identifier]
    room_id: Mapped[int | None] = mapped_column(_Identifier, ForeignKey("rooms.id"))
    recipient_id: Mapped[int | None] = mapped_column(_Identifier, ForeignKey("users.id"))
    user_id: Mapped[UserId]
    is_action: Mapped[bool]
    body: Mapped[str]
    said_at: Mapped[Milliseconds]
    txn: Mapped[str | None] = mapped_column(Text)
    sender_device: Mapped[str | None] = mapped_column(Text)


class LoggedFact(Base):
    """What a decision did to a room, or, without a room, to the server. `data` is JSON.

    Its place is behind the message `after_id`, and behind all facts with lower ids. It is kept for
    an hour: the tables have what came of it.
    """

    __tablename__ = "facts"
    __table_args__ = (Index(None, "room_id", "id"), {"sqlite_autoincrement": True})

    id: Mapped[Identifier]
    after_id: Mapped[int] = mapped_column(BigInteger)
    room_id: Mapped[int | None] = mapped_column(_Identifier, ForeignKey("rooms.id"))
    kind: Mapped[str]
    data: Mapped[str]
    made_at: Mapped[Milliseconds] = mapped_column(index=True)


class SpentTxn(Base):
    """The `txn` of a purged message: sent again, it is not stored again."""

    __tablename__ = "spent_txns"

    user_id: Mapped[UserId] = mapped_column(primary_key=True)
    txn: Mapped[str] = mapped_column(primary_key=True)
    message_id: Mapped[int] = mapped_column(BigInteger)
    spent_at: Mapped[Milliseconds] = mapped_column(index=True)


class Restoration(Base):
    """A return to a backup: messages after `after_id`, up to `up_to_id`, are lost."""

    __tablename__ = "restorations"

    id: Mapped[Identifier]
    after_id: Mapped[int] = mapped_column(BigInteger)
    up_to_id: Mapped[int] = mapped_column(BigInteger)
    done_at: Mapped[Milliseconds]


class File(Base):
    """A file shared in a room or with one recipient. It is complete with a `sha256`.

    Without one, the file is being sent or removed; after a crash, its rest is removed. `size`
    counts for its user's quota in any case. Ids are never used again. A file that its sender
    encrypted (`e2ee`) has no name here.
    """

    __tablename__ = "files"
    __table_args__ = (
        CheckConstraint("(room_id IS NULL) <> (recipient_id IS NULL)", name="addressee"),
        Index(None, "room_id", "id", **_only_where("room_id IS NOT NULL")),
        Index(None, "recipient_id", "id", **_only_where("recipient_id IS NOT NULL")),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[Identifier]
    room_id: Mapped[int | None] = mapped_column(_Identifier, ForeignKey("rooms.id"))
    recipient_id: Mapped[int | None] = mapped_column(_Identifier, ForeignKey("users.id"))
    user_id: Mapped[UserId] = mapped_column(index=True)
    name: Mapped[str]
    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[bytes | None] = mapped_column(LargeBinary)
    made_at: Mapped[Milliseconds] = mapped_column(index=True)
    e2ee: Mapped[bool] = mapped_column(server_default=false())


class FileChunk(Base):
    """A piece of a file. Places count from 0; all pieces but the last are of one size."""

    __tablename__ = "file_chunks"

    file_id: Mapped[int] = mapped_column(_Identifier, ForeignKey("files.id"), primary_key=True)
    place: Mapped[int] = mapped_column(Integer, primary_key=True)
    data: Mapped[bytes] = mapped_column(LargeBinary)


# What the server keeps for end-to-end encryption, all public or ciphertext: docs/encryption.md.


class Device(Base):
    """A device of a user, as it describes itself; `device_id` is its public name.

    It is approved when the user's newest manifest lists it, and revoked when an earlier one did.
    A device that was on no manifest may be removed; no other device gets its `id`.
    """

    __tablename__ = "devices"
    __table_args__ = (UniqueConstraint("user_id", "device_id"), {"sqlite_autoincrement": True})

    id: Mapped[Identifier]
    user_id: Mapped[UserId]
    device_id: Mapped[str]
    ed25519: Mapped[UniqueText]
    curve25519: Mapped[UniqueText]
    payload: Mapped[str]
    sig: Mapped[str]
    made_at: Mapped[Milliseconds]
    seen_at: Mapped[Milliseconds]
    approved_at: Mapped[int | None] = mapped_column(BigInteger)
    revoked_at: Mapped[int | None] = mapped_column(BigInteger)


DeviceId = Annotated[int, mapped_column(_Identifier, ForeignKey("devices.id"))]


class Manifest(Base):
    """A list of a user's devices. It is signed by their identity key; the newest holds."""

    __tablename__ = "manifests"

    user_id: Mapped[UserId] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    aik: Mapped[str]
    payload: Mapped[str]
    sig: Mapped[str]
    made_at: Mapped[Milliseconds]


class OneTimeKey(Base):
    """A key to begin one conversation with. A claimed one stays a while.

    So it is not added again.
    """

    __tablename__ = "one_time_keys"
    __table_args__ = (
        UniqueConstraint("device_id", "kid"),
        Index(None, "device_id", "id", **_only_where("claimed_at IS NULL")),
        Index(None, "claimed_at", **_only_where("claimed_at IS NOT NULL")),
    )

    id: Mapped[Identifier]
    device_id: Mapped[DeviceId]
    kid: Mapped[str]
    payload: Mapped[str]
    sig: Mapped[str]
    claimed_at: Mapped[int | None] = mapped_column(BigInteger)


class FallbackKey(Base):
    """The key handed out when no other is left. It may be used any number of times."""

    __tablename__ = "fallback_keys"

    device_id: Mapped[DeviceId] = mapped_column(primary_key=True)
    kid: Mapped[str]
    payload: Mapped[str]
    sig: Mapped[str]
    is_used: Mapped[bool] = mapped_column(default=False)


class ToDevice(Base):
    """A message from device to device, which we can't read. A taken one has no body.

    Its sender's name for it is `txn`, with its place in that request: a retry adds nothing.
    """

    __tablename__ = "to_device"
    __table_args__ = (
        UniqueConstraint("sender_id", "txn", "place"),
        Index(None, "recipient_id", "id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[Identifier]
    recipient_id: Mapped[DeviceId]
    sender_id: Mapped[DeviceId]
    txn: Mapped[str]
    place: Mapped[int] = mapped_column(Integer)
    body: Mapped[str | None] = mapped_column(Text)
    sent_at: Mapped[Milliseconds] = mapped_column(index=True)


class DeviceChange(Base):
    """A change of a user's list of devices. Ids rise, and the oldest are removed."""

    __tablename__ = "device_changes"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[Identifier]
    user_id: Mapped[UserId]


class AuditRecord(Base):
    """A decision: actor, action, target, room, reason and time.

    It has names, not ids, so that it outlives its subjects.
    """

    __tablename__ = "audit"
    __table_args__ = (Index(None, "actor", "id"), {"sqlite_autoincrement": True})

    id: Mapped[Identifier]
    done_at: Mapped[Milliseconds]
    actor: Mapped[str]
    action: Mapped[str]
    target: Mapped[str]
    room: Mapped[str]
    reason: Mapped[str]
