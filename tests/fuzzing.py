"""How many examples a fuzz test takes, and what they may come to.

`FUZZ_EXAMPLES=12500` (what ``make fuzz`` sets) makes each of them thorough; without it they are as
short as any other test.
"""

import os
import resource

from hypothesis import HealthCheck, settings

THOROUGH = int(os.environ.get("FUZZ_EXAMPLES", "0"))
_MOST_BYTES = 400 * 2**20


def examples(usually: int) -> settings:
    """Settings of one fuzz test."""
    return settings(
        max_examples=THOROUGH or usually,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


class Memory:
    """Asserts at its end that memory did not grow with the inputs."""

    def __enter__(self) -> "Memory":
        self._before = _peak_bytes()
        return self

    def __exit__(self, *_: object) -> None:
        grown = _peak_bytes() - self._before
        assert grown < _MOST_BYTES, f"memory grew by {grown / 2**20:.0f} MiB"


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
