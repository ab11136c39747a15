"""Do the tests notice small mistakes? Makes those of tests/mutants.toml, one at a time, and runs the tests of each.

    python -m tools.mutants [--only NUMBER ...] [--least 0.9]

Works in a copy of the sources, so that nothing of the checkout changes; the data is not copied. Prints a line for each
and the score at the end. The exit status is 1 where the score is below `--least`, or where tests fail unchanged.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIST = ROOT / "tests" / "mutants.toml"
COPIED = ("backend", "deca_blender", "training", "tests", "tools", "docs")
LINKED = ("assets",)
LIMIT_S = 600
"""A mistake that makes tests run for ever has been noticed, too."""


@dataclass(frozen=True)
class Mutant:
    """A small mistake: `old`, which stands once in the file, becomes `new`; `tests` are those that should notice."""

    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def made_in(self, text: str) -> str:
        """The file's text with the mistake.

        Raises:
            ValueError: The code has changed: what the mistake is made of does not stand there once.
        """
        if text.count(self.old) != 1:
            raise ValueError(f"{self.file} has {self.old!r} {text.count(self.old)} times: mend tests/mutants.toml.")
        return text.replace(self.old, self.new)


def mutants(path: Path = LIST) -> list[Mutant]:
    """Those of the list."""
    listed = tomllib.loads(path.read_text(encoding="utf-8"))["mutant"]
    return [Mutant(each["file"], each["old"], each["new"], tuple(each["tests"])) for each in listed]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=int, nargs="+", metavar="NUMBER", help="these of the list, counted from 1")
    parser.add_argument("--least", type=float, default=0.9, help="share that must be noticed (default 0.9)")
    options = parser.parse_args()
    chosen = [(n, each) for n, each in enumerate(mutants(), 1) if not options.only or n in options.only]
    with tempfile.TemporaryDirectory(prefix="deca-mutants-") as folder:
        copy = Path(folder) / "copy"
        copy_sources(copy)
        if not all([passes(copy, tests) for tests in dict.fromkeys(each.tests for _, each in chosen)]):
            print("Tests fail as they are: nothing can be said.")
            return 1
        noticed = 0
        for number, mutant in chosen:
            path = copy / mutant.file
            text = path.read_text(encoding="utf-8")
            path.write_text(mutant.made_in(text), encoding="utf-8")
            is_noticed = not passes(copy, mutant.tests)
            path.write_text(text, encoding="utf-8")
            noticed += is_noticed
            print(f"{number:3} {'noticed' if is_noticed else 'NOT NOTICED'}  {mutant.file}: {mutant.new}", flush=True)
    print(f"{noticed} of {len(chosen)} noticed")
    return int(noticed < options.least * len(chosen))


def copy_sources(out: Path) -> None:
    """What tests need, with the data by a link where links can be made."""
    ignored = shutil.ignore_patterns("__pycache__", "*.png", "*.jpg", "*.egg-info")
    for name in COPIED:
        shutil.copytree(ROOT / name, out / name, ignore=ignored)
    for path in ROOT.iterdir():
        if path.is_file() and not path.name.startswith("."):
            shutil.copy(path, out)
    for name in LINKED:
        try:
            os.symlink(ROOT / name, out / name, target_is_directory=True)
        except OSError:
            shutil.copytree(ROOT / name, out / name)


def passes(copy: Path, tests: tuple[str, ...]) -> bool:
    """Whether tests pass in the copy, whose own code they import."""
    paths = os.pathsep.join(str(copy / name) for name in ("backend", "training", "."))
    command = [sys.executable, "-B", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    environment = os.environ | {"PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, timeout=LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
