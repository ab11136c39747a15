"""Everything that a release is: the extension, its repository for Blender, a page to install it from, and the wheel.

    python -m tools.release [--out dist/release] [--no-wheel]

The folder can be put on any web server as it is: Blender reads `index.json` as an extension repository, `index.html`
has a button that is dragged into Blender, and SHA256SUMS the hashes of all files.
"""

from __future__ import annotations

import argparse
import hashlib
import html
import json
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from string import Template
from typing import Any

from tools.build_extension import MANIFEST, ROOT, build

OF_INDEX = (
    "schema_version",
    "id",
    "name",
    "tagline",
    "version",
    "type",
    "maintainer",
    "license",
    "blender_version_min",
    "tags",
    "permissions",
)
"""Fields of the manifest that a repository's listing repeats."""
PAGE = Path(__file__).with_name("release_page.html")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "dist" / "release", help="folder for the release")
    parser.add_argument("--no-wheel", action="store_true", help="without the wheel, which needs pip")
    options = parser.parse_args()
    release(ROOT, options.out, not options.no_wheel)
    for path in sorted(options.out.iterdir()):
        print(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")
    return 0


def release(root: Path, out: Path, with_wheel: bool) -> None:
    """Fills a folder, which is emptied before."""
    shutil.rmtree(out, ignore_errors=True)
    archive = build(root, out)
    if with_wheel:
        wheel = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(out), str(root)]
        subprocess.run(wheel, check=True)
        shutil.rmtree(root / "build", ignore_errors=True)
    entry = listing(tomllib.loads((root / MANIFEST).read_text(encoding="utf-8")), archive)
    index = {"version": "v1", "blocklist": [], "data": [entry]}
    (out / "index.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    files = [path for path in sorted(out.iterdir()) if path.suffix in (".zip", ".whl")]
    (out / "index.html").write_text(page(entry, files), encoding="utf-8")
    sums = "".join(f"{digest(path)}  {path.name}\n" for path in (*files, out / "index.json"))
    (out / "SHA256SUMS").write_text(sums, encoding="utf-8")


def listing(manifest: dict[str, Any], archive: Path) -> dict[str, Any]:
    """The extension in a repository's `index.json`."""
    entry = {name: manifest[name] for name in OF_INDEX if name in manifest}
    return entry | {
        "archive_url": f"./{archive.name}",
        "archive_size": archive.stat().st_size,
        "archive_hash": f"sha256:{digest(archive)}",
    }


def page(entry: dict[str, Any], files: list[Path]) -> str:
    """The page with the button. Blender reads the address's query where the button is dropped."""
    oldest = entry["blender_version_min"]
    rows = "\n".join(
        f'<tr><td><a href="{path.name}">{path.name}</a></td><td>{path.stat().st_size / 1e6:.1f} MB</td>'
        f"<td><code>{digest(path)}</code></td></tr>"
        for path in files
    )
    return Template(PAGE.read_text(encoding="utf-8")).substitute(
        name=html.escape(entry["name"]),
        tagline=html.escape(entry["tagline"]),
        version=entry["version"],
        oldest=oldest,
        drop=html.escape(f"{entry['archive_url']}?repository=.%2Findex.json&blender_version_min={oldest}"),
        rows=rows,
    )


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
