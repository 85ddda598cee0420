"""Fixtures of all tests."""

import asyncio

pytest_plugins = ["tests.aws_lab"]


def pytest_configure() -> None:
    """Begin without an event loop, so that pytest-asyncio makes none that nobody would close."""
    asyncio.set_event_loop(None)
