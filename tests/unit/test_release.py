"""What `make release` puts on a web server, the locks in the extension, and the environments of the tests."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
import tomllib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from deca_blender.core.requirements import LOCKED, LOCKS, backend_requirements, lock_name
from tools import setup
from tools.lock import PYTHONS
from tools.release import release

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release of an extension that is as small as can be."""
    root = tmp_path_factory.mktemp("root é")
    shutil.copy(ROOT / "blender_manifest.toml", root)
    (root / "__init__.py").write_text("")
    out = root / "out" / "release"
    release(root, out, with_wheel=False)
    return out


def test_blender_finds_the_extension_in_the_listing(released: Path) -> None:
    """Blender's own `extension server-generate` writes these fields, and its client asks for them."""
    index = json.loads((released / "index.json").read_text(encoding="utf-8"))
    assert index["version"] == "v1"
    (entry,) = index["data"]
    archive = released / entry["archive_url"]
    assert entry["archive_size"] == archive.stat().st_size
    assert entry["archive_hash"] == "sha256:" + hashlib.sha256(archive.read_bytes()).hexdigest()
    manifest = tomllib.loads((ROOT / "blender_manifest.toml").read_text(encoding="utf-8"))
    told = {name for name in manifest if name != "build"}
    assert told <= set(entry) and all(entry[name] == manifest[name] for name in told)


def test_the_page_has_a_button_that_blender_understands(released: Path) -> None:
    links: list[str] = []

    class Links(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            links.extend(value or "" for name, value in attrs if name == "href")

    text = (released / "index.html").read_text(encoding="utf-8")
    Links().feed(text)
    button, download = map(urlsplit, links)
    assert (released / button.path).is_file() and (released / download.path).is_file()
    assert parse_qs(button.query) == {"repository": ["./index.json"], "blender_version_min": ["4.2.0"]}
    for line in (released / "SHA256SUMS").read_text(encoding="utf-8").splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((released / name).read_bytes()).hexdigest() == digest
        assert name == "index.json" or digest in text


def packages(path: Path) -> Iterator[tuple[str, Version, list[str]]]:
    """Name, version and hashes of what a lock holds."""
    text = re.sub(r"\\\n\s*", " ", path.read_text(encoding="utf-8"))
    for line in text.splitlines():
        if line and not line.startswith(("#", "--")):
            name, version = re.match(r"([\w.-]+)[<=]=([\w.+]+)", line).groups()  # type: ignore[union-attr]
            yield name, Version(version), re.findall(r"--hash=sha256:[0-9a-f]{64}", line)


@pytest.mark.parametrize("kind", LOCKED, ids="-".join)
@pytest.mark.parametrize("python", PYTHONS)
def test_locks_hold_what_the_project_asks_for(kind: tuple[str, str, str], python: str) -> None:
    """After a change of the dependencies: `python -m tools.lock`."""
    lock = LOCKS / lock_name(*kind, python)
    held = {name: version for name, version, _ in packages(lock)}
    assert all(hashes for _, _, hashes in packages(lock))
    own = lock.with_suffix(".torch.txt")
    if own.is_file():
        assert "torch" not in held and not [name for name in held if name.startswith("nvidia")]
        held |= {name: version for name, version, _ in packages(own)}
    wanted = [Requirement(line) for line in backend_requirements()]
    assert [str(each) for each in wanted if held[each.name.lower()] not in each.specifier] == []


def test_the_environments_python_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    this = "{}.{}".format(*sys.version_info)
    assert setup.find_python(this) == Path(sys.executable)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert setup.find_python("3.99") is None
    pyenv = tmp_path / ".pyenv" / "versions" / "3.99.1" / "bin" / "python"
    pyenv.parent.mkdir(parents=True)
    pyenv.write_text("#!/bin/sh\necho '3.99 /the/real one'\n")
    pyenv.chmod(0o755)
    assert setup.find_python("3.99") == (Path("/the/real one") if os.name == "posix" else None)
