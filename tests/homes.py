"""Both homes of Isthmus for end-to-end tests: its own API, and a real kube-apiserver."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.kubernetes_plane import MARKS
from tests.on_cluster import on_cluster
from tests.sandboxed import Sandboxed, sandboxed

CLUSTER = "cluster"
HOMES = ("embedded", pytest.param(CLUSTER, marks=MARKS))
"""Parameters of a fixture that gives a home."""


@contextmanager
def running(request: Any, folder: Path, **options: Any) -> Iterator[Sandboxed]:
    """Run the home that the fixture's parameter names."""
    if request.param == CLUSTER:
        with on_cluster(folder, request.getfixturevalue("plane_with_kinds"), **options) as home:
            yield home
    else:
        with sandboxed(folder) as home:
            yield home
