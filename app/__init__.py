"""Greenroom: a chat server that you can telnet into, and that keeps what it showed anyone.

    bytes -> lines -> Command -> Service
          -> Journal (one transaction a batch) -> Event -> rendered once -> one send a reader

One batch is one transaction is one send per reader. While a batch is being committed, what arrives
forms the next one; when the commit is through, its events are rendered once per wire and room, and
each reader gets all of them in one send. So nobody sees what is not on disk, and the more there is
to do, the less each delivery costs.

Read it in this order:

    bounds.py       every bound that nobody needs to tune, with its unit and reason
    settings.py     what an operator may set
    errors.py       every refusal, with its stable code
    values/         what is typed and shown: normalise, compare, make harmless
        names.py  times.py  sizes.py                names and text; times and spans; counts
        addresses.py  networks.py                   where to listen; addresses of peers
    protocol/       what is asked, what happened, what lists have; COMMANDS is the table of all
        command.py  event.py                        what a command is; what an event is
        talk.py  rooms.py  moderation.py  files.py  accounts.py  devices.py  removal.py  server.py
                                                    a file a subject
        signed.py  signatures.py                    what devices sign; whether they did
        figures.py                                  how the server is
    measures/       what is counted and timed
        metrics.py  last_minute.py  process.py      counters; how they grew; what the kernel says
    wires/          bytes <-> commands and events; pure: a folder a wire
        wire.py  wires.py                           what every wire keeps; which there are
        lines.py                                    bytes to lines
        text/       for people
            text.py  telnet.py  typed_lines.py  base64_lines.py    bytes to lines, as people type
            commands.py  events.py  help.py         lines to commands; events to words
        ndjson/     for programs
            ndjson.py  requests.py  events.py       lines to commands; events to objects
            schema.py                               and their description, made from them
    engine/         what all subjects work with
        client.py       what the service needs of a connection
        presence.py     who is connected, and the live rooms they are in
        kit.py          the tools of each part of the service; how it says what it carries out
        journal.py      orders, commits in batches, releases
        entries.py      arrivals, departures and facts, on their way through it
        delivery.py     a released batch on its way to its readers
        recent.py  ranks.py                         a room's newest messages; rooms by size
        apply.py        what a decision does to a live room
        decisions.py    a decision, written together with its record in the audit
        limits.py  tickets.py                       how often; the right to move a file
    chat/           what may happen: the service layer, a folder a subject
        service.py      its parts, which carry out commands
        accounts/
            accounts.py  tokens.py  passwords.py  fair_queue.py    logging in
            own_account.py  administration.py       what users and admins do about accounts
            server_bans.py  endings.py              who is kept out; ending all that an account may
        talk/
            messages.py  private.py                 in rooms; between two users
        rooms/
            rooms.py  members.py                    entering and leaving; members of encrypted ones
            encryption.py  administration.py        making one encrypted; what admins do to rooms
        moderation/
            moderation.py  sanctions.py             in a room; on the whole server
        devices/
            devices.py  keys.py  mail.py            what clients that encrypt leave for others
        files/
            files.py  transfers.py                  who may share files and fetch them; the bytes
        removal/
            purging.py  retention.py  deletion.py   messages, now or in time; accounts
        server/
            status.py  health.py  shutdown.py       how it is; what is wrong; its end
    database/       what is kept
        tables.py       the tables
        database.py     engines; the thread that writes, the threads that read
        postgresql.py   what is different there
        disk.py  lock.py  held.py                   files; one server at a time on a database
        opening.py  migration.py                    opening the database at start
        vacuum.py       rewriting it without what was removed
    queries/        what is read and written: a file a subject, above the tables
        messages.py  rooms.py  members.py  files.py  accounts.py  tokens.py  sanctions.py  audit.py
        devices.py  device_keys.py  device_mail.py
        purging.py  retention.py                    removing, in small pieces
        deletion.py                                 all that goes with an account
    archive/        taking it elsewhere, and back
        exporting.py  backup.py  contents.py        as text; as a file; what may be in that
    net/            sockets and greenlets
        protocols.py    what a newcomer speaks, by its first bytes
        sockets.py  tls.py  selfsigned.py           plain sockets and TLS; certificates
        connection.py   a socket, its outbox, the greenlet that reads it
        requests.py                                 the grammar of HTTP, strictly
        http.py  hosts.py  transfer.py              what is asked over HTTP; by which names; files
        exposition.py   the metrics, as Prometheus reads them
        pulse.py        whether everybody gets a turn; what the service manager is told
        garbage.py      collections of garbage, kept short
        listener.py     takes newcomers in, a few at a time
        server.py       serves them while there is room
        control.py      the socket at which manage.py asks a running server
        local.py        the same without a server
        main.py         the process
    client/         the library for programs at the other end; it needs nothing of all this
        client.py  connection.py  incoming.py  stream.py  resume.py
    encryption/     end-to-end encryption for clients: pure, and nothing that a server needs
        refusals.py  flows.py  payloads.py  signing.py  sealing.py    what it is made of
        store.py        the keys on the disk
        people.py  directory.py  rosters.py         whose keys are whose; who may read
        olm.py  postbox.py                          from device to device
        roomkeys.py  envelope.py                    the keys of rooms; what is inside a message
        outbox.py  sending.py  reading.py  notices.py    messages, said and read
        attachments.py  keyfile.py                  files; keys in a file
        verification.py  approval.py  owndevices.py  persons and their devices
        device.py       all of it together
    terminal/       the client for people at a terminal, on top of it: manage.py chat
        main.py  login.py  memory.py                before there is a screen
        arrivals.py     what the server tells, at the door
        typed.py  phrases.py  model.py              what is typed and told; what is known
        host.py         what asks for what of the screen
        asking.py       passphrases and passwords, asked for until they are right
        outgoing.py     what was typed and waits for its turn, through the end of the program
        screen/
            screen.py  pane.py  appearance.py  status.py  completion.py    how it looks
            drawing.py  rows that are drawn whole
        files/
            files.py  transfers.py  filenames.py    sent and fetched
        encrypted/
            keys.py  thread.py                      keys on this disk; the thread that uses them
            commands.py  files.py  conversation.py  whose keys are whose; files; all of it
        application.py  all of it together
    cli/            manage.py's commands
        main.py         serving and chatting
        asking.py       how the others reach a running server, or the database
        accounts.py  rooms.py  moderation.py  live.py  status.py  audit.py    a file a subject
        upkeep.py  data.py                          removing; exports, backups
        tables.py  arguments.py  output.py  standard.py    how answers look, and where they go
    log.py          the log

Imports point one way: net -> wires, chat -> engine -> queries -> database; terminal -> client,
encryption, wires; all of them -> protocol, values. tests/test_structure.py has the whole table.
"""
