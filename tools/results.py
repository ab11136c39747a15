"""What the weights make of public-domain photos: results.png, colours.png and results.md. Called by `make results`.

    python tools/results.py --out docs [--weights FILE]

A row per photo. Results: the photo; the head as on it, without wrinkles, with them, and with three times as deep ones;
the same person with three other expressions. Colours: the photo; as photographed; the albedo from three sides.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from skimage import data

from deca.errors import DecaError
from deca.head import HeadModel
from deca.reconstruct.face import Face
from deca.reconstruct.models import Decoded, Models, load_models
from deca.reconstruct.pipeline import reconstruct
from deca.render.detail import detail_surface
from deca.render.normals import unit
from deca.render.preview import draw_head
from deca.vision.photo import Photo, read_photo
from deca_blender.protocol.conventions import BUILTIN_WEIGHTS, CROP_SIZE, OPENHEAD

CELL, HEADING = 320, 40
"""Pixels of a picture's side, and of the line above each column."""
ZOOM, RAISED = 1.14, 0.13
"""How much nearer than on the crop faces are seen, and how much higher, in halves of the crop."""
LAMPS = (((-0.8, 0.4, 0.45), 0.85), ((0.7, 0.1, 0.7), 0.2))
"""Directions in head space and strengths: from the side, where lines are seen best."""
AMBIENT = 0.05
WHOLE = 0.29
"""Metres that a picture of a whole head shows."""
LARGEST = 1_500_000
"""Bytes of the sheet: pages must load."""
FOLDER = Path(__file__).parent / "results_photos"
"""Small copies of public-domain photos; its README.md says where they are from."""


@dataclass(frozen=True)
class Portrait:
    """Somebody's photo.

    Attributes:
        who: The person, and the age on the photo.
        source: Who took it, and where it is from.
        file: In `FOLDER`; none for scikit-image's own.
    """

    who: str
    source: str
    file: str = ""

    def read(self) -> Photo:
        if not self.file:
            return Photo(data.astronaut(), "astronaut")
        return read_photo(FOLDER / self.file)


PORTRAITS = (
    Portrait("Eileen Collins, 30s", "NASA (`skimage.data.astronaut`)"),
    Portrait("Barack Obama, 48", "Pete Souza, The White House, 2009", "obama_2009.jpg"),
    Portrait("Barack Obama, 51", "Pete Souza, The White House, 2012", "obama_2012.jpg"),
    Portrait("Joe Biden, 67", "Pete Souza, The White House, 2010", "biden_2010.jpg"),
    Portrait("Grace Hopper, 77", "James S. Davis, US Navy, 1984", "hopper_1984.jpg"),
)

STRENGTHS = {"without wrinkles": 0.0, "with wrinkles": 1.0, "strength 3": 3.0}
"""Of the wrinkles as on the photo."""

EXPRESSIONS: dict[str, dict[str, float]] = {
    "brows up": {"browInnerUp": 1.0, "browOuterUpLeft": 1.0, "browOuterUpRight": 1.0},
    "smile": {"mouthSmileLeft": 0.8, "mouthSmileRight": 0.8, "cheekSquintLeft": 0.7, "cheekSquintRight": 0.7},
    "frown and sneer": {"browDownLeft": 1.0, "browDownRight": 1.0, "noseSneerLeft": 0.9, "noseSneerRight": 0.9},
}

PAGE = """# Results

What the built-in weights make of public-domain photos. `make results` makes this page and its picture, without a
network; what stands under "{seen}" is kept.

![A row per photo: photo, head without wrinkles, with them, at strength 3; three other expressions](results.png)

*From the left: the photo; the head from the photo's camera, lit from the side, without wrinkles, with those that the
photo shows, and at strength 3; the same person with other expressions, at which the photo's own lines move on.*

![A row per photo: photo; the head as photographed; its albedo from the front and from both sides](colours.png)

*The heads' two textures, neutral and in even light: as photographed, and the albedo. Hair and glasses are taken off.*

Photos (why they are in the public domain: `tools/results_photos/README.md`): {photos}.

| | |
|---|---|
| weights | {hash} |
| relief network | {relief} |
| trained on | {data} |
| recipe | {recipe} |
| licence | {licence} |
{measured}

"""
SEEN = "## What one sees"
"""Heading of what people have written, at the end of the page."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs"))
    parser.add_argument("--weights", default=BUILTIN_WEIGHTS, metavar="FILE", help="default: the built-in weights")
    options = parser.parse_args()
    try:
        models = load_models(OPENHEAD, options.weights)
        if models.networks is None:
            print("There are no built-in weights to show; name a file with --weights.", file=sys.stderr)
            return 1
        rows = [row_of(portrait, models) for portrait in PORTRAITS]
        colours = [colours_of(portrait, models) for portrait in PORTRAITS]
    except DecaError as error:
        print(error, file=sys.stderr)
        return 1
    options.out.mkdir(parents=True, exist_ok=True)
    save_small(sheet_of(rows), options.out / "results.png")
    save_small(sheet_of(colours), options.out / "colours.png")
    card = models.networks.card
    page = PAGE.format(
        seen=SEEN.lstrip("# "),
        photos="; ".join(f"{portrait.who}: {portrait.source}" for portrait in PORTRAITS),
        hash=models.networks.hash,
        relief="none" if models.relief is None else models.relief.card.recipe,
        data=card.data or "not stated",
        recipe=card.recipe or "not stated",
        licence=card.licence or "not stated",
        measured="\n".join(f"| {name} | {value:.4g} |" for name, value in sorted(card.metrics.items())),
    )
    path = options.out / "results.md"
    written = path.read_text(encoding="utf-8").partition(SEEN)[2] if path.is_file() else ""
    path.write_text(page + SEEN + (written or "\n"), encoding="utf-8")
    print(f"{options.out / 'results.png'}, {options.out / 'colours.png'}, {options.out / 'results.md'}")
    return 0


def row_of(portrait: Portrait, models: Models) -> dict[str, Image.Image]:
    """A photo's pictures by the headings of their columns."""
    photo = portrait.read()
    face = reconstruct(photo, path=f"{photo.name}.png", models=models, texture_size=None, max_faces=1)[0]
    crop = as_on_crop(photo, face)
    ImageDraw.Draw(crop).text(
        (10, CELL - 32),
        portrait.who,
        fill="white",
        font=ImageFont.load_default(22),
        stroke_width=2,
        stroke_fill="black",
    )
    decoded = models.decode_face(face)
    return {
        "photo": crop,
        **{label: drawn(strengthened(decoded, strength, models), models) for label, strength in STRENGTHS.items()},
        **{
            label: drawn(models.decode_face(with_expression(face, weights)), models)
            for label, weights in EXPRESSIONS.items()
        },
    }


def colours_of(portrait: Portrait, models: Models) -> dict[str, Image.Image]:
    """The two textures of a photo on the neutral head, by the headings of their columns."""
    photo = portrait.read()
    face = reconstruct(photo, path=f"{photo.name}.png", models=models, max_faces=1)[0]
    assert face.texture is not None
    neutral = replace(face, expression_E=np.zeros_like(face.expression_E), pose_53=np.zeros_like(face.pose_53))
    verts_V3 = neutral.vertices()
    middle_3 = (verts_V3.min(0) + verts_V3.max(0)) / 2
    scale = CELL / WHOLE
    to_cell_24 = np.array([[scale, 0, 0, CELL / 2], [0, -scale, 0, CELL / 2]])

    def turned(texture_NN3: NDArray[np.uint8], degrees: float) -> Image.Image:
        around_33 = cv2.Rodrigues(np.array([0.0, np.radians(degrees), 0.0]))[0]
        places_V3 = ((verts_V3 - middle_3) @ around_33.T).astype(np.float32)
        white = np.full((CELL, CELL, 3), 255, np.uint8)
        return Image.fromarray(draw_head(white, face.head, places_V3, to_cell_24, texture_NN3=texture_NN3))

    albedo_NN3 = face.texture.albedo_NN3
    return {
        "photo": as_on_crop(photo, face),
        "as photographed": turned(face.texture.photographed_NN3, 0),
        "albedo": turned(albedo_NN3, 0),
        "from the right": turned(albedo_NN3, 40),
        "from the left": turned(albedo_NN3, -40),
    }


def as_on_crop(photo: Photo, face: Face) -> Image.Image:
    """The middle of what the crop shows, from the photo's own pixels."""
    step, edge = CROP_SIZE / CELL / ZOOM, CROP_SIZE / 2 * (1 - 1 / ZOOM)
    top = edge - CROP_SIZE / 2 * RAISED
    to_photo_33 = np.linalg.inv(face.crop_33) @ np.array([[step, 0, edge], [0, step, top], [0, 0, 1]])
    row_6 = to_photo_33[:2].ravel().tolist()
    picture = Image.fromarray(photo.pixels)
    return picture.transform((CELL, CELL), Image.Transform.AFFINE, row_6, Image.Resampling.BICUBIC, fillcolor="white")


def strengthened(decoded: Decoded, strength: float, models: Models) -> Decoded:
    """A face whose wrinkles are so many times as deep."""
    assert decoded.displacement_B1HW is not None, "there are networks"
    with torch.inference_mode():
        surface = detail_surface(decoded.verts_BV3, strength * decoded.displacement_B1HW, models.head, smooth=True)
    return replace(decoded, detail=surface)


def with_expression(face: Face, weights: Mapping[str, float]) -> Face:
    """The person with ARKit weights in place of the photo's expression, seen as on the photo.

    Raises:
        KeyError: The head model lacks one of the shapes.
    """
    codes_60 = arkit_codes(face.head, weights)
    pose_53 = face.pose_53.copy()
    pose_53[2:] = codes_60[51:].reshape(3, 3)
    return replace(face, expression_E=codes_60[: len(face.expression_E)], pose_53=pose_53)


def arkit_codes(head: HeadModel, weights: Mapping[str, float]) -> NDArray[np.float32]:
    """Expression coefficients (51), jaw and eyes (9) of ARKit weights."""
    assert head.arkit_map_K52 is not None, "OpenHead has ARKit shapes"
    place = {name: index for index, name in enumerate(head.arkit_names)}
    weight_52 = np.zeros(len(place), np.float32)
    for name, weight in weights.items():
        weight_52[place[name]] = weight
    return head.arkit_map_K52 @ weight_52


def drawn(decoded: Decoded, models: Models) -> Image.Image:
    """A face with its wrinkles in grey, where it is on the photo."""
    assert decoded.detail is not None, "there are networks"
    with torch.inference_mode():
        where_1V3 = ZOOM * (decoded.picture_BV3 + torch.tensor([0.0, RAISED, 0.0]))
        surface = models.renderer(decoded.verts_BV3, where_1V3, 2 * CELL, 2 * CELL)  # smooth outlines
        normals_3N = unit(surface.normals(decoded.detail.normals_B3HW, decoded.detail.mask_11HW)[None])[0]
        light_N = torch.full_like(normals_3N[0], AMBIENT)
        for direction, strength in LAMPS:
            towards_3 = torch.tensor(direction)
            light_N += strength * (towards_3 / towards_3.norm() @ normals_3N).clamp(min=0)
        grey_HW = surface.fragments.image(light_N[None] ** (1 / 2.2))[0, 0] + 1 - surface.alpha_B1HW[0, 0]
    picture = Image.fromarray((255 * grey_HW.clamp(0, 1)).round().byte().cpu().numpy())
    return picture.resize((CELL, CELL), Image.Resampling.LANCZOS)


def sheet_of(rows: list[dict[str, Image.Image]]) -> Image.Image:
    """All rows below the headings of their columns."""
    sheet = Image.new("RGB", (len(rows[0]) * CELL, HEADING + len(rows) * CELL), "white")
    font, draw = ImageFont.load_default(26), ImageDraw.Draw(sheet)
    for column, label in enumerate(rows[0]):
        draw.text(((column + 0.5) * CELL, HEADING / 2), label, fill="black", font=font, anchor="mm")
    for number, row in enumerate(rows):
        for column, picture in enumerate(row.values()):
            sheet.paste(picture, (column * CELL, HEADING + number * CELL))
    return sheet


def save_small(sheet: Image.Image, path: Path) -> None:
    """Writes a PNG of at most `LARGEST` bytes, reduced as far as need be."""
    sheet.save(path, optimize=True)
    while path.stat().st_size > LARGEST:
        sheet = sheet.resize((sheet.width * 9 // 10, sheet.height * 9 // 10), Image.Resampling.LANCZOS)
        sheet.save(path, optimize=True)


if __name__ == "__main__":
    sys.exit(main())
