"""A gate that must end: tests that take minutes are not begun after a given time.

Tests of clouds (marks openstack and guests) run one after the other. Where ISTHMUS_CLOUDS_UNTIL is
set, to seconds since the epoch, they run in the order of SECONDS, and those that might end later
are skipped and say so. Without it all of them run, in the order of their files.
"""

import os
import time

import pytest

UNTIL = "ISTHMUS_CLOUDS_UNTIL"
USUAL = 240
SECONDS = {
    "test_apiserver_oracle": 720,
    "test_cluster_on_guests": 1080,
    "test_controllers_on_cluster": USUAL,
    "test_openstack_engine": USUAL,
    "test_openstack_access": 300,
    "test_openstack_actions": USUAL,
    "test_openstack_taking_over": USUAL,
    "test_node_pools_heat": 420,
    "test_openstack_faults": 480,
    "test_openstack_leftovers": 360,
    "test_apiserver_helm": USUAL,
    "test_services_life": USUAL,
    "test_services_trouble": USUAL,
    "test_services_faults": USUAL,
    "test_services_kill": USUAL,
    "test_stack_engine": USUAL,
    "test_store": USUAL,
    "test_kubernetes_nodes": USUAL,
    "test_kubernetes_stacks": USUAL,
    "test_kubernetes_offerings": USUAL,
    "test_up_in_cluster": USUAL,
    "test_openstack_variants": USUAL,
    "test_contract_heat": USUAL,
    "test_contract_servers": USUAL,
    "test_cluster": 300,
    "test_openstack_machines": 300,
    "test_openstack_metal": 300,
    "test_cluster_key_heat": USUAL,
    "test_openstack_guests": 360,
    "test_mirror_on_guests": 360,
    "test_openstack_interruptions": 540,
    "test_openstack_magnum": 720,
    "test_contract_magnum": 780,
    "test_metal_on_guests": 1080,
    "test_upgrade_on_guests": 1080,
    "test_control_planes_on_guests": 1800,
}
"""By module, how long one of its tests may take: more than twice what it took on two busy cores.

First comes what shows most: what is alike on both homes, a cluster until nothing is left, then what
may go wrong; last what takes longest. What is not named comes before the last, as USUAL.
"""
_LONG = tuple(SECONDS).index("test_openstack_guests")


def _seconds(item: pytest.Item) -> float:
    """How long a test may take where time is short."""
    return SECONDS.get(item.path.stem, USUAL)


def _fits(item: pytest.Item) -> bool:
    """Whether a test that begins now ends in time."""
    return time.time() + _seconds(item) <= float(os.environ.get(UNTIL) or "inf")


def _rank(item: pytest.Item) -> int:
    names = tuple(SECONDS)
    return names.index(item.path.stem) if item.path.stem in SECONDS else _LONG


def _of_clouds(item: pytest.Item) -> bool:
    return any(item.iter_markers("openstack")) or any(item.iter_markers("guests"))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what shows most first, and let none that hangs take the others' time.

    A test may take twice what it is given room for: a busy machine is no failure.
    """
    if not os.environ.get(UNTIL):
        return
    items.sort(key=_rank)
    for item in filter(_of_clouds, items):
        item.add_marker(pytest.mark.timeout(2 * _seconds(item)), append=False)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip before any fixture starts a lab."""
    if _of_clouds(item) and not _fits(item):
        pytest.skip(f"no time is left for it ({UNTIL})")
