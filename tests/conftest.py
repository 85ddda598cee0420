"""Fixtures of all tests."""

import asyncio

from hypothesis import settings

pytest_plugins = ["tests.aws_lab", "tests.aws_stacks", "tests.kubernetes_plane"]


def pytest_configure() -> None:
    """Begin without an event loop, so that pytest-asyncio makes none that nobody would close."""
    asyncio.set_event_loop(None)


# How long one example takes says how busy the machine is, not whether the law holds.
settings.register_profile("isthmus", deadline=None)
settings.load_profile("isthmus")
