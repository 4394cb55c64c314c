"""Encrypt between clients, end to end.

Neither the server, nor its database, nor its operator can read along.

Pure: no socket, no screen, no thread; callers pass the time in. `Device` joins all parts. Its
flows yield requests for the server; the caller, who has a connection, sends them (`run`).

    refusals.py     every refusal, with a sentence for the person
    flows.py        driving flows; the requests that they yield
    payloads.py     the shapes of all that is signed, encrypted or sent
    signing.py  sealing.py      signatures; data under a passphrase
    store.py        the keys on the disk
    people.py  directory.py     the keys of each user: pinned; asked of the server
    rosters.py      the members of a room, and which of them may read
    olm.py  postbox.py          from device to device: the ratchet; the mailbox
    roomkeys.py  envelope.py    the keys of rooms; what is inside a message
    outbox.py  sending.py       messages sent once, and only to the right devices
    reading.py  notices.py      messages checked and shown; notices for the person
    attachments.py  keyfile.py  files; the keys to old messages in a file
    verification.py  approval.py  owndevices.py       verifying persons; approving devices
    device.py       all parts joined

The libraries are vodozemac, for Olm and Megolm, and cryptography; there is no primitive of our own.
"""

from app.encryption.attachments import FileOpener, FileSealer, sealed_bytes
from app.encryption.device import Device, seen_encrypted
from app.encryption.flows import Ask, ServerRefused, run
from app.encryption.notices import Notice, Shown
from app.encryption.payloads import FileReference, private_room
from app.encryption.reading import Received, received
from app.encryption.refusals import (
    EncryptionRefusal,
    NotPossible,
    StoreRefused,
    Untrusted,
    Withheld,
)
from app.encryption.rosters import Roster
from app.encryption.store import KeyStore

__all__ = [
    "Ask",
    "Device",
    "EncryptionRefusal",
    "FileOpener",
    "FileReference",
    "FileSealer",
    "KeyStore",
    "NotPossible",
    "Notice",
    "Received",
    "Roster",
    "ServerRefused",
    "Shown",
    "StoreRefused",
    "Untrusted",
    "Withheld",
    "private_room",
    "received",
    "run",
    "sealed_bytes",
    "seen_encrypted",
]
