"""Every bound of the server that needs no tuning: its unit, and its reason.

Those that an operator may set are in settings.py.
"""

from typing import Annotated

# The bound of something that peers make the server keep. Each stands in a table of
# docs/operations.md with who loses first, and the metric that shows it; a test compares them.
# These, and those that end in _MAX, are in docs/protocol/limits.md with their comments here.
Kept = Annotated[int, "kept for peers"]

# The journal. Senders wait when it is full, and so does their TCP. It holds a batch at least, or a
# batch would never be full.
JOURNAL_ENTRIES_MAX: Kept = 16_384  # waiting to be committed
JOURNAL_BYTES_MAX: Kept = 512 << 10  # of their text: with a batch, less than an outbox
BATCH_ENTRIES_MAX = 4_096  # in one transaction: some 15 ms of the writer's time
BATCH_BYTES_MAX = 256 << 10  # of text in one transaction: a quarter of a reader's outbox
BATCH_INTERVAL_FACTOR = 3  # times the last batch's duration: then a busy journal starts the next
BATCH_INTERVAL_SECONDS_MAX = 0.010  # the longest such interval; an idle journal never waits
RETRY_SECONDS = 5.0  # between tries to write after a failure, while no message comes
READ_SECONDS = 0.001  # the end of that interval, in which lines that arrived are read
LAG_SECONDS = 0.005  # by which each line is read later in a room where most readers are behind
DELIVERIES_BETWEEN_YIELDS = 500  # sends in a row before others get a turn: some 4 ms

# Names and text.
NAME_CHARS_MAX = 32  # of a user or a room: a line has room for it, and for a message
BLANKS_SHOWN_MAX = 16  # in a row, to people: with more, text could pass for a line of the server
TAB_COLUMNS = 8  # of a tab on a screen, at most
MARKS_IN_A_ROW_MAX = 8  # marks and joiners on one letter of a text; the tallest scripts need five
LETTERS_REMEMBERED_MAX: Kept = 16_384  # of names, with their lookalikes: some 4 MB
NAMES_REMEMBERED_MAX: Kept = 4_096  # with their keys, which take long to make: some 2 MB

# What clients may ask for.
HISTORY_PAGE_MAX = 1_000  # messages of one /history
REPLAY_BYTES_MAX = 384 << 10  # of text shown at once: even as JSON less than may be unread
RECENT_MESSAGES_MAX: Kept = 256  # of each live room, in memory, for those who come back
RECENT_BYTES_MAX: Kept = 64 << 20  # of memory, of all live rooms: 640 rooms of everyday talk
SINCE_MESSAGES_MAX = 1_000  # replayed to a client that comes back; /history has the rest
ROOMS_A_SESSION_MAX: Kept = 100  # that one program may be in
ID_MAX = (1 << 63) - 1  # of a message, a token, a file: the highest that the database can hold
TXN_CHARS_MAX = 64  # a UUID, twice over
REQUEST_ID_CHARS_MAX = 64  # a UUID, twice over
ENC_ALG_CHARS_MAX = 32  # of the name of a message's cipher
ENC_SESSION_CHARS_MAX = 64  # of the id of the session that encrypts it
ENC_CIPHERTEXT_CHARS_MAX = 48 << 10  # base64 of 16 KiB of text, however its JSON escapes it
TOKENS_A_USER_MAX: Kept = 50  # beyond it, the one unused for longest goes
TOKEN_USED_SECONDS = 86_400  # how exactly it is known when a token was used: no write a login
MAILBOX_SHOWN_MAX = 100  # private messages, the newest, when their addressee comes back
MAILBOX_PAGE = 100  # of them read at once
MAILBOX_MAX: Kept = 11_000  # private messages that wait for one user
MAILBOX_OF_ONE_MAX: Kept = 1_000  # of them, of one sender, or a tenth of what is free
MAILBOXES_COUNTED_MAX = 256  # of users who are away: their unread messages are counted once
LISTED_MAX = 100  # items of a list where no other number is asked for: a few screens
PAGE_ITEMS_MAX = 500  # items of a page of a list: some 3 ms, and even as JSON some 500 KB
REASON_CHARS_MAX = 200  # of a reason, a topic, an away note: a line or two of a screen
SPAN_SECONDS_MAX = 10 * 365 * 86_400  # of a ban or a mute; one that is to last longer is for good
PASSWORD_BYTES_MAX = 1_024  # far over any passphrase, and too few to cost the hasher time
LOGIN_SECONDS_IN_ALL_MAX = 300  # to log in, however often a line comes: a slow typist has enough
MESSAGE_RATE_MIN = 0.1  # a second: with less, a user could not tell whether the server still reads
MESSAGE_RATE_MAX = 1_000_000  # a second, and of a burst: more than any server reads
LOGIN_FAILURES_MAX = 3  # on one connection, before it is closed
THROTTLED_KEYS_MAX: Kept = 50_000  # addresses, names, accounts, of each throttle: some 15 MB
SANCTIONS_A_ROOM_MAX: Kept = 1_000  # bans in force, and as many mutes: some 400 KB each in memory
MODERATORS_A_ROOM_MAX: Kept = 100  # more than can know of one another
MEMBERS_A_ROOM_MAX: Kept = 1_000  # of an encrypted room: each costs all others a key
IGNORED_A_USER_MAX: Kept = 500  # a page: all of them can be shown at once
AUDIT_RECORDS_A_USER_MAX: Kept = 10_000  # of acts by a role in rooms, not by admins: some 3 MB
FACTS_A_LOG_MAX: Kept = 1_000  # of a room, or of the server: some 300 KB
THROTTLE_STEPS_MAX = 64  # of forgetting keys, for each act: some 0.1 ms

# Files.
FILE_PATH_CHARS_MAX = 4_096  # that a user may type as a name: it may come with its folders
FILE_NAME_BYTES_MAX = 255  # the limit of the file systems to which it is fetched
FILE_CHUNK_BYTES = 256 << 10  # a row, a transaction, and the memory of each transfer
FILE_CHUNK_SECONDS_MAX = 60  # for one to come: a line slower than 4 KiB a second is cut
FILE_CHUNKS_REMOVED_AT_ONCE = 16  # in a transaction: messages wait for it
FILE_IN_LINES_BYTES_MAX = 64 << 10  # sent and shown as base64 among the lines of a chat
FILES_A_USER_MAX: Kept = 1_000  # empty ones too: a row each, some 500 KB
FILE_REAP_SECONDS = 3_600  # between looks for files whose time is over
TICKET_SECONDS_MAX = 600  # from the answer to /send or /get to the beginning of the transfer
TICKETS_A_USER_MAX: Kept = 50  # not used yet; beyond it, the oldest goes
TICKETS_MAX: Kept = 10_000  # of all users: some 5 MB
TRANSFERS_A_USER_MAX: Kept = 16  # under way at once
TRANSFERS_MAX: Kept = 128  # of all users: with the chunk that each holds, some 32 MiB
TRANSFER_SECONDS_GRANTED = 60  # before it may make way for one of a user who has none under way

# End-to-end encryption: devices, their keys, and their mail.
LONG_LINE_BYTES_MAX = 64 << 10  # of a client that put its device: keys for 30 devices
DEVICES_A_USER_MAX: Kept = 20  # on a list: one person's machines; each costs a key a rotation
SIGNED_CHARS_MAX = 16 << 10  # that a client reads of a signed text of another: five full lists
DEVICE_PAYLOAD_CHARS_MAX = 1_024  # of a device's description: some 350
MANIFEST_PAYLOAD_CHARS_MAX = 3_500  # 20 devices: some 3,000; an answer has up to 100 of them
KEY_PAYLOAD_CHARS_MAX = 512  # some 200
SIGNATURE_CHARS_MAX = 100  # 86 in the one form that is right
SIGNATURES_IN_A_ROW_MAX = 10  # checked before others get a turn: some 1 ms
NAMES_IN_A_ROW_MAX = 10  # of a request's hundred, read before others get a turn: some 3 ms
DEVICES_EVER_MAX: Kept = 1_000  # of one user, revoked ones too: no id is used again
DEVICES_WAITING_MAX: Kept = 50  # of one user, for approval; then the one unseen longest goes
NEW_DEVICES_AN_HOUR_MAX = 60  # of one user: more machines than a person has in a lifetime
MANIFESTS_AN_HOUR_MAX = 60  # of one user: each is told to all users who know them
MANIFESTS_KEPT_MAX: Kept = 1_000  # of one user: some 4 MB
ONE_TIME_KEYS_AT_ONCE_MAX = 100  # of one upload: twice as many as a client holds ready
ONE_TIME_KEYS_A_DEVICE_MAX: Kept = 500  # unclaimed ones: ten times as many as a client holds ready
ONE_TIME_KEYS_LOW = 10  # left: then the device is told to bring more
KEY_UPLOADS_AN_HOUR_MAX = 60  # of one user: a client needs one to start, and one for 40 claims
CLAIMED_KEY_DAYS: Kept = 30  # until a key that was claimed can be offered again
CLAIMS_AT_ONCE_MAX = 100  # devices of one request
CLAIMS_AN_HOUR_AND_DEVICE_MAX = 30  # by one user, of one device: each of theirs once, and again
ENTRIES_AN_HOUR_MAX = 20  # of one user, into one encrypted room: each makes all others send keys
KEY_QUERY_USERS_MAX = 100  # of one request
KEY_QUERIES_A_MINUTE_MAX = 600  # of one user: a client in 100 rooms asks some 100 when it starts
KEY_QUERY_CHARS_MAX = 384 << 10  # of an answer's payloads: even as JSON less than may be unread
USERS_WATCHED_MAX: Kept = 1_000  # whose changes a session is told; then all users': some 100 KB
DEVICE_CHANGES_MAX: Kept = 1_000  # remembered for a client that comes back; the rest ask for all
DEVICE_MAIL_AT_ONCE_MAX = 100  # items of one request
DEVICE_MAIL_CHARS_MAX = 32 << 10  # of all bodies of one request, if it has several
DEVICE_MAIL_BODY_CHARS_MAX = 48 << 10  # of one: 32 KiB, encrypted and as base64
DEVICE_MAIL_SENDS_A_MINUTE_MAX = 300  # of one user: the first messages in 100 rooms
DEVICE_MAILBOX_ITEMS_MAX: Kept = 2_200  # that wait for one device: some 4 MB
DEVICE_MAILBOX_ITEMS_OF_ONE_MAX: Kept = 200  # of one other user: keys of 100 rooms, twice
DEVICE_MAIL_FETCHED_MAX = 100  # items of one answer
DEVICE_MAIL_FETCHED_BYTES_MAX = 256 << 10  # of their bodies: even as JSON less than may be unread
DEVICE_MAIL_DAYS_MAX: Kept = 30  # in which a device takes its mail, or never

# Removal for good, and retention. A piece is a transaction: a message waits for at most one.
REMOVED_AT_ONCE = 500  # messages that a piece of it looks at: some 2 ms of the writer's time
REAP_SECONDS = 3_600  # between looks for messages whose time is over, and for deleted rooms
FACTS_KEPT_SECONDS = 3_600  # in the logs of rooms and of the server
ROOM_REAP_SECONDS = 60  # from a room's deletion until it is reaped: its last messages are stored
RETENTION_DAYS_MAX = 3_650  # that a room can be set to; longer is for ever
SPENT_TXN_DAYS: Kept = 7  # in which a retry can't store a purged message again
VACUUM_PAGES_AT_ONCE = 32  # of 4 KiB, given back to the disk in a transaction, one after the other
LOG_BYTES_KEPT = 16 << 20  # of SQLite's log, which grows while a transaction reads
CHECKPOINT_TRIES_MAX = 50  # to empty the write-ahead log: a second, in which readers come to an end
CHECKPOINT_WAIT_MILLISECONDS = 10  # for readers, in one try: messages wait as long
EXPORT_PAGE = 500  # messages or files read at once
BACKUP_PAGES_AT_ONCE = 1_024  # of 4 KiB, between looks at the clock and the progress bar
# How far ids jump ahead in a restored database, so that none is given twice: further than they came
# since the backup, and not so far that a person could not type the number of a file.
MESSAGE_IDS_SKIPPED = 10_000_000_000  # some 300 messages a second for a year
FILE_IDS_SKIPPED = 100_000
TOKEN_IDS_SKIPPED = 100_000
DEVICE_MAIL_IDS_SKIPPED = 10_000_000_000
DEVICE_CHANGE_IDS_SKIPPED = 100_000_000
ROSTER_REVS_SKIPPED = 1_000_000  # of each encrypted room: a change of members a minute, for a year

# Connections.
TURN_SECONDS = 1e-6  # for others between steps: of 0 the hub makes 1,000 before it polls sockets
ACCEPT_BACKLOG = 1_024  # that the kernel holds until they are accepted
ACCEPTED_IN_A_ROW_MAX = 8  # before others get a turn: some 2 ms
RESERVED_DESCRIPTORS = 64  # kept from clients, for the database, the log, and for refusing clients
REFUSED_WITH_PATIENCE_MAX = 16  # newcomers at once that are heard before they are told: it is full
RECEIVE_BYTES_MAX = 16_384  # read at once: a record of TLS
READ_BYTES_MIN = 16  # counted for a read without a line: TLS may bring one byte in a record
LINES_IN_A_ROW_MAX = 200  # or chunks of HTTP, of one read, before others get a turn: 10 ms at worst
FIRST_BYTES = 16  # of a newcomer that are looked at: the longest method of HTTP, and a blank
FIRST_BYTES_SECONDS_MAX = 0.250  # until a newcomer who sends none is greeted as a person
FIRST_BYTES_TLS_SECONDS_MAX = 1.2  # the same where there is TLS: a lost ClientHello comes after 1 s
FIRST_BYTES_POLL_SECONDS = 0.010  # between looks, while they could be the beginning of a method
REPLY_BYTES_MAX = 65_536  # of an answer sent at once; a longer one waits for its reader in between
KEEPALIVE_PROBE_SECONDS = 15  # between two questions whether a silent peer is there
KEEPALIVE_PROBES = 4  # left without an answer, and the peer is gone: the silence, and 60 s
LAST_WORDS_SECONDS_MAX = 5  # for a closed client to read why; for transfers, at the end
DISCARD_SECONDS_MAX = 0.5  # of reading what a peer still sends after goodbye
DRAIN_SECONDS_MAX = 8  # from SIGTERM to exit, whatever the clients do
DRAIN_POLL_SECONDS = 0.020  # between looks whether the clients are gone

# Bans from the whole server, and mutes on all of it.
NETWORK_BITS_MIN = {4: 8, 6: 16}  # by IP version: a prefix wider than any network is a slip
SERVER_SANCTIONS_OF_ONE_MAX: Kept = 2_000  # by one admin; the operator may make more
SERVER_SANCTIONS_MAX: Kept = 10_000  # in force at once, in memory: some 5 MB

CONTROL_LINE_BYTES_MAX = 1 << 16  # of a request of manage.py: an announcement, a password
CONTROL_CONNECTIONS_MAX: Kept = 16  # of manage.py at once: a person, and a few scripts

# TLS and HTTP.
TLS_RECORD_BYTES_MAX = 16_384  # of data in a record (RFC 8446, 5.1)
TLS_HANDSHAKE_SECONDS_MAX = 5  # some round trips to the moon; also at a byte a second
SELFSIGNED_DAYS = 365  # that a certificate of `manage.py selfsigned` holds
HTTP_REQUEST_SECONDS_MAX = 10  # of waiting for a request, and then of reading its headers
HTTP_HEAD_BYTES_MAX = 16 << 10  # of a request's headers: browsers send some 2 KiB
HTTP_HEADERS_MAX = 64  # of a request: browsers send some 20
HTTP_STALL_SECONDS_MAX = 30  # in which a peer sends, or takes, nothing of a body

# Records of the log that clients can cause as often as they like.
LOG_RECORDS_A_MINUTE_AND_ADDRESS_MAX = 60  # of one event: some 10 MB a day, if it never ends
LOG_RECORDS_A_MINUTE_MAX = 600  # of one event, of all addresses: some 100 MB a day
LOG_BYTES_WAITING_MAX: Kept = 1 << 20  # while no program reads the log: some 5,000 records
LOG_LAST_SECONDS_MAX = 1.0  # at the end, for records that wait to be written

# The database and the interpreter.
DATABASE_BUSY_SECONDS_MAX = 5  # how long another process may hold the database before a write fails
DATABASE_CHECK_SECONDS_MAX = 1.0  # of looking for damage at start; of a large one, at a part
DATABASE_PROBE_SECONDS = 5  # of silence, until PostgreSQL and we ask whether the other is there
DATABASE_PROBES = 3  # left without an answer, and the other is gone
WRITES_TOGETHER_MAX = 200  # in one transaction, besides messages
WRITES_SECONDS_MAX = 0.005  # after which such a transaction takes no further write: messages wait
READER_THREADS = 2  # reads are short; a second thread lets one slow page not hold up a join
SWITCH_INTERVAL_SECONDS = 0.0005  # a tenth of Python's own: the writer waits for it at each step
COLLECTION_SECONDS_MAX = 0.02  # of garbage, while no client is served: a longer one freezes it

# The server's view of itself.
PULSE_SECONDS = 0.1  # between looks how late the hub is: a four-hundredth of a core
SNAPSHOT_SECONDS = 1.0  # between snapshots of the metrics
MINUTE_SECONDS = 60.0  # of snapshots, for rates and p99s
RECENT_SECONDS = 10.0  # of snapshots, for the rates of a shorter time
DISK_SECONDS = 2.0  # between looks at the files: a change of their fate is told within 5 s
OUTBOXES_SHOWN_MAX = 3  # of the fullest: more than that are no single slow reader

# From here on `status` is concerned; the last ones: from here on /healthz is ill.
COMMIT_SECONDS_CONCERN = 0.1  # p99: each message waits for one, and from here on it is noticed
COMMIT_STUCK_SECONDS = 1.0  # of one under way: a disk under load takes some 0.02
DISK_SILENT_SECONDS = 30.0  # without an answer to how full the disk is: it hangs
DISK_FREE_BYTES_CONCERN = 512 << 20  # some days of a busy chat, and room for a small backup
OUTBOX_SHARE_CONCERN = 0.5  # of a reader's outbox; one batch is a quarter
FAILED_LOGINS_CONCERN = 60  # a minute: three times as many as one address may fail
PASSWORDS_WAITING_CONCERN = 60  # two seconds of the hashing thread
HUB_SECONDS_CONCERN = 0.25  # it never stops for longer than 0.01 on purpose
CERTIFICATE_SECONDS_CONCERN = 14 * 86_400  # until it runs out: time to get a new one by hand
DESCRIPTORS_SHARE_CONCERN = 0.9  # of the limit of open files
COMMIT_SECONDS_ILL = 10.0  # twice as long as another process may hold the database
HUB_SECONDS_ILL = 1.0  # a stall that every client noticed
HUB_ILL_SECONDS = 10.0  # for which it is remembered: as often as health is asked for, at least


assert BATCH_ENTRIES_MAX <= JOURNAL_ENTRIES_MAX  # noqa: S101 (see The journal)
assert BATCH_BYTES_MAX <= JOURNAL_BYTES_MAX  # noqa: S101 (see The journal)
