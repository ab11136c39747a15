"""What the weights make of public-domain photos: results.png and results.md. Called by `make results`.

    python tools/results.py --out docs [--weights FILE]

Two rows per photo: input, coarse shape, shape with wrinkles; and the same person with three other expressions, whose
wrinkles F_d decodes for each.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from skimage import data

from deca.errors import DecaError
from deca.head import HeadModel
from deca.reconstruct.decode import Decoder
from deca.reconstruct.face import Face
from deca.reconstruct.pipeline import BUILTIN, load_decoder, reconstruct
from deca.vision.crop import warp_crop
from deca.vision.photo import Photo

CELL, COLUMNS = 400, 3
LARGEST = 600_000
"""Bytes of the picture: pages must load."""

PHOTOS = {"astronaut": (data.astronaut, "Eileen Collins, NASA, public domain (`skimage.data.astronaut`)")}

EXPRESSIONS: dict[str, dict[str, float]] = {
    "brows up": {"browInnerUp": 1.0, "browOuterUpLeft": 1.0, "browOuterUpRight": 1.0},
    "smile": {"mouthSmileLeft": 0.8, "mouthSmileRight": 0.8, "cheekSquintLeft": 0.7, "cheekSquintRight": 0.7},
    "frown and sneer": {"browDownLeft": 1.0, "browDownRight": 1.0, "noseSneerLeft": 0.9, "noseSneerRight": 0.9},
}

PAGE = """# Results

What the built-in weights make of public-domain photos. `make results` makes this page and its picture.

![Input, coarse shape, shape with wrinkles; brows up, smile, frown and sneer](results.png)

*Rows in pairs: the photo, the coarse shape, the shape with the wrinkles of the photo's expression; then the same person
with other expressions and the wrinkles that F_d decodes for them.*

Photos: {photos}.

| | |
|---|---|
| weights | {hash} |
| trained on | {data} |
| recipe | {recipe} |
| licence | {licence} |
{measured}
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs"))
    parser.add_argument("--weights", default=BUILTIN, metavar="FILE", help="default: the built-in weights")
    options = parser.parse_args()
    try:
        decoder = load_decoder("openhead", options.weights)
        if decoder.networks is None:
            print("There are no built-in weights to show; name a file with --weights.", file=sys.stderr)
            return 1
        cells = [cell for name, (picture, _) in PHOTOS.items() for cell in cells_of(name, picture(), decoder)]
    except DecaError as error:
        print(error, file=sys.stderr)
        return 1
    options.out.mkdir(parents=True, exist_ok=True)
    save_small(sheet_of(cells), options.out / "results.png")
    card = decoder.networks.card
    page = PAGE.format(
        photos="; ".join(source for _, source in PHOTOS.values()),
        hash=decoder.networks.hash,
        data=card.data or "not stated",
        recipe=card.recipe or "not stated",
        licence=card.licence or "not stated",
        measured="\n".join(f"| {name} | {value:.4g} |" for name, value in sorted(card.metrics.items())),
    )
    (options.out / "results.md").write_text(page.rstrip() + "\n", encoding="utf-8")
    print(f"{options.out / 'results.png'}, {options.out / 'results.md'}")
    return 0


def cells_of(name: str, pixels: NDArray[np.uint8], decoder: Decoder) -> list[tuple[str, Image.Image]]:
    """The labelled pictures of one photo, in the order of the sheet."""
    photo = Photo(pixels, name)
    face = reconstruct(photo, path=f"{name}.png", decoder=decoder, texture_size=None, max_faces=1)[0]
    crop_HW3 = warp_crop(photo.pixels, face.crop_33).transpose(1, 2, 0)
    crop = Image.fromarray((255 * crop_HW3).round().astype(np.uint8)).resize((CELL, CELL), Image.Resampling.LANCZOS)
    posed = {label: with_expression(face, weights) for label, weights in EXPRESSIONS.items()}
    return [
        ("input", crop),
        ("coarse", drawn(replace(face, detail_D=None), decoder)),
        ("with wrinkles", drawn(face, decoder)),
        *((label, drawn(other, decoder)) for label, other in posed.items()),
    ]


def with_expression(face: Face, weights: Mapping[str, float]) -> Face:
    """The person with ARKit weights in place of the photo's expression, facing the camera.

    Raises:
        KeyError: The head model lacks one of the shapes.
    """
    codes_60 = arkit_codes(face.head, weights)
    pose_53 = np.zeros_like(face.pose_53)
    pose_53[2] = codes_60[51:54]
    return replace(face, expression_E=codes_60[: len(face.expression_E)], pose_53=pose_53)


def arkit_codes(head: HeadModel, weights: Mapping[str, float]) -> NDArray[np.float32]:
    """Expression coefficients (51), jaw and eyes (9) of ARKit weights."""
    assert head.arkit_map_K52 is not None, "OpenHead has ARKit shapes"
    place = {name: index for index, name in enumerate(head.arkit_names)}
    weight_52 = np.zeros(len(place), np.float32)
    for name, weight in weights.items():
        weight_52[place[name]] = weight
    return head.arkit_map_K52 @ weight_52


def drawn(face: Face, decoder: Decoder) -> Image.Image:
    """The face's shape in grey on its crop, with wrinkles if it has a detail code."""
    with torch.inference_mode():
        pictures = decoder.render(decoder.decode_face(face), height=2 * CELL, width=2 * CELL)  # smooth outlines
        shape_13HW = pictures.coarse_shape if pictures.detail_shape is None else pictures.detail_shape
        white = 1 - pictures.alpha_B1HW * (1 - shape_13HW.clamp(0, 1))
    picture_HW3 = (255 * white[0].permute(1, 2, 0)).round().byte().cpu().numpy()
    return Image.fromarray(picture_HW3).resize((CELL, CELL), Image.Resampling.LANCZOS)


def sheet_of(cells: list[tuple[str, Image.Image]]) -> Image.Image:
    """All cells in rows of `COLUMNS`, each with its label."""
    sheet = Image.new("RGB", (COLUMNS * CELL, -(-len(cells) // COLUMNS) * CELL), "white")
    font = ImageFont.load_default(18)
    for index, (label, picture) in enumerate(cells):
        ImageDraw.Draw(picture).text(
            (10, CELL - 30), label, fill="white", font=font, stroke_width=2, stroke_fill=(40, 40, 40)
        )
        sheet.paste(picture, (index % COLUMNS * CELL, index // COLUMNS * CELL))
    return sheet


def save_small(sheet: Image.Image, path: Path) -> None:
    """Writes a PNG of at most `LARGEST` bytes, reduced as far as need be."""
    sheet.save(path, optimize=True)
    while path.stat().st_size > LARGEST:
        sheet = sheet.resize((sheet.width * 9 // 10, sheet.height * 9 // 10), Image.Resampling.LANCZOS)
        sheet.save(path, optimize=True)


if __name__ == "__main__":
    sys.exit(main())
