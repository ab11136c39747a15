"""The documentation: it builds as a site with all links good, and what it says of the code is so."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from deca.reconstruct import moving_relief
from tools.docs_hooks import SECTIONS, TUNED
from tools.messages import messages
from tools.mutants import mutants

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
AT_THE_TOP = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CODE_OF_CONDUCT.md", "CHANGELOG.md")
FILES = re.compile(r"`((?:assets|backend|deca_blender|docs|tests|tools|training|\.github)/[\w./-]*)(?=[` ])")
"""Paths of the repository in code spans; more may follow, as in a command."""


def pages() -> Iterator[Path]:
    yield from (ROOT / name for name in AT_THE_TOP)
    yield from sorted(DOCS.rglob("*.md"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs")
    out = tmp_path_factory.mktemp("site é")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(out)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": ""}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out


def test_the_site_has_what_pages_are_filled_with(site: Path) -> None:
    """Whether links are good MkDocs has seen to: `--strict`."""
    troubles = (site / "troubleshooting.html").read_text(encoding="utf-8")
    assert all(f">{title}<" in troubles for title in SECTIONS)
    assert "this computer seems to be offline" in troubles and "cannot be read here" in troubles
    numbers = (site / "numbers.html").read_text(encoding="utf-8")
    assert all(f">{title}<" in numbers for title in TUNED)
    assert "<code>MOST_ACTIVE</code>" in numbers and f"<code>{moving_relief.MOST_ACTIVE}</code>" in numbers
    functions = (site / "api" / "blender.html").read_text(encoding="utf-8")
    for name in ("import_face", "set_expression", "transfer_wrinkles", "bake", "export"):
        assert f'id="deca_blender.api.{name}"' in functions
    assert 'id="deca.reconstruct.pipeline.reconstruct_photo"' in (site / "api" / "deca.html").read_text(
        encoding="utf-8"
    )
    assert ">read_homefile<" in (site / "scripting.html").read_text(encoding="utf-8")  # a sample's code


@pytest.mark.parametrize("name", AT_THE_TOP)
def test_links_beside_the_site(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    links = [link.split("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    assert [link for link in links if not ((ROOT / name).parent / link).exists()] == []


def test_files_that_pages_name_are_there() -> None:
    named = {(path, name) for path in pages() for name in FILES.findall(path.read_text(encoding="utf-8"))}
    assert len(named) > 100
    made_later = ("docs/pictures",)
    gone = sorted((str(path.relative_to(ROOT)), name) for path, name in named if not (ROOT / name).exists())
    assert [each for each in gone if each[1] not in made_later] == []


def test_readme_is_a_screen_and_a_half() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 75 and len(text.split()) <= 700


def test_the_version_is_everywhere_the_same() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\n## {version}\n" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_make_targets_that_pages_name() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {
        target
        for path in pages()
        for target in re.findall(
            r"(?:`|^ {4}|^)make ([a-z][a-z-]*)\b(?=[` ]|$)", path.read_text(encoding="utf-8"), re.M
        )
    }
    assert {"setup", "demo", "test", "test-blender"} <= named <= targets


def test_every_panel_has_its_part() -> None:
    """The words of the panels' headers, from the code that draws them."""
    words = ast.parse((ROOT / "deca_blender/ui/texts.py").read_text(encoding="utf-8"))
    names = {
        node.value.value
        for node in words.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name) and target.id.startswith("PANEL_")
    }
    parts = re.findall(r"^## (.+)$", (DOCS / "panels.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(names) >= 8 and names <= set(parts)


@pytest.mark.parametrize(("paper", "last"), [("### DECA", 15), ("### The nonlinear face model", 16)])
def test_every_equation_of_the_papers_has_a_file(paper: str, last: int) -> None:
    text = (DOCS / "how-it-works.md").read_text(encoding="utf-8")
    section = text.split(paper)[1].split("\n### ")[0]
    rows = re.findall(r"^\| ([\d, ]+) \| .+ \| (`.+`.*) \|$", section, re.MULTILINE)
    assert {int(number) for numbers, _ in rows for number in numbers.split(",")} == set(range(1, last + 1))


def test_every_benchmark_is_on_its_page() -> None:
    text = (DOCS / "benchmarks.md").read_text(encoding="utf-8")
    assert [path.name for path in (ROOT / "tests/benchmarks").glob("bench_*.py") if path.name not in text] == []


def test_every_asset_is_on_the_page_of_licences() -> None:
    text = (DOCS / "selling.md").read_text(encoding="utf-8")
    for path in (ROOT / "assets").rglob("*.*"):
        if path.suffix in (".safetensors", ".blend"):
            name = path.relative_to(ROOT / "assets").as_posix()
            assert f"`{name}`" in text or f"`{Path(name).parent.as_posix()}/*" in text, name


def test_messages_that_are_explained_are_said_by_the_product() -> None:
    """Headings of docs/troubleshooting.md below its chapters, with `…` for what a message names."""
    text = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
    headings = re.findall(r"^### (.+)$", text, re.MULTILINE)
    said = {re.sub(r"(\{\})+", "…", " ".join(each.text.split())) for each in messages()}
    words = (ROOT / "deca_blender/ui/texts.py").read_text(encoding="utf-8")
    assert len(headings) > 10
    assert [each for each in headings if each not in said and f'"{each}"' not in words] == []


def test_messages_are_found_where_they_are_raised(tmp_path: Path) -> None:
    folder = tmp_path / "backend" / "deca"
    folder.mkdir(parents=True)
    (folder / "a.py").write_text(
        'HINT = "Copy it again."\n'
        'raise PhotoError(f"The file {path} is empty.", HINT)\n'
        'raise ValueError("Never seen by a user.")\n'
        'raise AssetError("One part"\n    " and {}".format(1) + " more", "Do this.")\n'
        '_Cause(r"No space|Errno 28", "The disk is full.", "Free some space.")\n',
        encoding="utf-8",
    )
    found = [(each.text, each.hint) for each in messages(tmp_path)]
    assert ("The file {} is empty.", "Copy it again.") in found
    assert ("The disk is full.", "Free some space.") in found
    assert not [text for text, _ in found if "Never" in text or "Errno" in text]


def test_mutants_stand_in_the_code() -> None:
    listed = mutants()
    assert len(listed) == 32 and len({each.file for each in listed}) == 14
    for each in listed:
        text = (ROOT / each.file).read_text(encoding="utf-8")
        assert each.made_in(text) != text
        ast.parse(each.made_in(text))
        assert all((ROOT / test).is_file() for test in each.tests)
