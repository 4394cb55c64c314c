"""Greenroom: a chat server for telnet that stores each message before it shows it.

    bytes -> lines -> Command -> Service
          -> Journal (one transaction a batch) -> Event -> rendered once -> one send a reader

One batch is one transaction, and one send per reader. While a batch is being committed, new entries
form the next one. After the commit its events are rendered once per wire and room, and each reader
gets all of them in one send. So no client sees a message that is not on the disk, and the more
there is to do, the less each delivery costs.

Read it in this order:

    bounds.py       every bound that needs no tuning, with its unit and reason
    settings.py     every setting of the operator
    errors.py       every refusal, with its stable code
    values/         values that are typed and shown: normalise, compare, make harmless
        names.py  times.py  sizes.py                names and text; times and spans; counts
        addresses.py  networks.py                   addresses to listen at; those of peers
    protocol/       commands, events, and the items of lists; COMMANDS is the table of all
        command.py  event.py                        the bases of commands and of events
        talk.py  rooms.py  moderation.py  files.py  accounts.py  devices.py  removal.py  server.py
                                                    a file a subject
        signed.py  signatures.py                    the texts that devices sign; signatures
        figures.py                                  the figures of the server
    measures/       counters, timings and figures
        metrics.py  last_minute.py  process.py      counters; their growth; the kernel's figures
    wires/          bytes <-> commands and events; pure: a folder a wire
        wire.py  wires.py                           the protocol of every wire; the table of all
        lines.py  words.py                          bytes to lines; facts to sentences
        text/       for people
            text.py  telnet.py  typed_lines.py  base64_lines.py    bytes to lines, as people type
            commands.py  events.py  help.py         lines to commands; events to words
        ndjson/     for programs
            ndjson.py  requests.py  events.py       lines to commands; events to objects
            schema.py                               and their description, made from them
    engine/         the tools of all subjects
        client.py       the service's view of a connection
        presence.py     connected users, and the live rooms that they are in
        kit.py          the tools of each part of the service; the type of its table of commands
        journal.py      orders, commits in batches, releases
        ledger.py       stores a batch, and says what is new in it
        entries.py      arrivals, departures and decisions, on their way through it
        delivery.py     a released batch on its way to its readers
        live.py  ranks.py  recent.py                the live rooms; their order; newest messages
        facts.py        what decisions did, as logs have it
        apply.py  server_facts.py                   those about a room, and the server
        decisions.py    a decision, written together with its record in the audit
        server_bans.py  bans and mutes of the server in force
        limits.py  tickets.py                       rates and shares; the right to move a file
    chat/           the rules of the chat: the service layer, a folder a subject
        service.py      its parts, which carry out commands
        accounts/
            accounts.py  tokens.py  passwords.py  fair_queue.py    logging in
            own_account.py  administration.py       acts of users and admins on accounts
            endings.py                              the end of an account's rights
        talk/
            messages.py  private.py                 in rooms; between two users
        rooms/
            rooms.py  members.py                    entering and leaving; members of encrypted ones
            encryption.py  administration.py        making one encrypted; acts of admins on rooms
        moderation/
            moderation.py  sanctions.py             in a room; on the whole server
        devices/
            devices.py  keys.py  mail.py            devices, their keys and mail between them
        files/
            files.py  transfers.py                  rights to share and fetch files; the bytes
        removal/
            purging.py  retention.py  deletion.py   messages, now or in time; accounts
        server/
            status.py  health.py  shutdown.py       its figures; its faults; its end
    database/       the tables, and the threads that use them
        tables.py       the tables
        database.py     engines; the thread that writes, the threads that read
        postgresql.py   its differences
        disk.py  lock.py  held.py                   files; one server at a time on a database
        opening.py  migration.py                    opening the database at start
        vacuum.py       giving the space of deleted data back
    queries/        reading and writing: a file a subject, above the tables
        locks.py        the order in which rooms and users are locked
        messages.py  rooms.py  members.py  files.py  accounts.py  tokens.py  sanctions.py  audit.py
        devices.py  device_keys.py  device_mail.py
        purging.py  retention.py                    removing, in small pieces
        deletion.py                                 deleting an account
        facts.py        the logs of rooms and of the server
    archive/        taking it elsewhere, and back
        exporting.py  backup.py  contents.py        as text; as a file; the values allowed in that
    net/            sockets and greenlets
        protocols.py    the protocol of a newcomer, by its first bytes
        sockets.py  tls.py  selfsigned.py           plain sockets and TLS; certificates
        connection.py   a socket, its outbox, the greenlet that reads it
        requests.py                                 the grammar of HTTP, strictly
        http.py  hosts.py  transfer.py              requests over HTTP; names of the server; files
        exposition.py   the metrics, as Prometheus reads them
        pulse.py        the hub's delay; notices to the service manager
        garbage.py      collections of garbage, kept short
        listener.py     gevent's StreamServer, a few clients at a time
        server.py       serves them while there is room
        control.py      the socket at which manage.py asks a running server
        local.py        the same without a server
        main.py         the process
    client/         the library for programs at the other end; it needs nothing of the server
        client.py  connection.py  incoming.py  stream.py  resume.py
    encryption/     end-to-end encryption for clients: pure, and not needed by a server
        refusals.py  flows.py  payloads.py  signing.py  sealing.py    its parts
        store.py        the keys on the disk
        people.py  directory.py  rosters.py         users' keys; members of rooms
        olm.py  postbox.py                          from device to device
        roomkeys.py  envelope.py                    the keys of rooms; the contents of a message
        outbox.py  sending.py  reading.py  notices.py    messages, said and read
        attachments.py  keyfile.py                  files; keys in a file
        verification.py  approval.py  owndevices.py  persons and their devices
        device.py       all of it together
    terminal/       the client for people at a terminal, on top of it: manage.py chat
        main.py  login.py  memory.py                before there is a screen
        arrivals.py     events, as they arrive
        typed.py  phrases.py  model.py              typed lines; words for events; the known state
        host.py         the needs of the encrypted part from the screen
        asking.py       passphrases and passwords, asked for until they are right
        outgoing.py     lines that wait for their turn, through the end of the program
        screen/
            screen.py  pane.py  appearance.py  status.py  completion.py    the look
            drawing.py  rows that are drawn whole
        files/
            files.py  transfers.py  filenames.py    sent and fetched
        encrypted/
            keys.py  thread.py                      keys on this disk; the thread that uses them
            commands.py  files.py  conversation.py  commands on keys; files; all of it
        application.py  all of it together
    cli/            manage.py's commands
        main.py         serving and chatting
        asking.py       the way to a running server, or to the database
        accounts.py  rooms.py  moderation.py  live.py  status.py  audit.py    a file a subject
        upkeep.py  data.py                          removing; exports, backups
        tables.py  arguments.py  output.py  standard.py    the form of answers, and where they go
    log.py          the log

Imports point one way: net -> wires, chat -> engine -> queries -> database; terminal -> client,
encryption, wires; all of them -> protocol, values. tests/test_structure.py has the whole table.
"""
