"""One lab for each test that runs something, removed at its end with everything in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from isthmus_lab_kubernetes.settings import Lab
from tests.kubernetes_lab import kept, why_no_guests, why_no_plane


@pytest.fixture
def plane_lab(tmp_path: Path) -> Iterator[Lab]:
    """A lab that can run a control plane without nodes."""
    if reason := why_no_plane():
        pytest.skip(reason)
    with kept(tmp_path / "lab") as lab:
        yield lab


@pytest.fixture
def guest_lab(tmp_path: Path) -> Iterator[Lab]:
    """A lab that can boot guests."""
    if reason := why_no_guests():
        pytest.skip(reason)
    with kept(tmp_path / "lab") as lab:
        yield lab
