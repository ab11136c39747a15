"""How many frames per second *Performance From Video* follows, and what of it the parts take.

    python tests/benchmarks/bench_capture.py [--frames 120] [--size 720] [--threads 2]

The video is the bundled head's, forwards and backwards. Wall time counts what other processes take; seconds of the
processor do not.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "backend")]

from deca.head import load_head  # noqa: E402
from deca.reconstruct.held_fit import HeldSolver  # noqa: E402
from deca.reconstruct.performance import track_performance  # noqa: E402
from deca.vision.tracking import FaceTracker  # noqa: E402
from deca.vision.video import open_video  # noqa: E402
from tests.performances import act, frames_of, write_video  # noqa: E402

DRAWN = 8


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--frames", type=int, default=120)
    parser.add_argument("--size", type=int, default=720)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    head = load_head()
    acted = act(head, DRAWN)
    drawn = [cv2.resize(picture, (options.size, options.size)) for picture in frames_of(head, acted)]
    there_and_back = [*range(DRAWN), *range(DRAWN - 2, 0, -1)]
    pictures = [np.asarray(drawn[there_and_back[i % len(there_and_back)]]) for i in range(options.frames)]
    with tempfile.TemporaryDirectory() as folder:
        path = write_video(Path(folder) / "a.mp4", pictures, rate=30)
        video = open_video(path)
        frames, *decoding = _timed(lambda: [frame.pixels for frame in video.frames()])
        tracker = FaceTracker()
        marks, *tracking = _timed(lambda: [tracker.follow(pixels, i / 30) for i, pixels in enumerate(frames)])
        seen_FL2 = np.stack([points[:, :2] for points in marks if points is not None])
        solver = HeldSolver(head, acted.shape_S)
        _, *fitting = _timed(lambda: solver.follow(seen_FL2, (options.size, options.size)))
        parts = (("decoding", decoding), ("landmarks", tracking), ("fit", fitting))
        done, *whole = _timed(lambda: track_performance(path, head, acted.shape_S))
    for name, (wall, cpu) in (*parts, ("all", whole)):
        print(f"{name:10} {1e3 * wall / options.frames:6.1f} ms a frame, {1e3 * cpu / options.frames:6.1f} ms of CPU")
    print(
        f"{len(done.times_F) / whole[0]:.1f} frames per second; {done.seen_F.sum()} of {len(done.times_F)} with a face"
    )


def _timed(work):
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, time.perf_counter() - wall, time.process_time() - cpu


if __name__ == "__main__":
    main()
