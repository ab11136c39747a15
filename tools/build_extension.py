"""Builds the extension's zip, as `blender --command extension build` does, without Blender.

    python tools/build_extension.py [--out dist]

Files are chosen by `paths_exclude_pattern` of blender_manifest.toml (rules of a .gitignore: a leading slash ties a
pattern to the root, a trailing one means folders). The zip is the same for the same files, whenever it is built.
"""

from __future__ import annotations

import argparse
import os
import sys
import tomllib
import zipfile
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[1]
MANIFEST = "blender_manifest.toml"
LONGEST_PATH = 120
"""Characters inside the zip; Windows allows 260 in all, of which the user's extension folder may take half."""

_EARLIEST = (1980, 1, 1, 0, 0, 0)
_PLAIN_FILE = 0o644 << 16


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="folder for the zip")
    archive = build(ROOT, parser.parse_args().out)
    print(f"{archive} ({archive.stat().st_size / 1e6:.1f} MB)")
    return 0


def build(root: Path, out: Path) -> Path:
    """Writes `<id>-<version>.zip` into `out` and returns its path.

    Raises:
        ValueError: A path is too long for Windows.
    """
    manifest = tomllib.loads((root / MANIFEST).read_text(encoding="utf-8"))
    patterns = manifest["build"]["paths_exclude_pattern"]
    out.mkdir(parents=True, exist_ok=True)
    archive = out / f"{manifest['id']}-{manifest['version']}.zip"
    unfinished = archive.with_suffix(".part")
    with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as zipped:
        for path in sorted(included(root, patterns)):
            if len(str(path)) > LONGEST_PATH:
                raise ValueError(f"{path} is longer than {LONGEST_PATH} characters: too long for Windows.")
            entry = zipfile.ZipInfo(str(path), _EARLIEST)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, _PLAIN_FILE
            zipped.writestr(entry, (root / path).read_bytes())
    os.replace(unfinished, archive)
    return archive


def included(root: Path, patterns: Sequence[str]) -> Iterator[PurePosixPath]:
    """Paths, relative to the root, of the files that belong into the zip."""
    for folder, folders, files in os.walk(root):
        here = PurePosixPath(Path(folder).relative_to(root).as_posix())
        folders[:] = [name for name in folders if not is_excluded(here / name, True, patterns)]
        yield from (here / name for name in files if not is_excluded(here / name, False, patterns))


def is_excluded(path: PurePosixPath, is_folder: bool, patterns: Sequence[str]) -> bool:
    """Whether one of the patterns matches a path (whose parents are not excluded)."""
    for pattern in patterns:
        if pattern.endswith("/") and not is_folder:
            continue
        wanted = pattern.rstrip("/")
        if wanted.startswith("/"):
            if fnmatchcase(f"/{path}", wanted) and wanted.count("/") == len(path.parts):
                return True
        elif fnmatchcase(path.name, wanted):
            return True
    return False


if __name__ == "__main__":
    sys.exit(main())
