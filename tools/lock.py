"""Pins what *Install Backend* installs: one file per system, PyTorch and Python in backend/locks, with hashes.

    python -m tools.lock               # after a change of the dependencies: pins that still fit stay
    python -m tools.lock --upgrade     # the newest versions of all packages, as far as constraints.txt lets them

Needs uv (`pip install uv`) and PyPI. PyTorch for Linux processors and for NVIDIA cards on Windows comes from PyTorch's
own index: those files, `*.torch.txt`, have hashes where that index can be reached, and else the version alone.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from deca_blender.core.requirements import CPU_INDEX, LOCKED, LOCKS, PYPROJECT, lock_name, torch_index

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
"""Blender 4.2 to 5.0 have Python 3.11, newer ones 3.13; distributions build Blender for others."""
PLATFORMS = {
    ("Linux", "x86_64"): "x86_64-manylinux_2_28",
    ("Linux", "arm64"): "aarch64-manylinux_2_28",
    ("Windows", "x86_64"): "x86_64-pc-windows-msvc",
    ("Darwin", "arm64"): "aarch64-apple-darwin",
}
"""Of `core.requirements` to uv's names; manylinux 2.28 is what PyTorch's wheels need."""
OLDEST_MACOS = "14.0"
"""Of PyTorch's wheels."""
CONSTRAINTS = PYPROJECT.with_name("constraints.txt")
CUDAS_OWN = re.compile(r"^(torch|triton|nvidia-|cuda-)")
"""Packages that PyPI's PyTorch for Linux brings beside itself, and the processor's does not."""
HEADER = "# Made by `python -m tools.lock` from pyproject.toml. Do not edit.\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--upgrade", action="store_true", help="newest versions instead of those that are pinned")
    options = parser.parse_args()
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if uv is None:
        raise SystemExit("uv is missing: pip install uv")
    LOCKS.mkdir(exist_ok=True)
    wanted = set()
    for (system, machine, torch), python in itertools.product(LOCKED, PYTHONS):
        path = LOCKS / lock_name(system, machine, torch, python)
        platform = ("--python-platform", PLATFORMS[system, machine], "--python-version", python)
        pins = "" if options.upgrade else "".join(earlier(path))
        found = compiled(uv, PYPROJECT, *platform, pins=pins)
        if found is None:
            raise SystemExit(f"No versions fit together for {path.name}.")
        index = torch_index(system, torch)
        packages = list(blocks(found))
        if index:
            (version,) = (text.split()[0] for text in packages if text.startswith("torch=="))
            packages = [text for text in packages if not CUDAS_OWN.match(text)]
            own = path.with_suffix(".torch.txt")
            own.write_text(f"{HEADER}--index-url {index}\n{of_index(uv, version, index, platform)}", encoding="utf-8")
            wanted.add(own)
        path.write_text(HEADER + "".join(packages), encoding="utf-8")
        wanted.add(path)
        print(path.name, len(packages), "packages")
    for path in set(LOCKS.glob("*.txt")) - wanted:
        path.unlink()
    return 0


def compiled(uv: str, source: Path | str, *options: str, text: str | None = None, pins: str = "") -> str | None:
    """A lock with hashes by `uv pip compile`; None where nothing fits.

    Args:
        uv: The program.
        source: Requirements, "-" for `text`.
        options: Further options.
        text: What stands in "-".
        pins: An earlier lock, whose versions stay where they fit.
    """
    command = [uv, "pip", "compile", "--quiet", "--no-header", "--no-annotate", "--generate-hashes", str(source)]
    command += ["--constraint", str(CONSTRAINTS), "--only-binary", ":all:", "--no-config", *options]
    environment = os.environ | {"MACOSX_DEPLOYMENT_TARGET": OLDEST_MACOS}
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "lock.txt"
        made.write_text(pins, encoding="utf-8")
        command += ["--output-file", str(made)]
        done = subprocess.run(command, input=text, env=environment, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return made.read_text(encoding="utf-8")
    print(done.stderr.strip()[-2000:], file=sys.stderr)
    return None


def of_index(uv: str, version: str, index: str, platform: tuple[str, ...]) -> str:
    """The line for PyTorch from an index of its own: with hashes where it can be reached."""
    if is_reached(index):
        found = compiled(uv, "-", *platform, "--no-deps", "--index-url", index, text=f"{version}\n")
        if found is not None:
            return found
    print(f"{version} has no hashes from {index}", file=sys.stderr)
    # CUDA 12.8 may be no longer built for the newest version: then the newest before it.
    return f"{version}\n" if index == CPU_INDEX else f"{version.replace('==', '<=')}\n"


@functools.cache
def is_reached(index: str) -> bool:
    """Whether an index answers."""
    try:
        with urllib.request.urlopen(f"{index}/torch/", timeout=20) as answer:
            return answer.status == 200
    except OSError:
        return False


def earlier(path: Path) -> Iterator[str]:
    """The pins of earlier, PyTorch's among them."""
    for each in (path, path.with_suffix(".torch.txt")):
        if each.is_file():
            yield from (line for line in each.read_text(encoding="utf-8").splitlines(keepends=True) if "<=" not in line)


def blocks(locked: str) -> Iterator[str]:
    """The packages of a lock, each with the lines of its hashes."""
    block = ""
    for line in locked.splitlines(keepends=True):
        if not line.startswith((" ", "\t")) and block:
            yield block
            block = ""
        block += line
    if block.strip():
        yield block


if __name__ == "__main__":
    sys.exit(main())
