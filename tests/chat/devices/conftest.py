"""Two users with a device each."""

import pytest

from tests.kit.signing import Device


@pytest.fixture
def alice(new_device) -> Device:
    return new_device()


@pytest.fixture
def bob(new_device) -> Device:
    return new_device()
