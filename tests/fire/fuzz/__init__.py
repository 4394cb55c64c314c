"""Fuzzers: what no person would type, and what no two people would do at once, a million times.

make fire ARGS="fuzz --minutes 10 [--seed S] [--only NAME]"

fuzzers.py      what a fuzzer is, and the list of them
machine.py      people in a chat: each step is compared with the model
    model.py  model_*.py  state.py  the rules, as plain as can be: who hears what, who may what
    asking.py  devices.py           what is asked and how it is typed; what devices sign
    table.py  comparing.py          how the world and the model are kept in step, and compared
    world.py        a service on a database, and clients of both wires, without sockets
streams.py      bytes for the wires, names and texts, uploads
sockets.py      bytes for HTTP, and lines for the operator's socket
keys.py         bytes for the client's encryption
hub.py          whether the hub was blocked meanwhile
batches.py  run.py  one seed of one fuzzer; all of them for some minutes
corpus/         what was found, and is tried each time; a folder a fuzzer
"""
