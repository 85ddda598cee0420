"""Waiting for what comes in its own time."""

import asyncio
from collections.abc import Awaitable, Callable

from isthmus.errors import Retryable


async def eventually(holds: Callable[[], Awaitable[object]], *, within: float = 60) -> None:
    """Ask again until it holds."""
    async with asyncio.timeout(within):
        while True:
            if await holds():
                return
            await asyncio.sleep(0.02)


async def accepted(order: Callable[[], Awaitable[object]], *, within: float = 60) -> None:
    """Give an order as controllers do: again while whoever gets it is only not as far yet."""

    async def taken() -> bool:
        try:
            await order()
        except Retryable:
            return False
        return True

    await eventually(taken, within=within)
