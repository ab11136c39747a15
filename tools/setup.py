"""The environment of tests, demo and documentation. Needs nothing but Python 3.11, and works where there is no make.

python3.11 -m tools.setup                       .venv, with the package and all that its tests need
python3.11 -m tools.setup --blender 5.2 ...     .venv-bpy52, ...: further Blenders for tests/blender
python3.11 -m tools.setup --without blender     .venv without an extra (for Pythons of which there is no bpy)
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = ("test", "lint", "blender", "demo", "train", "docs", "release")
_WHICH = "import sys; print('{}.{}'.format(*sys.version_info), sys.executable)"
PYTHON_OF_BLENDER = {"4.2": "3.11", "4.5": "3.11", "5.2": "3.13", "5.3": "3.13"}
"""The Blenders of the tests' matrix, and the Python that each is made for."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blender", action="append", default=[], choices=PYTHON_OF_BLENDER, help="a further Blender")
    parser.add_argument("--without", action="append", default=[], choices=EXTRAS, help="an extra to leave out")
    options = parser.parse_args(arguments)
    for version in options.blender:
        add_blender(version)
    if not options.blender:
        extras = [name for name in EXTRAS if name not in options.without]
        pip = new_environment(ROOT / ".venv", Path(sys.executable))
        install(pip, "--constraint", "constraints.txt", "--editable", f".[{','.join(extras)}]")
        (ROOT / ".venv" / ".ready").touch()
    return 0


def add_blender(version: str) -> None:
    """Makes the environment of a further Blender, or says why there will be none."""
    wanted = PYTHON_OF_BLENDER[version]
    python = find_python(wanted)
    if python is None:
        print(f"Python {wanted} not found: the Blender {version} tests will be skipped")
        return
    venv = blender_environment(version)
    install(new_environment(venv, python), f"bpy=={version}.*", "safetensors")
    (venv / ".ready").touch()


def blender_environment(version: str) -> Path:
    """Where the environment of a further Blender is."""
    return ROOT / f".venv-bpy{version.replace('.', '')}"


def find_python(version: str) -> Path | None:
    """An interpreter of a version such as "3.13": this one, pyenv's, one on the PATH, or that of Windows' launcher."""
    pyenv = sorted(Path.home().glob(f".pyenv/versions/{version}*/bin/python"), reverse=True)
    commands = [[sys.executable], *([str(path)] for path in pyenv), [f"python{version}"], ["py", f"-{version}"]]
    for command in commands:
        try:
            told = subprocess.run([*command, "-c", _WHICH], capture_output=True, text=True, check=False)
        except OSError:
            continue
        if told.returncode == 0 and told.stdout.split(maxsplit=1)[0] == version:
            return Path(told.stdout.split(maxsplit=1)[1].strip())
    return None


def new_environment(venv: Path, python: Path) -> list[str]:
    """Makes an environment, if it is not there, and gives the command of its pip."""
    (venv / ".ready").unlink(missing_ok=True)
    subprocess.run([str(python), "-m", "venv", str(venv)], check=True)
    program = venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    pip = [str(program), "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, "--upgrade", "pip"], check=True)
    return pip


def install(pip: list[str], *requirements: str) -> None:
    subprocess.run([*pip, *requirements], cwd=ROOT, check=True)


if __name__ == "__main__":
    sys.exit(main())
