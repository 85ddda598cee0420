"""What the tests of the product and of the labs share: slow labs, and an end in good order."""

import signal

pytest_plugins = ["tests.time_limit", "tests.openstack_lab", "tests.kubernetes_lab"]


def pytest_configure() -> None:
    """Let SIGTERM end a run as Ctrl-C does, so that every fixture ends what it started."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
