"""The wheel holds the whole product, and works where nothing of the checkout is."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
HOMES = {"backend/deca": "deca", "deca_blender": "deca_blender", "training/deca_training": "deca_training"}
"""Folders of the checkout, and where their files are in the wheel."""
BUILD = "from setuptools import build_meta; import sys; print(getattr(build_meta, 'build_' + sys.argv[1])(sys.argv[2]))"


def build(kind: str, source: Path, out: Path) -> Path:
    """A wheel or an sdist, made by pyproject.toml's build backend."""
    out.mkdir()
    command = [sys.executable, "-c", BUILD, kind, str(out)]
    subprocess.run(command, cwd=source, check=True, stdout=subprocess.DEVNULL)
    (made,) = out.iterdir()
    return made


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What building needs of the checkout, so that nothing is written there and no earlier build is found."""
    source = tmp_path_factory.mktemp("source é")
    for name in (*HOMES, "assets"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    return source


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", source, tmp_path_factory.mktemp("wheel") / "dist")


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with this wheel and, for its dependencies, our packages but for our own."""
    venv = tmp_path_factory.mktemp("installed") / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    python = venv / "bin" / "python" if os.name == "posix" else venv / "Scripts" / "python.exe"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--no-index", str(wheel)], check=True)
    ours = [folder for folder in sys.path if folder.endswith(("site-packages", "dist-packages"))]
    site = sysconfig.get_path("purelib", vars={"base": str(venv), "platbase": str(venv)})
    (Path(site) / "dependencies.pth").write_text("\n".join(ours), encoding="utf-8")
    return venv


def run(venv: Path, name: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A command of the environment, in a folder of its own."""
    env = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "DECA_"))}
    program = shutil.which(name, path=str(venv / ("bin" if os.name == "posix" else "Scripts")))
    assert program
    return subprocess.run(
        [program, *arguments], cwd=cwd, env=env, capture_output=True, text=True, timeout=300, check=False
    )


def test_the_wheel_has_every_module_and_every_asset(wheel: Path) -> None:
    wanted = {
        f"{home}/{path.relative_to(ROOT / folder).as_posix()}": path
        for folder, home in {**HOMES, "assets": "deca/data"}.items()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
        assert held == set(wanted)
        assert not [name for name, path in wanted.items() if archive.getinfo(name).file_size != path.stat().st_size]


def test_the_sdist_builds_the_same_wheel(source: Path, wheel: Path, tmp_path: Path) -> None:
    shutil.unpack_archive(build("sdist", source, tmp_path / "sdist"), tmp_path / "unpacked")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    again = build("wheel", unpacked, tmp_path / "again")
    with zipfile.ZipFile(wheel) as one, zipfile.ZipFile(again) as two:
        assert {entry.filename: entry.CRC for entry in one.infolist()} == {
            entry.filename: entry.CRC for entry in two.infolist()
        }


def test_reconstruct_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    from skimage.data import astronaut

    Image.fromarray(astronaut()).save(tmp_path / "astronaut.png")
    done = run(installed, "deca", "reconstruct", "astronaut.png", "--out", "made", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (face,) = (tmp_path / "made").rglob("face_0.json")
    codes = json.loads(face.read_text(encoding="utf-8"))
    assert np.isfinite(codes["shape"]).all() and np.abs(codes["shape"]).max() > 0
    vertices = [line for line in (face.parent / "head.obj").read_text().splitlines() if line.startswith("v ")]
    assert len(vertices) > 4000
    assert (face.parent / "head_displacement.png").is_file()  # the built-in weights were found
    assert not (tmp_path / "deca").exists()


def test_the_commands_of_the_wheel(installed: Path, tmp_path: Path) -> None:
    """Every module that the trainer's commands need is there, and all code comes from the environment."""
    done = run(installed, "deca-train", "--help", cwd=tmp_path)
    assert done.returncode == 0 and "synthetic" in done.stdout, done.stderr
    code = (
        "import deca, deca_training.data.synthetic.cli, deca_blender.client.launch as launch, pathlib;"
        "from deca.assets import assets_dir; from deca_blender.core import assets;"
        "assert assets.assets_dir() == assets_dir();"
        "print(deca.__file__, launch.ROOT, assets_dir(), sep='\\n')"
    )
    done = run(installed, "python", "-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 3 and all(line.startswith(str(installed)) for line in lines)
