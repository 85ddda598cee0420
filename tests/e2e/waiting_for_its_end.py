"""Collected by nobody: `test_labs_end` runs it in a pytest of its own, which it then ends."""

import os
import time
from pathlib import Path

import pytest

READY = "ISTHMUS_TEST_IS_READY"
"""Names the file that is there once the lab runs."""


@pytest.fixture
def ended_in_order():
    """Leaves a file when it is finalized."""
    file = Path(os.environ[READY])
    yield
    file.with_name("ended").touch()


def test_that_waits(aws_lab_process: str, ended_in_order: None) -> None:
    Path(os.environ[READY]).touch()
    time.sleep(100)
