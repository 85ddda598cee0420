"""Versions go up one minor at a time, and nodes never run ahead of their control plane."""

import pytest

from isthmus.core.planner.versions import check_step, of_pool
from isthmus.errors import InvalidSpec


@pytest.mark.parametrize(
    ("running", "wanted"),
    [("v1.35.1", "1.36.0"), ("v1.35.1", "1.35.4"), ("", "1.36"), ("v1.35.1", ""), ("1.35", "1.35")],
)
def test_allowed(running: str, wanted: str) -> None:
    check_step(running, wanted)


@pytest.mark.parametrize(
    ("running", "wanted", "remedy"),
    [
        ("v1.34.1", "1.36.0", "go to 1.35 first"),
        ("v1.36.1", "1.35.0", "cannot go back"),
        ("v1.36.1", "newest", "write it like 1.36.2"),
    ],
)
def test_refused_with_the_remedy(running: str, wanted: str, remedy: str) -> None:
    with pytest.raises(InvalidSpec, match=remedy):
        check_step(running, wanted)


@pytest.mark.parametrize(
    ("pool", "wanted", "running", "given"),
    [
        ("", "1.36.0", "v1.35.4", "1.35.4"),
        ("", "1.36.0", "v1.36.0", "1.36.0"),
        ("1.35.4", "1.36.0", "v1.36.0", "1.35.4"),
        ("", "1.36.0", "", "1.36.0"),
        ("", "", "v1.36.0", ""),
    ],
)
def test_a_pool_follows(pool: str, wanted: str, running: str, given: str) -> None:
    assert of_pool(pool, wanted, running) == given


@pytest.mark.parametrize("pool", ["1.32.9", "1.29.0", "0.36.0"])
def test_a_pool_is_at_most_three_minors_behind(pool: str) -> None:
    assert of_pool("1.33.0", "", "v1.36.2") == "1.33.0"
    with pytest.raises(InvalidSpec, match=r"^spec.kubernetesVersion: .* ask for 1.33 or newer"):
        of_pool(pool, "", "v1.36.2")
