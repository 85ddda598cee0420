"""How many examples a fuzz test takes, and what they may come to.

`FUZZ_EXAMPLES=12500` (what ``make fuzz`` sets) makes each of them thorough; without it they are as
short as any other test.
"""

import os
import resource
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

from hypothesis import HealthCheck, settings

THOROUGH = int(os.environ.get("FUZZ_EXAMPLES", "0"))
_MOST_BYTES = 100 * 2**20
_Given = ParamSpec("_Given")


def examples(usually: int) -> settings:
    """Settings of one fuzz test."""
    return settings(
        max_examples=THOROUGH or usually,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


class Memory:
    """Asserts at its end that memory did not grow while the inputs were taken.

    Between two inputs it may: hypothesis remembers what it drew, some 25 KiB an example.
    """

    def __init__(self) -> None:
        self._grown = 0

    def __enter__(self) -> "Memory":
        self._grown = 0
        return self

    def __exit__(self, *_: object) -> None:
        grown = self._grown / 2**20
        assert self._grown < _MOST_BYTES, f"memory grew by {grown:.0f} MiB"

    def measured(self, test: Callable[_Given, None]) -> Callable[_Given, None]:
        """A test that counts how much the most memory ever used rose during it."""

        @wraps(test)
        def run(*args: _Given.args, **kwargs: _Given.kwargs) -> None:
            before = _peak_bytes()
            test(*args, **kwargs)
            self._grown += _peak_bytes() - before

        return run


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
