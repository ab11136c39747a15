"""Pictures of the built-in head for docs/openhead.md: 24 random people, age and sex, the 52 ARKit shapes, the presets,
and for docs/correcting.md the shape sliders with names.

    python tools/picture_openhead.py [--head FILE] [--out docs]

Writes `openhead_people.jpg`, `openhead_traits.jpg`, `openhead_shapes.jpg`, `openhead_presets.jpg` and
`openhead_named.jpg`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from deca.head import HeadModel, load_head  # noqa: E402
from deca.head.layer import HeadLayer  # noqa: E402
from deca.head.named_shapes import load_named_shapes  # noqa: E402
from deca.reconstruct.geometry import rotation  # noqa: E402
from deca.render.renderer import Renderer  # noqa: E402
from deca_blender.core.expressions import PRESETS  # noqa: E402
from deca_blender.protocol.conventions import OPENHEAD  # noqa: E402
from tools.openhead.portrait import View  # noqa: E402

Codes = tuple[NDArray, NDArray, NDArray]
"""Shape (300,), expression (E,), pose (5, 3) axis-angle."""

PEOPLE, SEED = 24, 7
VIEW = View(span=0.33, centre=(0.0, -0.015))
CELL = 200
SEEN_FROM_THE_SIDE = ("head_depth", "chin_forward", "eye_depth", "nose_depth", "nose_tip_up", "nose_bridge")
"""Shape sliders that change depths."""
DEGREES = 30.0
"""By which every second picture of a person is turned."""


class Studio:
    """Takes pictures of one head model."""

    def __init__(self, head: HeadModel) -> None:
        self.head = head
        self._layer = HeadLayer(head, head.shape_dirs_V3S.shape[2], head.expression_dirs_V3E.shape[2])
        self._renderer = Renderer.of_head(head, 2 * CELL)

    def codes(self, shape_S: NDArray | None = None, weights: dict[str, float] | None = None) -> Codes:
        """Codes of a shape with ARKit weights."""
        weights_52 = np.array([(weights or {}).get(name, 0.0) for name in self.head.arkit_names])
        mapped_K = self.head.arkit_map_K52 @ weights_52
        pose_J3 = np.zeros((5, 3))
        pose_J3[2:] = mapped_K[51:60].reshape(3, 3)
        expression_E = np.zeros(self.head.expression_dirs_V3E.shape[2])
        expression_E[:51] = mapped_K[:51]
        return np.zeros(self.head.shape_dirs_V3S.shape[2]) if shape_S is None else shape_S, expression_E, pose_J3

    def verts(self, codes: Codes, yaw: float = 0.0) -> NDArray[np.float32]:
        """Posed vertices (V, 3) of the head turned by `yaw` degrees."""
        with torch.no_grad():
            verts_BV3 = self._layer(*(torch.as_tensor(code, dtype=torch.float32)[None] for code in codes))
        turned = rotation(np.radians([[0.0, yaw, 0.0]]))[0]
        return (verts_BV3[0].numpy() @ turned.T).astype(np.float32)

    def clay(self, codes: Codes, yaw: float = 0.0) -> NDArray[np.uint8]:
        """In grey."""
        verts_V3 = self.verts(codes, yaw)
        with torch.no_grad():
            surface = self._renderer(torch.from_numpy(verts_V3)[None], torch.from_numpy(VIEW.project(verts_V3))[None])
            grey_B3HW = surface.clay() * surface.alpha_B1HW + 1 - surface.alpha_B1HW
            small_B3HW = torch.nn.functional.avg_pool2d(grey_B3HW ** (1 / 2.2), 2)
        return (small_B3HW[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)


def people(studio: Studio) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Random people, each from the front and from the side."""
    rng = np.random.default_rng(SEED)
    for person in range(PEOPLE):
        codes = studio.codes(rng.normal(size=studio.head.shape_dirs_V3S.shape[2]))
        for yaw in (0.0, DEGREES if person % 2 else -DEGREES):
            yield "", studio.clay(codes, yaw)


def traits(studio: Studio) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """The average woman and man at three ages."""
    traits = {trait.name: trait for trait in studio.head.traits}
    for sex, name in ((-1, "women"), (1, "men")):
        for years in (20, 45, 80):
            age = traits["age"]
            shape_S = sex * traits["sex"].code_S + (years - age.mean) / age.deviation * age.code_S
            for yaw in (0.0, 2 * DEGREES):
                yield f"{name}, {years}", studio.clay(studio.codes(shape_S), yaw)


def shapes(studio: Studio) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """All ARKit shapes at full weight; mouthClose with the jaw that it closes."""
    for name in studio.head.arkit_names:
        weights = {name: 1.0} | ({"jawOpen": 1.0} if name == "mouthClose" else {})
        yield name, studio.clay(studio.codes(weights=weights), 0.0)


def presets(studio: Studio) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """The add-on's expressions on three people."""
    rng = np.random.default_rng(SEED)
    for shape_S in [None, *rng.normal(size=(2, studio.head.shape_dirs_V3S.shape[2]))]:
        for name, weights in PRESETS.items():
            yield name, studio.clay(studio.codes(shape_S, dict(weights)), 0.0)


def named(studio: Studio) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """The shape sliders at both of two deviations, from where they show."""
    for shape in load_named_shapes(studio.head):
        for value in (-2, 2):
            label = f"{shape.key.replace('_', ' ').title()} {value * shape.deviation:+.0f} {shape.unit}"
            yaw = 2 * DEGREES if shape.key in SEEN_FROM_THE_SIDE else 0.0
            yield label, studio.clay(studio.codes(value * shape.code_S), yaw)


SHEETS = {
    "people": (people, 12),
    "traits": (traits, 6),
    "shapes": (shapes, 13),
    "presets": (presets, 15),
    "named": (named, 6),
}
"""What each picture shows, and how many in a row."""


def sheet(pictures: list[tuple[str, NDArray[np.uint8]]], columns: int) -> Image.Image:
    """Pictures in rows, with their names."""
    rows = -(-len(pictures) // columns)
    page = Image.new("RGB", (columns * CELL, rows * CELL), "white")
    draw = ImageDraw.Draw(page)
    for k, (name, picture_HW3) in enumerate(pictures):
        place = (k % columns * CELL, k // columns * CELL)
        page.paste(Image.fromarray(picture_HW3), place)
        draw.text((place[0] + 4, place[1] + 2), name, fill="black")
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--head", default=OPENHEAD, help="head model: its name or file")
    parser.add_argument("--out", type=Path, default=ROOT / "docs")
    parser.add_argument("--only", choices=SHEETS, help="make one of them")
    options = parser.parse_args()
    studio = Studio(load_head(options.head))
    for name, (pictures, columns) in SHEETS.items():
        if options.only in (None, name):
            sheet(list(pictures(studio)), columns).save(options.out / f"openhead_{name}.jpg", quality=82)


if __name__ == "__main__":
    main()
