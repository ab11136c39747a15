"""Time of the photo unwrap on one core, per texture size.

    python tests/benchmarks/bench_texture.py [--head FILE] [--repeat 5]

The first unwrap of a size also rasterises the texture space, which is then kept for the head model. CPU seconds are
given beside wall seconds, since the machine may be busy with other things.
"""

from __future__ import annotations

import argparse
import json
import time

import cv2
import numpy as np
import torch

from deca.appearance import SIZES, unwrap_photo
from deca.head import load_head


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--head", default="openhead", help="head model: openhead or a file")
    parser.add_argument("--repeat", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)

    head = load_head(arguments.head)
    # A face 500 pixels wide on a photo of 1000: shaded noise, since only the amount of work matters here.
    random = np.random.default_rng(0)
    photo = cv2.GaussianBlur(random.normal((190, 150, 130), 25, (1000, 1000, 3)), (0, 0), 3).clip(0, 255)
    to_photo = np.array([[3000.0, 0, 0, 500], [0, -3000.0, 0, 500]])
    landmarks = None
    if head.landmarks_478 is not None:
        points = head.landmarks_478.positions(head.template_V3, head.faces_F3)
        landmarks = points @ to_photo[:, :3].T + to_photo[:, 3]

    for size in SIZES:
        times = []
        for _ in range(arguments.repeat + 1):
            wall, cpu = time.perf_counter(), time.process_time()
            unwrap_photo(photo.astype(np.uint8), head.template_V3, to_photo, head, size, landmarks_L2=landmarks)
            times.append((time.perf_counter() - wall, time.process_time() - cpu))
        first, (wall, cpu) = times[0], np.median(times[1:], axis=0)
        print(
            json.dumps(
                {
                    "size": size,
                    "first_wall_s": round(first[0], 3),
                    "first_cpu_s": round(first[1], 3),
                    "wall_s": round(float(wall), 3),
                    "cpu_s": round(float(cpu), 3),
                }
            )
        )


if __name__ == "__main__":
    main()
