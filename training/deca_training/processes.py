"""Processes for many small pieces of work: one thread each, and they end with the process that started them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

import cv2
import torch

from deca.errors import DecaError


@contextmanager
def worker_pool(
    workers: int, begin: Callable[..., None] | None = None, *arguments: Any
) -> Iterator[ProcessPoolExecutor]:
    """Spawned processes; what waits when the block is left is not begun.

    Args:
        workers: How many.
        begin: Called with the arguments in each of them first.
        *arguments: Its arguments.

    Raises:
        DecaError: A process died.
    """
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, spawn, initializer=_start, initargs=(begin, arguments))
    try:
        yield pool
    except BrokenProcessPool as error:
        raise DecaError(
            "A process that does a part of the work died; perhaps memory ran out.",
            "Run the same command again: it goes on where it stopped.",
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start(begin: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    begin_worker()
    if begin is not None:
        begin(*arguments)


def begin_worker() -> None:
    """What a process for work does first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the main process, which then ends this one
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)


def _end_with_parent() -> None:
    """A killed main process cannot end its workers, which would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
