"""A batch that is killed again and again: is anything lost, or made twice, and does a worker's memory stay flat?

    python tests/benchmarks/soak_batch.py --photos FOLDER --count 1000 --broken 50 --kills 3 --jobs 2 --out DIR

Takes photos below the folder, puts broken files among them, kills `deca import --resume` (SIGKILL, to the one process
that a user sees) each time a further share of the photos is done, and lets the last run end. Prints a JSON object; the
exit status is 1 where something was lost or made twice. Linux alone: memory and processor time are read from /proc.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from deca_blender.batch.ledger import Ledger
from deca_blender.protocol.photos import find_photos

_SAMPLE_S = 1.0
_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
_TICK = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="folder of folders of photos")
    parser.add_argument("--out", type=Path, required=True, help="folder for photos and results; must not exist")
    parser.add_argument("--count", type=int, default=100, help="photos in all")
    parser.add_argument("--broken", type=int, default=5, help="how many of them are broken")
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    options.out.mkdir(parents=True)
    photos = options.out / "photos"
    broken = make_photos(options.photos, photos, options.count, options.broken)
    heads = options.out / "heads"
    made: Counter[str] = Counter()
    watch = Watch()
    runs = []
    for number in range(options.kills + 1):
        limit = options.count * (number + 1) // (options.kills + 1) if number < options.kills else None
        runs.append(run(photos, heads, options.jobs, limit, made, watch))
        print(json.dumps(runs[-1]), file=sys.stderr, flush=True)
    records = {record.name: record for record in Ledger(heads).records()}
    names = [found.name for found in find_photos([photos])]
    lost = [name for name in names if name not in records]
    lost += [name for name, each in records.items() if each.line["ok"] and not is_whole(heads, each.files)]
    failed = sorted(name for name, each in records.items() if not each.line["ok"])
    left = [str(path) for path in (heads / "deca-report" / "work").glob("*")]
    twice = sorted(name for name, times in made.items() if times > 1)
    told = {
        "photos": len(names),
        "results": sum(each.line["ok"] for each in records.values()),
        "failed": len(failed),
        "broken_that_failed": sum(name in failed for name in broken),
        "lost": lost,
        "twice": twice,
        "left_over": left,
        "runs": runs,
        "cpu_s_per_photo": round(watch.cpu_s() / len(names), 2),
        "worker_mib": watch.memory(),
    }
    print(json.dumps(told, indent=1))
    return 1 if lost or twice or left or told["broken_that_failed"] != len(broken) else 0


def make_photos(source: Path, folder: Path, count: int, broken: int) -> list[str]:
    """Links photos into a folder, and writes broken ones of several kinds; the names of these."""
    folder.mkdir()
    found = sorted(path for path in source.rglob("*.jpg"))
    chosen = random.Random(0).sample(found, count - broken)
    for path in chosen:
        (folder / f"{path.parent.name}_{path.name}").symlink_to(path)
    whole = found[0].read_bytes()
    kinds = (b"", b"not a picture", whole[: len(whole) // 3], whole[:200] + bytes(4000), b"\xff\xd8\xff" + bytes(99))
    for number in range(broken):
        (folder / f"id{number * 1000 // max(broken, 1):04d}_broken.jpg").write_bytes(kinds[number % len(kinds)])
    return [path.stem for path in folder.glob("*_broken.jpg")]


def run(photos: Path, heads: Path, jobs: int, limit: int | None, made: Counter[str], watch: Watch) -> dict[str, object]:
    """Runs the batch until so many photos are settled, then kills it; to its end without a limit."""
    command = [sys.executable, "-m", "deca.cli", "import", str(photos), "--out", str(heads), "--resume"]
    command += ["--jobs", str(jobs), "--threads", "1", "--progress", "json"]
    started, settled, fresh = time.monotonic(), 0, 0
    first = 0.0
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as child:
        watch.follow(child.pid)
        assert child.stdout is not None
        for text in child.stdout:
            line = json.loads(text)
            if "photo" not in line:
                continue
            settled += 1
            if not line.get("skipped") and not line.get("known"):
                made[Path(line["photo"]).stem] += 1
                fresh += 1
                first = first or time.monotonic()
            if limit is not None and settled >= limit:
                child.kill()
                break
        for _ in child.stdout:
            pass
    now = time.monotonic()
    pace = 60 * (fresh - 1) / (now - first) if fresh > 1 else 0.0
    return {"settled": settled, "made": fresh, "seconds": round(now - started, 1), "per_minute": round(pace, 1),
            "status": child.returncode}  # fmt: skip


def is_whole(heads: Path, files: dict[str, str] | object) -> bool:
    """Whether results are as their record says."""
    assert isinstance(files, dict)
    return all(
        (heads / path).is_file() and hashlib.sha256((heads / path).read_bytes()).hexdigest() == wanted
        for path, wanted in files.items()
    )


class Watch:
    """Memory and processor time of a process and all that it starts, sampled."""

    def __init__(self) -> None:
        self._root = 0
        self._cpu: dict[tuple[int, int], float] = {}
        self._memory: dict[int, list[float]] = {}
        threading.Thread(target=self._sample, daemon=True).start()

    def follow(self, pid: int) -> None:
        """Watches this process from now on."""
        self._root = pid

    def cpu_s(self) -> float:
        """Processor seconds of all so far."""
        return sum(self._cpu.values())

    def memory(self) -> dict[str, object]:
        """MiB (resident) of the workers, each with its backend: the most, and of the one that lived longest how it
        went, in eighths of its life."""
        series = list(self._memory.values())
        longest = max(series, key=len, default=[])
        eighths = [longest[len(longest) * k // 8 : len(longest) * (k + 1) // 8] for k in range(8)]
        return {
            "most": round(max((max(each) for each in series), default=0)),
            "longest_life": [round(max(part, default=0)) for part in eighths],
        }

    def _sample(self) -> None:
        while True:
            time.sleep(_SAMPLE_S)
            processes = _processes()
            workers = [pid for pid, process in processes.items() if process[0] == self._root]
            for pid in _with_children([self._root], processes):
                if pid in processes:
                    _, begun, cpu_s, _ = processes[pid]
                    self._cpu[pid, begun] = cpu_s
            for worker in workers:
                family = _with_children([worker], processes)
                self._memory.setdefault(worker, []).append(sum(processes[pid][3] for pid in family) / 2**20)


def _processes() -> dict[int, tuple[int, int, float, int]]:
    """Parent, start, processor seconds and resident bytes of all processes."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            cpu_s = (int(fields[11]) + int(fields[12])) / _TICK
            found[int(entry.name)] = (int(fields[1]), int(fields[19]), cpu_s, int(fields[21]) * _PAGE)
    return found


def _with_children(roots: Sequence[int], processes: dict[int, tuple[int, int, float, int]]) -> list[int]:
    found = list(roots)
    for pid in found:
        found += [child for child, process in processes.items() if process[0] == pid]
    return found


if __name__ == "__main__":
    sys.exit(main())
