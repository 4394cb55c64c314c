"""The refusals of end-to-end encryption.

Each has a stable code, and a sentence for the person.

    EncryptionRefusal
      StoreRefused   the keys on this disk can't be used
      Untrusted      the server brought something false; it is not shown as what it claims to be
      Withheld       a message would have gone where it must not; nothing was sent
      NotPossible    a request of the person can't be done; the sentence says what to do instead

Codes are for programs. A sentence is harmless to show, whatever a server named in it.
"""

from typing import ClassVar

from app.values.names import harmless

_CHARS_MAX = 100  # of each name in a sentence, for others chose it


class EncryptionRefusal(Exception):
    """A refusal: its code, its sentence, and `about`.

    `about` holds the names in the sentence: user, device, room ...
    """

    code: ClassVar[str] = ""
    sentence: ClassVar[str] = ""

    def __init__(self, **about: object) -> None:
        self.about = {key: harmless(str(value)[:_CHARS_MAX]) for key, value in about.items()}
        super().__init__(self.sentence.format_map(self.about))


class StoreRefused(EncryptionRefusal):
    """The keys on this disk can't be used."""


class WrongPassphrase(StoreRefused):
    """The passphrase opens nothing; a damaged header looks the same."""

    code = "wrong_passphrase"
    sentence = "that passphrase does not open {path}"


class StoreInUse(StoreRefused):
    """Another process has the store open. Two processes would take the same ratchet step twice."""

    code = "store_in_use"
    sentence = "your keys in {path} are open in another chat; close that one first"


class StoreDamaged(StoreRefused):
    """A row was changed, moved, or is missing."""

    code = "store_damaged"
    sentence = "your keys in {path} are damaged or were tampered with; restore or remove that file"


class StoreCopied(StoreRefused):
    """The file is a copy, or an earlier state. Its ratchets have been used since."""

    code = "store_copied"
    sentence = (
        "your keys in {path} are a copy, or an older state of them: going on would break the "
        "encryption; remove the file to become a new device, and approve that from another one"
    )


class OwnDeviceCopied(StoreRefused):
    """Another copy of this device's keys is in use. It sent a message under this device's name."""

    code = "device_copied"
    sentence = (
        "a copy of this device's keys is in use elsewhere, or these are an older state of them; "
        "revoke this device from another one, remove its keys, and begin as a new device"
    )


class StoreUnusable(StoreRefused):
    """The file can't be read or written, or is newer. A later version made it then."""

    code = "store_unusable"
    sentence = "can't use the keys in {path}: {why}"


class Untrusted(EncryptionRefusal):
    """The server brought something that can't be believed."""


class Malformed(Untrusted):
    """A payload or an answer has the wrong shape."""

    code = "malformed"
    sentence = "the server brought {what} that can't be read"


class BadSignature(Untrusted):
    """A signature is not by the right key."""

    code = "bad_signature"
    sentence = "the server brought {what} of {user} that {user} did not sign"


class WrongOwner(Untrusted):
    """A signed payload is for another user or device."""

    code = "wrong_owner"
    sentence = "the server brought {what} of somebody else as that of {user}"


class ManifestRolledBack(Untrusted):
    """The server shows an older list than before.

    It is a list of devices, and we have seen a newer one.
    """

    code = "manifest_rolled_back"
    sentence = (
        "the server shows an old list of the devices of {user}: somebody may be hiding a change; "
        "nothing is sent to {user} until it shows the new one"
    )


class ManifestForked(Untrusted):
    """The server shows two lists of devices under one number."""

    code = "manifest_forked"
    sentence = (
        "the server shows two different lists of the devices of {user}; "
        "nothing is sent to {user} while it does"
    )


class ManifestVanished(Untrusted):
    """The server hides the keys of a user with keys."""

    code = "manifest_vanished"
    sentence = (
        "the server hides the keys of {user}, who had some; nothing is sent to {user} while it does"
    )


class IdentityChanged(Untrusted):
    """A user's identity key is not the pinned one."""

    code = "identity_changed"
    sentence = (
        "the identity of {user} has changed: they began anew, or somebody is in between; "
        "nothing is sent to {user} until you compare /fingerprint {user} and type /trust {user}"
    )


class UnknownDevice(Untrusted):
    """The device is not on its user's signed list."""

    code = "unknown_device"
    sentence = "{user} never approved the device {device} that the server brought something from"


class WrongSender(Untrusted):
    """A message or key is shown under a wrong sender."""

    code = "wrong_sender"
    sentence = "a message shown as from {user} is not from {user}: the server changed its sender"


class WrongRecipient(Untrusted):
    """A message is for another device than this one."""

    code = "wrong_recipient"
    sentence = "the server brought something that {user} sent to somebody else"


class WrongRoom(Untrusted):
    """A message was said in another room."""

    code = "wrong_room"
    sentence = "a message of {user} was said in another room than {room}: the server moved it"


class Tampered(Untrusted):
    """The ciphertext was changed on its way."""

    code = "tampered"
    sentence = "a message of {user} was changed on its way, and can't be read"


class Replayed(Untrusted):
    """An earlier message is shown again. It has another id, or is shown as new."""

    code = "replayed"
    sentence = "the server shows an earlier message of {user} again as if it were new"


class PlaintextInjected(Untrusted):
    """A message or file in an encrypted room is in the clear."""

    code = "plaintext_injected"
    sentence = "{what} shown as from {user} is not encrypted, in a room that is: do not trust it"


class RoomRenamed(Untrusted):
    """The server gives an encrypted room another name.

    Keys go by the name of a room, so it keeps one name for good.
    """

    code = "room_renamed"
    sentence = (
        "the server says that {room} is called {name} now, which can't be: "
        "an encrypted room keeps its name"
    )


class SessionConflict(Untrusted):
    """A key for messages contradicts its owner's earlier one."""

    code = "session_conflict"
    sentence = "{user} sent a key that contradicts one they sent before; the first is kept"


class WedgedSession(Untrusted):
    """None of our sessions can read a message between devices."""

    code = "wedged_session"
    sentence = "a key from {user} could not be read; their client is asked to send it again"


class KeyMissing(Untrusted):
    """A message's key has not come, or never will."""

    code = "key_missing"
    sentence = "a message of {user} is waiting for its key; {user} may have to accept you"


class SaidBefore(Untrusted):
    """The key reads later messages only. This device may not read this one."""

    code = "said_before"
    sentence = "a message of {user} from before you could read"


class UnknownAlgorithm(Untrusted):
    """A later version encrypted the message."""

    code = "unknown_algorithm"
    sentence = "a message of {user} is encrypted in a way that this version can't read; update it"


class FileDamaged(Untrusted):
    """A file's bytes are not those that were sent."""

    code = "file_damaged"
    sentence = "the file {name} was damaged or tampered with on its way, and is not kept"


class VerificationFailed(Untrusted):
    """A verification's numbers or proof did not match. Another party may be in between."""

    code = "verification_failed"
    sentence = (
        "the verification with {user} failed: somebody may be in between; "
        "nothing is sent to {user} until you type /trust {user}"
    )


class ApprovalFailed(Untrusted):
    """A device or an identity does not fit the code."""

    code = "approval_failed"
    sentence = "the code does not fit the device {device}: mistyped, or not the device you hold"


class KeyFileRefused(Untrusted):
    """An exported file of keys can't be opened."""

    code = "key_file_refused"
    sentence = "can't open {path}: the passphrase is wrong, or it is no intact file of keys"


class Withheld(EncryptionRefusal):
    """A message was kept from going where it must not."""


class Downgraded(Withheld):
    """The server calls an encrypted room no longer encrypted."""

    code = "downgraded"
    sentence = (
        "the server says that {room} is no longer encrypted, which can't be; nothing was sent"
    )


class NotEncrypted(Withheld):
    """The room is not encrypted, and never was."""

    code = "not_encrypted"
    sentence = "{room} is not encrypted; nothing was sent"


class NotApproved(Withheld):
    """The device is not on its user's list."""

    code = "not_approved"
    sentence = (
        "this device is not approved; on one that is, type: /device approve {device} {approval}"
    )


class Revoked(Withheld):
    """Another device of its user revoked this one."""

    code = "revoked"
    sentence = (
        "this device was revoked, and neither reads nor writes what is encrypted; to begin as a "
        "new one, leave, and remove its file of keys"
    )


class IdentityLost(Withheld):
    """The server shows another identity as our own."""

    code = "own_identity_changed"
    sentence = (
        "the server shows another identity as yours: another client of yours began anew, or "
        "somebody pretends to be you; warn others, and nothing is sent until it is gone"
    )


class NotPossible(EncryptionRefusal):
    """A request of the person can't be done."""


class NoKeys(NotPossible):
    """The user has never opened a client that encrypts."""

    code = "no_keys"
    sentence = "{user} has no keys yet: they have to open manage.py chat once"


class NoSuchDevice(NotPossible):
    """There is no device of that name."""

    code = "no_such_device"
    sentence = "there is no device {device}; /devices shows yours"


class NotAMember(NotPossible):
    """The user is not in the room."""

    code = "not_a_member"
    sentence = "{user} is not in {room}"


class NothingToVerify(NotPossible):
    """No verification with that person is under way."""

    code = "nothing_to_verify"
    sentence = "no verification with {user} is under way; begin one with /verify {user}"


class TooLong(NotPossible):
    """The text does not fit into one message."""

    code = "too_long"
    sentence = "a message has at most {bytes_max} bytes"
