"""Blocking calls from the triggerer's event loop, on a pool of their own.

The default pool of ``asyncio`` has a handful of threads for the whole triggerer; this one is large enough for
thousands of waiters that each ask every few seconds.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Result = TypeVar("Result")
POOL_SIZE = 64


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(POOL_SIZE, thread_name_prefix="lwa")


async def in_thread(function: Callable[..., Result], *arguments: object) -> Result:
    """Run a blocking function in the pool and wait for it without blocking the loop.

    :param function: what to call
    :param arguments: what to call it with
    :return: what it returns
    """
    call = functools.partial(contextvars.copy_context().run, function, *arguments)
    return await asyncio.get_running_loop().run_in_executor(_pool(), call)
