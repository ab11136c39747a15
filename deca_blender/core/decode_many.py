"""Many displacement maps one after another, with the backend never idle and the caller never blocked."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from ..client import Job
from ..protocol.messages import DecodeWrinkles, WrinklesReply

_IN_FLIGHT = 3


def decode_many(
    submit: Callable[[DecodeWrinkles], Job[WrinklesReply]], requests: Iterable[DecodeWrinkles]
) -> Iterator[Job[WrinklesReply] | NDArray[np.float32]]:
    """Gives the maps (N, N) of all requests in their order, and between them the job that is to be waited for.

    A caller with time waits for the job before it asks for more; one without comes back later. The requests are
    drawn as they are sent, a few ahead of the maps. Closing the iterator gives up what is under way.

    Raises:
        ClientError: A request failed; no map comes after it.
    """
    waiting: deque[Job[WrinklesReply]] = deque()

    def first() -> Iterator[Job[WrinklesReply] | NDArray[np.float32]]:
        while not waiting[0].poll():
            yield waiting[0]
        yield waiting.popleft().result().displacement

    try:
        for request in requests:
            waiting.append(submit(request))
            if len(waiting) >= _IN_FLIGHT:
                yield from first()
        while waiting:
            yield from first()
    finally:
        for job in waiting:
            job.cancel()
