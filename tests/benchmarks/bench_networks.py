"""Measures the networks: E_c, E_d and F_d of DECA's size with random weights. Prints one JSON object per command:

    python tests/benchmarks/bench_networks.py time              milliseconds, each way to run them, one thread
    python tests/benchmarks/bench_networks.py time --device cuda
    python tests/benchmarks/bench_networks.py memory            megabytes and seconds of a process with both encoders

`time` gives medians of the wall time and, on the CPU, of the process's CPU time. `memory` needs Linux and writes a
weights file of 214 MB and a cache of ONNX graphs to a temporary folder.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "backend")]

from deca.networks import OFFICIAL_CARD, Card, Networks, random_checkpoint, save_checkpoint  # noqa: E402
from deca.networks.onnx_runtime import is_installed  # noqa: E402


def measure(action: Callable[[], object], device: str, repeats: int) -> dict[str, float]:
    """Medians in milliseconds."""
    synchronise = torch.cuda.synchronize if device == "cuda" else lambda: None
    wall, cpu = [], []
    for index in range(repeats + 3):  # the first three warm up
        started, started_cpu = time.perf_counter(), time.process_time()
        action()
        synchronise()
        if index >= 3:
            wall.append(time.perf_counter() - started)
            cpu.append(time.process_time() - started_cpu)
    result = {"wall": round(1e3 * statistics.median(wall), 1)}
    return result if device == "cuda" else result | {"cpu": round(1e3 * statistics.median(cpu), 1)}


def measure_time(args: argparse.Namespace) -> dict:
    card = Card(**{**OFFICIAL_CARD.__dict__, "backbone": args.backbone})
    result: dict = {"backbone": args.backbone, "device": args.device, "batch": args.batch}
    result["threads"] = torch.get_num_threads()

    def add(name: str, encode: Callable[[], object], decode: Callable[[], object]) -> None:
        result[name] = {
            "encode": measure(encode, args.device, args.repeats),
            "decode": measure(decode, args.device, args.repeats),
            "both": measure(lambda: (encode(), decode()), args.device, args.repeats),
        }

    images = torch.rand(args.batch, 3, 224, 224, device=args.device)
    codes = [torch.randn(args.batch, size, device=args.device) for size in (128, 50, 3)]
    plain = random_checkpoint(0, card)
    for network in plain.networks().values():
        network.to(args.device)
    with torch.inference_mode():
        add(
            "plain modules",
            lambda: (plain.coarse_encoder(images), plain.detail_encoder(images)),
            lambda: plain.detail_decoder(*codes),
        )
    ways = [("torch", None)]
    if args.device == "cuda":
        ways = [("torch", False), ("torch", True)]
    elif is_installed():
        ways.append(("onnx", None))
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DECA_CACHE"] = folder
        for runtime, half in ways:
            networks = Networks(random_checkpoint(0, card), args.device, runtime, half)
            name = f"Networks, {runtime}{', half' if half else ''}"
            add(name, lambda n=networks: n.encode(images), lambda n=networks: n.displacement(*codes))
    return result


# Run in a process of its own: what it needs at most, and what it holds once it has worked.
_MEMORY = """
import json, sys, time
started = time.perf_counter()
sys.path[:0] = sys.argv[1:3]
import deca.networks
import torch
imported = time.perf_counter()
networks = deca.networks.Networks.load(sys.argv[3], runtime=sys.argv[4])
loaded = time.perf_counter()
codes, detail = networks.encode(torch.rand(1, 3, 224, 224))
networks.displacement(detail, codes.expression_BE, codes.jaw_pose_B3)
with open("/proc/self/status") as file:
    kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in file if line.startswith("Vm")}
print(json.dumps({
    "import_s": round(imported - started, 2), "load_s": round(loaded - imported, 2),
    "resident_mb": round(kilobytes["VmRSS"] / 1e3), "peak_mb": round(kilobytes["VmHWM"] / 1e3),
}))
"""


def measure_memory(args: argparse.Namespace) -> dict:
    result = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.safetensors"
        save_checkpoint(random_checkpoint(0), path)
        environment = os.environ | {"DECA_CACHE": folder}
        ways = [("torch", "torch")]
        if is_installed():
            ways += [("onnx, first time", "onnx"), ("onnx", "onnx")]
        for name, runtime in ways:
            command = [sys.executable, "-c", _MEMORY, str(ROOT), str(ROOT / "backend"), str(path), runtime]
            output = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
            result[name] = json.loads(output)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    timing = commands.add_parser("time")
    timing.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    timing.add_argument("--backbone", default="resnet50")
    timing.add_argument("--batch", type=int, default=1)
    timing.add_argument("--repeats", type=int, default=15)
    timing.set_defaults(run=measure_time)
    commands.add_parser("memory").set_defaults(run=measure_memory)
    args = parser.parse_args()
    print(json.dumps(args.run(args), indent=1))


if __name__ == "__main__":
    main()
