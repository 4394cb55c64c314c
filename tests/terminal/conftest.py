"""What tests of the screen share: a stage with a terminal in memory."""

from tests.kit.terminal_stage import play_fixture  # noqa: F401 (a fixture)
