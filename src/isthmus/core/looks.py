"""How soon to look again at a stack that its engine works on.

A look costs the engine a little, and what ends between two looks is noticed late. So the pause
grows with the time that we have waited. Where an engine tells how many resources are left to do,
the pace so far says when the end will come, and the pause is a part of what is left until then;
while nothing gets done it grows again, so that one slow resource is not asked about every second.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

FIRST_LOOK: Final = timedelta(seconds=1)
LAST_LOOK: Final = timedelta(seconds=10)
"""The shortest pause and the longest."""
_OF_WAITED: Final = 10
_OF_REST: Final = 4
_OF_QUIET: Final = 5


@dataclass(frozen=True, slots=True)
class Course:
    """How many resources of a stack were left at several times."""

    most: int
    most_at: datetime
    """The last time that there were so many: since then it gets less."""
    left: int
    left_at: datetime
    """The first time that there were so few."""

    def then(self, left: int, now: datetime) -> "Course":
        """Return the course with one more look."""
        if left >= self.most:
            return begun(left, now)
        at = self.left_at if left == self.left else now
        return Course(self.most, self.most_at, left, at)


def begun(left: int, now: datetime) -> Course:
    """Return the course of a stack that is looked at for the first time."""
    return Course(left, now, left, now)


def pause(waited: timedelta, course: Course | None, now: datetime) -> timedelta:
    """Return the pause before the next look.

    Args:
        waited: Since the engine began, as far as we know.
        course: How it went; None where the engine does not tell.
        now: The time.
    """
    after = waited / _OF_WAITED
    if course is not None and course.left < course.most:
        each = (course.left_at - course.most_at) / (course.most - course.left)
        after = min(after, max(each * course.left / _OF_REST, (now - course.left_at) / _OF_QUIET))
    return min(max(after, FIRST_LOOK), LAST_LOOK)


class Looks:
    """Remembers the course of each stack in work."""

    def __init__(self) -> None:
        self._courses: dict[str, Course] = {}

    def after(self, uid: str, left: int | None, waited: timedelta, now: datetime) -> timedelta:
        """Return the pause before the next look at a stack of which so much is left."""
        if left is None:
            self.forget(uid)
            return pause(waited, None, now)
        known = self._courses.get(uid)
        course = known.then(left, now) if known is not None else begun(left, now)
        self._courses[uid] = course
        return pause(waited, course, now)

    def forget(self, uid: str) -> None:
        """The stack is not in work any more."""
        self._courses.pop(uid, None)
