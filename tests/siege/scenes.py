"""The list of scenes, in the order in which they are played."""

from tests.siege import (
    descriptors,
    locks,
    logins,
    patterns,
    protocols,
    resets,
    silence,
    stalls,
)

SCENES = [
    silence.SCENE,
    stalls.SCENE,
    resets.SCENE,
    logins.FLOOD_SCENE,
    logins.GUESS_SCENE,
    descriptors.SCENE,
    protocols.SCENE,
    locks.SCENE,
    patterns.SCENE,
]
