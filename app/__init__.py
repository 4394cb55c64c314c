"""Greenroom: a chat server that you can telnet into, and that keeps what it showed.

    bytes -> lines -> Command -> service -> Journal (one transaction a batch)
          -> Event -> rendered once -> one send a reader

In the order in which to read them:

    settings, names, times, errors   every bound; what a name is; every refusal
    commands, events                 what a client may ask; what happened
    wire/                            bytes to commands, events to bytes: text, telnet, lines
    chat/                            what may happen: service first, then journal and delivery
    store/                           what is kept: models first, then database and opening
    net/                             sockets and greenlets: connection, server, main
    cli                              manage.py's commands

Imports point one way: net knows wire and chat, chat knows store, all know the first six files.
"""
