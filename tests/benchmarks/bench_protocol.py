"""Round trips between the real client and the real backend process.

    python tests/benchmarks/bench_protocol.py

Prints the median and the 95th percentile in milliseconds, and the time from the first request to its reply.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np

from deca_blender.client import LaunchSettings, Session
from deca_blender.protocol.messages import Echo, Ping


def measure(name: str, call: Callable[[], object], count: int) -> None:
    """Prints the percentiles of `count` calls after a warm-up."""
    for _ in range(20):
        call()
    times = []
    for _ in range(count):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    median, high = np.percentile(times, [50, 95]) * 1e3
    print(f"{name:<28} median {median:7.3f} ms   p95 {high:7.3f} ms   n={count}")


def main() -> None:
    session = Session(LaunchSettings(python=sys.executable))
    start = time.perf_counter()
    session.request(Ping(), timeout=60)
    print(f"{'start to first ping':<28} {(time.perf_counter() - start) * 1e3:14.0f} ms")
    rng = np.random.default_rng(0)
    displacement = rng.normal(size=(256, 256)).astype(np.float16)
    texture = rng.integers(0, 256, (1024, 1024, 3), np.uint8)
    measure("ping", lambda: session.request(Ping(), timeout=10), 1000)
    measure("echo 256x256 float16", lambda: session.request(Echo({"map": displacement}), timeout=10), 500)
    measure("echo 1024x1024x3 uint8", lambda: session.request(Echo({"map": texture}), timeout=10), 100)
    session.close()


if __name__ == "__main__":
    main()
