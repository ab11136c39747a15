"""Measures DECA's whole way, crop to pictures, with networks of DECA's size and random weights. Prints JSON:

    python tests/benchmarks/bench_decode.py [--device cuda] [--repeats 10]

Medians in milliseconds of one face: wall time and, on the CPU, the process's CPU time on one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "backend")]

from deca.appearance.albedo import load_albedo  # noqa: E402
from deca.head import load_head  # noqa: E402
from deca.networks import Card, Networks  # noqa: E402
from deca.reconstruct.models import Decoded, Models  # noqa: E402
from deca.vision.crop import warp_crop  # noqa: E402

_IMPORT = """
import sys, time
sys.path[:0] = sys.argv[1:3]
started = time.perf_counter()
import deca.reconstruct.pipeline
print(time.perf_counter() - started)
"""


def measure(action: Callable[[], object], device: str, repeats: int) -> dict[str, float]:
    wall, cpu = [], []
    for index in range(repeats + 2):  # the first two warm up
        started, started_cpu = time.perf_counter(), time.process_time()
        action()
        if device == "cuda":
            torch.cuda.synchronize()
        if index >= 2:
            wall.append(time.perf_counter() - started)
            cpu.append(time.process_time() - started_cpu)
    result = {"wall": round(1e3 * statistics.median(wall), 1)}
    return result if device == "cuda" else result | {"cpu": round(1e3 * statistics.median(cpu), 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--repeats", type=int, default=10)
    args = parser.parse_args()
    head = load_head()
    networks = Networks.random(card=Card.of(head), device=args.device, runtime="auto")
    models = Models(head, networks, load_albedo(), args.device)
    photo = np.random.default_rng(0).integers(0, 255, (600, 500, 3), dtype=np.uint8)
    crop_33 = np.array([[0.6, 0, -20.0], [0, 0.6, -30.0], [0, 0, 1]])

    def encode_and_decode() -> Decoded:
        with torch.inference_mode():
            image_13HW = torch.from_numpy(warp_crop(photo, crop_33))[None].to(args.device)
            codes, detail_BD = networks.encode(image_13HW)
            return models.decode(
                codes.shape_BS,
                codes.expression_BE,
                codes.pose_BJ3,
                codes.camera_B3,
                albedo_BA=codes.albedo_BA,
                light_B93=codes.light_B93,
                detail_BD=detail_BD,
            )

    def everything() -> None:
        models.render(encode_and_decode())

    decoded = encode_and_decode()
    covered = float(models.render(decoded).alpha_B1HW.mean())
    command = [sys.executable, "-c", _IMPORT, str(ROOT), str(ROOT / "backend")]
    imports = [float(subprocess.run(command, capture_output=True, text=True, check=True).stdout) for _ in range(3)]
    result = {
        "device": args.device,
        "runtime": networks.runtime,
        "covered share of the picture": round(covered, 2),
        "encode + decode": measure(encode_and_decode, args.device, args.repeats),
        "encode + decode + 4 renderings": measure(everything, args.device, args.repeats),
        "4 renderings": measure(lambda: models.render(decoded), args.device, args.repeats),
        "import, seconds": round(statistics.median(imports), 2),
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
