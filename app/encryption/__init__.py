"""End-to-end encryption, for clients: the server, its database and its operator can't read along.

Pure: no socket, no screen, no thread; what time it is, is passed in. `Device` is all of it. Its
flows say what is to be asked of the server; whoever has a connection asks it (`run`).

    refusals.py     every refusal, with a sentence for the person
    flows.py        how a flow is driven; what it asks
    payloads.py     the shapes of all that is signed, encrypted or sent
    signing.py  sealing.py      signatures; data under a passphrase
    store.py        the keys on the disk
    people.py  directory.py     whose keys are whose: pinned; asked of the server
    rosters.py      who is in a room, and may read
    olm.py  postbox.py          from device to device: the ratchet; the mailbox
    roomkeys.py  envelope.py    the keys of rooms; what is inside a message
    outbox.py  sending.py       said once, and only to whom it may concern
    reading.py  notices.py      what can be believed; what the person is told
    attachments.py  keyfile.py  files; the keys to old messages in a file
    verification.py  approval.py  owndevices.py       persons and their devices
    device.py       all of it together

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
