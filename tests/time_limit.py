"""A gate that must end: tests that take minutes are not begun after a given time.

Tests of clouds (marks openstack and guests) run one after the other. Where ISTHMUS_CLOUDS_UNTIL is
set, to seconds since the epoch, those that would begin later are skipped and say so, and none may
take more than LONGEST; without it all of them run. What shows most comes FIRST.
"""

import os
import time

import pytest

UNTIL = "ISTHMUS_CLOUDS_UNTIL"
LONGEST = 1080
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


def is_over() -> bool:
    """Whether nothing that takes minutes may begin any more."""
    return time.time() > float(os.environ.get(UNTIL) or "inf")


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
    for item in items:
        own = item.get_closest_marker("timeout")
        if _of_clouds(item) and own is not None and own.args[0] > LONGEST:
            item.add_marker(pytest.mark.timeout(LONGEST), append=False)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip before any fixture starts a lab."""
    if _of_clouds(item) and is_over():
        pytest.skip(f"no time is left for it ({UNTIL})")
