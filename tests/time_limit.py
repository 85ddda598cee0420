"""A gate that must end: tests that take minutes are not begun after a given time.

Tests of clouds (marks openstack and guests) run one after the other. Where ISTHMUS_CLOUDS_UNTIL is
set, to seconds since the epoch, those that might end later are skipped and say so: none may take
more than LONGEST, nor more than USUAL that says nothing else. Without it all of them run. What
shows most comes FIRST.
"""

import os
import time

import pytest

UNTIL = "ISTHMUS_CLOUDS_UNTIL"
LONGEST = 1080
USUAL = 420
"""Seconds."""
FIRST = (
    "test_apiserver_oracle",
    "test_cluster_on_guests",
    "test_controllers_on_cluster",
    "test_openstack_engine",
    "test_openstack_faults",
    "test_openstack_leftovers",
    "test_apiserver_helm",
    "test_services_life",
    "test_metal_on_guests",
    "test_node_pools_heat",
    "test_openstack_magnum",
    "test_openstack_interruptions",
)
"""Modules: what is alike on both homes, a cluster until nothing is left, then what may go wrong."""


def _seconds(item: pytest.Item) -> float:
    """How long a test may take where time is short."""
    own = item.get_closest_marker("timeout")
    return min(own.args[0], LONGEST) if own is not None else USUAL


def _fits(item: pytest.Item) -> bool:
    """Whether a test that begins now ends in time."""
    return time.time() + _seconds(item) <= float(os.environ.get(UNTIL) or "inf")


def _rank(item: pytest.Item) -> int:
    return FIRST.index(item.path.stem) if item.path.stem in FIRST else len(FIRST)


def _of_clouds(item: pytest.Item) -> bool:
    return any(item.iter_markers("openstack")) or any(item.iter_markers("guests"))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what shows most first, and give nothing more time than there is."""
    if not os.environ.get(UNTIL):
        return
    items.sort(key=_rank)
    for item in filter(_of_clouds, items):
        item.add_marker(pytest.mark.timeout(_seconds(item)), append=False)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip before any fixture starts a lab."""
    if _of_clouds(item) and not _fits(item):
        pytest.skip(f"no time is left for it ({UNTIL})")
