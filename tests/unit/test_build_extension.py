"""What is in the extension's zip, and that it is complete enough to be imported."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parents[2]
_spec = importlib.util.spec_from_file_location("build_extension", ROOT / "tools" / "build_extension.py")
assert _spec and _spec.loader
build_extension = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(build_extension)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_extension.build(ROOT, tmp_path_factory.mktemp("dist é"))


@pytest.mark.parametrize(
    ("path", "is_folder", "excluded"),
    [
        ("deca_blender/__pycache__", True, True),
        ("deca_blender/core/rig.pyc", False, True),
        ("tests", True, True),
        ("tests", False, False),
        ("backend/tests", True, False),
        (".venv", True, True),
        (".gitignore", False, True),
        ("assets/.keep", False, False),
        ("deca_blender-0.1.0.zip", False, True),
        ("assets/a.zip", False, False),
        ("assets/weights", True, False),
        ("assets/weights/openhead.safetensors", False, False),
        ("assets/nonlinear", True, True),
        ("backend/deca_blender.egg-info", True, True),
    ],
)
def test_patterns(path: str, is_folder: bool, excluded: bool) -> None:
    patterns = tomllib.loads((ROOT / "blender_manifest.toml").read_text())["build"]["paths_exclude_pattern"]
    assert build_extension.is_excluded(PurePosixPath(path), is_folder, patterns) is excluded


def test_zip_holds_the_product_and_nothing_else(archive: Path) -> None:
    names = zipfile.ZipFile(archive).namelist()
    assert {name.split("/")[0] for name in names if "/" in name} == {"deca_blender", "backend", "assets"}
    assert {
        *("__init__.py", "blender_manifest.toml", "pyproject.toml"),
        "deca_blender/registration.py",
        "backend/deca/service/__main__.py",
        "assets/openhead/openhead.safetensors",
        "backend/locks/windows-x86_64-cuda-py313.torch.txt",
    } <= set(names)
    at_the_top = {name for name in names if "/" not in name}
    assert at_the_top == {"__init__.py", "blender_manifest.toml", "pyproject.toml", "LICENSE", "README.md"}
    assert not [name for name in names if name.endswith(".pyc") or "/test" in name or "training" in name]


def test_all_data_has_a_licence_and_a_provenance() -> None:
    folders = {path.name for path in (ROOT / "assets").iterdir() if path.is_dir()} | {"weights"}
    licences = (ROOT / "assets" / "LICENSES").read_text(encoding="utf-8")
    provenance = (ROOT / "assets" / "PROVENANCE.md").read_text(encoding="utf-8")
    for folder in folders:
        assert f"\n{folder}/ " in licences, folder
        assert f"## {folder}/" in provenance or (ROOT / "assets" / folder / "PROVENANCE.md").is_file(), folder


def test_building_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(ROOT / "deca_blender" / "core", source / "deca_blender" / "core")
    shutil.copy(ROOT / "blender_manifest.toml", source)
    first = build_extension.build(source, tmp_path / "a").read_bytes()
    for path in source.rglob("*.py"):
        os.utime(path, (0, 2_000_000_000))
    assert build_extension.build(source, tmp_path / "b").read_bytes() == first


def test_unpacked_zip_runs_without_the_checkout(archive: Path, tmp_path: Path) -> None:
    """The add-on's core and the backend's head model load from the unpacked zip alone."""
    with zipfile.ZipFile(archive) as zipped:
        zipped.extractall(tmp_path / "unpacked é")
    code = (
        "import sys; root = sys.argv[1]; sys.path[:0] = [root, root + '/backend'];"
        "from deca_blender.core.requirements import backend_requirements; assert backend_requirements();"
        "from deca.head import load_head; assert load_head().num_verts > 4000;"
        "import deca_blender; assert deca_blender.__file__.startswith(root)"
    )
    # -P: without the current folder, where the checkout may be
    subprocess.run([sys.executable, "-P", "-c", code, str(tmp_path / "unpacked é")], check=True, cwd=tmp_path)


def test_manifest_keeps_the_platform_rules() -> None:
    manifest = tomllib.loads((ROOT / "blender_manifest.toml").read_text(encoding="utf-8"))
    required = {"schema_version", "id", "version", "name", "tagline", "type", "maintainer", "license"}
    assert required | {"blender_version_min"} <= set(manifest)
    assert manifest["id"] == "deca_blender" and manifest["blender_version_min"] == "4.2.0"
    assert manifest["license"] == ["SPDX:GPL-3.0-or-later"]
    for text in (manifest["tagline"], *manifest["permissions"].values()):
        assert len(text) <= 64 and text[-1].isalnum()
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert manifest["version"] == version
