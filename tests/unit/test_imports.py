"""The import rules of docs/architecture.md, checked on the syntax trees of all files."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# room (folder) -> prefixes it must never import
FORBIDDEN = {
    "deca_blender": ("torch", "torchvision", "deca", "deca_training", "cv2", "scipy"),
    "deca_blender/protocol": (
        "bpy",
        "bmesh",
        "mathutils",
        "deca_blender.core",
        "deca_blender.client",
        "deca_blender.scene",
    ),
    "deca_blender/batch": (
        "bpy",
        "bmesh",
        "mathutils",
        "numpy",
        "deca_blender.core",
        "deca_blender.client",
        "deca_blender.scene",
    ),
    "deca_blender/core": (
        "bpy",
        "bmesh",
        "mathutils",
        "deca_blender.scene",
        "deca_blender.operators",
        "deca_blender.ui",
    ),
    "deca_blender/client": (
        "bpy",
        "bmesh",
        "mathutils",
        "deca_blender.scene",
        "deca_blender.operators",
        "deca_blender.ui",
    ),
    "deca_blender/scene": ("deca_blender.operators", "deca_blender.ui"),
    "backend/deca": (
        "bpy",
        "bmesh",
        "mathutils",
        "deca_training",
        "deca_blender.core",
        "deca_blender.scene",
        "deca_blender.operators",
        "deca_blender.ui",
    ),
    "training": ("bpy", "bmesh", "mathutils"),
}


def imported_modules(path: Path, top: Path) -> Iterator[str]:
    """Absolute names of all modules that a file imports; `top` is the folder that holds its top-level package."""
    package = path.relative_to(top).with_suffix("").parts
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):  # what only the type checker sees may name the host
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                base = ".".join(package[: len(package) - node.level])
                module = f"{base}.{node.module}" if node.module else base
            else:
                module = node.module or ""
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def starts_with(module: str, prefix: str) -> bool:
    return module == prefix or module.startswith(prefix + ".")


@pytest.mark.parametrize("room", FORBIDDEN)
def test_room_keeps_the_import_rules(room: str) -> None:
    files = sorted((ROOT / room).rglob("*.py"))
    assert files, f"{room} holds no code"
    top = ROOT / "backend" if room.startswith("backend") else ROOT
    broken = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in files
        for module in imported_modules(path, top)
        for prefix in FORBIDDEN[room]
        if starts_with(module, prefix)
    ]
    assert not broken, "\n".join(broken)


def test_add_on_imports_itself_relatively() -> None:
    """An extension is loaded as `bl_ext.<repository>.deca_blender`: absolute imports of itself would fail there."""
    broken = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sorted((ROOT / "deca_blender").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.ImportFrom) and node.level == 0 and starts_with(node.module or "", "deca_blender"))
        or (isinstance(node, ast.Import) and any(starts_with(alias.name, "deca_blender") for alias in node.names))
    ]
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize(
    ("statement", "absent"),
    [("import deca_blender", ("bpy", "torch")), ("import deca, deca.cli", ("bpy", "torch"))],
)
def test_import_is_light(statement: str, absent: tuple[str, ...]) -> None:
    code = f"import sys; sys.path[:0] = {[str(ROOT), str(ROOT / 'backend')]}; {statement}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not set(absent) & set(loaded)


def test_the_check_sees_what_it_must(tmp_path: Path) -> None:
    """The check itself fails on forbidden imports, plain, aliased, relative and inside functions."""
    package = tmp_path / "deca_blender" / "core"
    package.mkdir(parents=True)
    bad = package / "bad.py"
    bad.write_text("import torch.nn as nn\ndef f():\n    from ..scene import rig\n")
    modules = list(imported_modules(bad, tmp_path))
    assert "torch.nn" in modules
    assert "deca_blender.scene" in modules and "deca_blender.scene.rig" in modules


def test_one_file_asks_which_blender_it_is() -> None:
    """Differences between Blenders are in scene/versions.py."""
    asking = []
    for path in sorted((ROOT / "deca_blender").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            is_version = isinstance(node, ast.Attribute) and ast.unparse(node) == "bpy.app.version"
            if is_version or (isinstance(node, ast.Constant) and node.value in ("layers", "action_slot")):
                asking.append(path.relative_to(ROOT).as_posix())
    assert set(asking) == {"deca_blender/scene/versions.py"}


def circle_in(room: Path, top: Path) -> list[str]:
    """Modules of a room that import each other in a circle, also inside functions; none where there is no circle."""
    files = {
        ".".join(path.relative_to(top).with_suffix("").parts).removesuffix(".__init__"): path
        for path in sorted(room.rglob("*.py"))
    }
    graph = {
        name: {module for module in imported_modules(path, top) if module in files} - _packages_of(name, files)
        for name, path in files.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def _packages_of(name: str, files: dict[str, Path]) -> set[str]:
    """The packages that a module lies in, which `from . import sibling` names, and itself."""
    parts = name.split(".")
    above = {".".join(parts[:count]) for count in range(1, len(parts) + 1)}
    return {package for package in above if package == name or files[package].name == "__init__.py"}


@pytest.mark.parametrize(
    ("room", "top"), [("deca_blender", "."), ("backend/deca", "backend"), ("training/deca_training", "training")]
)
def test_no_module_imports_itself_in_a_circle(room: str, top: str) -> None:
    assert circle_in(ROOT / room, ROOT / top) == []


def test_circles_are_seen(tmp_path: Path) -> None:
    package = tmp_path / "rooms"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "one.py").write_text("from . import two\n")
    (package / "two.py").write_text("def f():\n    from .three import x\n")
    (package / "three.py").write_text("x = 1\n")
    assert circle_in(package, tmp_path) == []
    (package / "three.py").write_text("from rooms.one import two as x\n")
    assert set(circle_in(package, tmp_path)) == {"rooms.one", "rooms.two", "rooms.three"}


def test_conventions_have_one_home() -> None:
    """Values that both sides agree on stand in protocol/conventions.py alone, under a name."""
    homes: dict[str, set[str]] = {"OPENHEAD": set(), "CROP_SIZE": set(), "JOINTS": set()}
    for room in ("deca_blender", "backend/deca", "training/deca_training"):
        for path in sorted((ROOT / room).rglob("*.py")):
            file = path.relative_to(ROOT).as_posix()
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and node.value == "openhead":
                    homes["OPENHEAD"].add(file)
                elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]).endswith("CROP_SIZE"):
                    homes["CROP_SIZE"].add(file)
                elif isinstance(node, ast.Tuple) and ast.unparse(node).startswith("('root', 'neck', 'jaw', 'eye_l',"):
                    homes["JOINTS"].add(file)
    assert homes == {key: {"deca_blender/protocol/conventions.py"} for key in homes}
