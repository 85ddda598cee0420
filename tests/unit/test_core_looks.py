"""How soon a stack in work is looked at again: soon enough, and not too often."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.core.looks import FIRST_LOOK, LAST_LOOK, Looks, begun, pause

START = datetime(2026, 1, 1, tzinfo=UTC)
Left = Callable[[float], int | None]
"""How many resources are left at a second; below 1: it has ended."""


def watched(left: Left, takes: float) -> tuple[float, int]:
    """Watch a stack; return how late its end is noticed, in seconds, and the number of looks."""
    looks, now, count = Looks(), 0.0, 0
    while now < takes:
        at = START + timedelta(seconds=now)
        after = looks.after("uid", left(now), timedelta(seconds=now), at)
        now, count = now + after.total_seconds(), count + 1
    return now - takes, count


def unknown(_: float) -> None:
    return None


def in_turn(total: int, takes: float, *, tail: float = 3, begins: float = 0) -> Left:
    """One after the other; then a tail with their group alone."""
    steps = takes - tail - begins

    def left(now: float) -> int:
        return max(1, min(total, total - int((now - begins) / steps * total)))

    return left


@given(
    waited=st.floats(0, 7200),
    most=st.integers(0, 200),
    rest=st.lists(st.tuples(st.integers(0, 200), st.floats(0, 100)), max_size=8),
)
def test_a_pause_is_bounded_and_never_longer_for_what_is_known(waited, most, rest):
    now, course = START, begun(most, START)
    for left, seconds in rest:
        now += timedelta(seconds=seconds)
        course = course.then(left, now)
    since = timedelta(seconds=waited)
    assert FIRST_LOOK <= pause(since, course, now) <= pause(since, None, now) <= LAST_LOOK


@pytest.mark.parametrize(
    ("total", "takes", "begins", "usual", "latest"),
    [
        (128, 120, 0, 1.0, 3.0),
        (128, 300, 0, 1.0, 3.0),
        (128, 900, 0, 2.0, 6.0),
        (128, 300, 200, 1.0, 3.0),  # All at once, after a long time without a result.
        (12, 40, 0, 1.5, 3.0),
    ],
)
def test_the_end_of_a_steady_course_is_noticed_soon(total, takes, begins, usual, latest):
    found = [
        watched(in_turn(total, end, begins=begins), end)
        for end in (takes + part / 10 for part in range(100))
    ]
    late = [seconds for seconds, _ in found]
    assert sum(late) / len(late) <= usual
    assert max(late) <= latest
    _, looks = watched(unknown, takes)
    assert max(count for _, count in found) <= looks + 20


def test_a_last_resource_that_takes_long_is_asked_about_ever_more_rarely():
    def left(now: float) -> int:
        return max(1, 20 - int(now))

    late, looks = watched(left, 1200)
    assert late <= LAST_LOOK.total_seconds()
    assert looks <= watched(unknown, 1200)[1] + 20


def test_of_an_engine_that_does_not_tell_the_pause_grows_with_the_time():
    waits = [pause(timedelta(seconds=s), None, START).total_seconds() for s in (0, 5, 30, 500)]
    assert waits == [1, 1, 3, 10]


def test_what_was_there_of_an_earlier_change_does_not_count():
    looks, waited, later = Looks(), timedelta(seconds=100), START + timedelta(seconds=40)
    looks.after("uid", 40, waited, START)
    assert looks.after("uid", 2, waited, later) == FIRST_LOOK
    looks.forget("uid")
    assert looks.after("uid", 2, waited, later) == LAST_LOOK
