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
    names.py        names and text: normalise, compare, make harmless
    addresses.py    where to listen, as people write it
    networks.py     addresses of peers, and networks of them
    times.py        times and spans as people write them
    sizes.py        sizes and counts as people say them
    errors.py       every refusal, with its stable code
    protocol/       what is asked, what happened, what lists have; COMMANDS is the table of all
        command.py  event.py                        what a command is; what an event is
        talk.py  rooms.py  moderation.py  files.py  accounts.py  devices.py  removal.py  server.py
                                                    a file a subject
        signed.py  signatures.py                    what devices sign; whether they did
        figures.py                                  how the server is
    metrics.py  last_minute.py                      what is counted and timed; how it grew
    process.py                                      what the kernel says
    wire/           bytes <-> commands and events; pure
        wire.py  wires.py                           what every wire keeps; which there are
        lines.py  telnet.py  typed_lines.py         bytes to lines; keys that end and erase them
        text_commands.py  text_events.py  text_help.py  base64_lines.py  text.py    for people
        ndjson_requests.py  ndjson_events.py  ndjson.py    what programs send and read
        ndjson_schema.py                            and its description, made from them
    chat/           what may happen: the service layer
        session.py      who is speaking, and where; what the service needs of a connection
        service.py      its parts, which carry out commands
        kit.py          what all of them work with
        journal.py      orders, commits in batches, releases
        entries.py      who comes to rooms and goes, and what is shown there, on the way through it
        delivery.py     a released batch on its way to its readers
        room.py  recent.py                          one live room; its newest messages
        apply.py        what a decision does to a live room
        rooms.py        entering rooms and leaving them
        rosters.py  encrypted_rooms.py              who belongs to encrypted ones; making one so
        files.py        who may share files and fetch them
        tickets.py  transfers.py                    the right to do so; the bytes
        messages.py  private.py  moderation.py      what is said; who may say it no more
        accounts.py  tokens.py  passwords.py  turns.py  limits.py    who they are; how often
        own_account.py  deletion.py                 what users do about their own; its end
        purging.py  retention.py                    what is removed, now or in time
        devices.py  device_keys.py  device_mail.py  what clients that encrypt leave for others
        status.py  concerns.py                      how the server is; what is wrong
        sanctions.py  in_force.py                   who is kept out of the whole server, or silent
        endings.py      what an account may, and how all of it ends
        acts.py  administration.py  room_administration.py  shutdown.py
                                                    what admins and the operator do to all of these
    store/          what is kept
        models.py       the tables
        database.py     engines; the thread that writes, the threads that read
        postgresql.py   what is different there
        messages.py  rooms.py  rosters.py  files.py  accounts.py  tokens.py  sanctions.py  audit.py
                                                    the queries
        devices.py  device_keys.py  device_mail.py  likewise, of clients that encrypt
        purging.py  retention.py  vacuum.py         removing, in small pieces
        deletion.py                                 all that goes with an account
        exporting.py  backup.py  values.py          taking it elsewhere, and back; what may be in it
        disk.py  lock.py  held.py                   files; one server at a time on a database
        opening.py  migration.py                    opening the database at start
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
        screen.py  pane.py  appearance.py  status.py  completion.py    how it looks
        drawing.py      rows that are drawn whole
        files.py  transfers.py  filenames.py        files, sent and fetched
        asking.py       passphrases and passwords, asked for until they are right
        outgoing.py     what was typed and waits for its turn, through the end of the program
        keys.py  encrypting.py  trust.py  sealedfiles.py  secrecy.py    what is encrypted
        application.py  all of it together
    cli/            manage.py's commands
        main.py         serving and chatting
        asking.py       how the others reach a running server, or the database
        accounts.py  rooms.py  moderation.py  live.py  status.py  audit.py    a file a subject
        upkeep.py  data.py                          removing; exports, backups
        tables.py  arguments.py  output.py  standard.py    how answers look, and where they go
    log.py          the log

Imports point one way: net -> wire, chat -> store; terminal -> client, encryption, wire; all of them
-> the files at the top.
"""
