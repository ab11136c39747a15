"""The photos of the results page: small, without metadata, and each with its provenance."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

FOLDER = Path(__file__).parents[2] / "tools" / "results_photos"


def test_every_photo_says_where_it_is_from() -> None:
    photos = {path.name for path in FOLDER.iterdir() if path.suffix != ".md"}
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert photos == {line.split("`")[1] for line in readme.splitlines() if line.startswith("| `")}
    for name in photos:
        assert (FOLDER / name).stat().st_size <= 100_000, name
        with Image.open(FOLDER / name) as picture:
            assert not picture.getexif(), name
