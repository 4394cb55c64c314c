"""The list of scenes, in the order in which they are played."""

from tests.fire.siege import (
    crowds,
    descriptors,
    locks,
    logins,
    patterns,
    protocols,
    resets,
    silence,
    stalls,
    worst,
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
    worst.SCENE,
    worst.LOG_SCENE,
    crowds.SCENE,
]
