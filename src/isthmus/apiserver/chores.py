"""A background task that puts right what a committed change has made stale, for one concern.

Every step looks at the present state only and can be repeated, so a restart merely does all of them
once again.
"""

import asyncio
import logging
from collections.abc import Callable

from isthmus.apiserver.errors import ApiError
from isthmus.apiserver.store import StorageFailed, Store

_LOG = logging.getLogger(__name__)
_RETRY_SECONDS = 1.0


class Chore:
    """One concern's task.

    Args:
        store: The store; what a step stages is committed.
        step: Puts one thing right, by its name.
    """

    def __init__(self, store: Store, step: Callable[[str], None]) -> None:
        self._store = store
        self._step = step
        self._stale: dict[str, None] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def mark(self, name: str) -> None:
        """Something must be looked at."""
        self._stale[name] = None
        self._wake.set()

    def start(self) -> None:
        """Begin to work."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End the task."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._stale:
                name = next(iter(self._stale))
                del self._stale[name]
                try:
                    self._step(name)
                    await self._store.commit()
                except (ApiError, StorageFailed) as error:
                    _LOG.warning("will try again", extra={"of": name, "error": str(error)})
                    self._stale[name] = None
                    await asyncio.sleep(_RETRY_SECONDS)
                except Exception:  # noqa: BLE001 - one thing must not keep all others from it
                    _LOG.exception("left as it is until it changes", extra={"of": name})
