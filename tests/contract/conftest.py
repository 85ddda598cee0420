"""Fixtures of the contracts."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from tests.apiserver_client import DEFINITIONS, Client, running, widget_definition


@pytest.fixture
async def api(tmp_path: Path) -> AsyncGenerator[Client]:
    """An empty API that knows Widgets."""
    async with running(tmp_path / "data") as (_, client):
        assert (await client("POST", DEFINITIONS, widget_definition())).code == 201
        yield client
