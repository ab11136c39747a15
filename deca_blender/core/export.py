"""What an export of a head is: its formats, what can be chosen, and the file beside it that says what is in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from . import arkit, rig
from .morphs import Morph
from .visemes import VISEMES
from .wrinkle_rig import WrinkleRig

SIDECAR_VERSION = 1


class ExportError(Exception):
    """A head cannot be exported as asked; the message says why, and what to do."""


@dataclass(frozen=True)
class Format:
    """What a file format can hold.

    Attributes:
        suffix: Of its files.
        label: Its name for the user.
        has_morphs: It holds morphs and bones; others hold surfaces alone.
        has_animation: It holds more than one moment.
        has_materials: It knows materials and their textures.
        can_embed: Textures may be inside the file.
        has_z_up: Its rules leave open which way is up.
    """

    suffix: str
    label: str
    has_morphs: bool = True
    has_animation: bool = True
    has_materials: bool = True
    can_embed: bool = True
    has_z_up: bool = True


FORMATS: dict[str, Format] = {
    "glb": Format(".glb", "glTF Binary", has_z_up=False),
    "fbx": Format(".fbx", "FBX"),
    "usd": Format(".usdc", "USD"),
    "obj": Format(".obj", "Wavefront OBJ", has_morphs=False, has_animation=False, can_embed=False),
    "abc": Format(".abc", "Alembic", has_morphs=False, has_materials=False, can_embed=False, has_z_up=False),
}
PACKED_USD = ".usdz"
"""Suffix of USD with its textures inside."""


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """What to export of a head, and how.

    Attributes:
        format: One of `FORMATS`.
        expression: `CURRENT` leaves the morphs at what the sliders show, `NEUTRAL` at 0.
        use_skeleton: With bones for head, neck, jaw and eyes; morphs move the jaw and the eyes all the same.
        use_coefficients: With the head model's own expression coefficients `exp_000`, ... as morphs.
        use_visemes: With the 15 visemes of Oculus as morphs.
        use_animation: With the animation of the scene's frames, if there is any.
        textures: `INSIDE` the file, where its format can, `BESIDE` it, or `NONE`.
        use_wrinkle_maps: With the maps of a baked wrinkle rig and what blends them.
        detail: Levels of subdivision at which wrinkles move the surface itself; 0 for the coarse mesh.
        use_triangles: Triangles in place of quads.
        use_eyes, use_teeth, use_tongue: What of the head to take.
        scale: Units of the file in a metre.
        up: Axis that points up, `Y` or `Z`; the face looks along z, or along -y.
    """

    format: str = "glb"
    expression: str = "CURRENT"
    use_skeleton: bool = True
    use_coefficients: bool = False
    use_visemes: bool = False
    use_animation: bool = True
    textures: str = "INSIDE"
    use_wrinkle_maps: bool = False
    detail: int = 0
    use_triangles: bool = False
    use_eyes: bool = True
    use_teeth: bool = True
    use_tongue: bool = True
    scale: float = 1.0
    up: str = "Y"

    def __post_init__(self) -> None:
        """Refuses what a format cannot do.

        Raises:
            ExportError: With the way out.
        """
        if self.format not in FORMATS:
            raise ExportError(f"{self.format} is no format of ours; there are {', '.join(FORMATS)}.")
        if self.up != "Y" and not FORMATS[self.format].has_z_up:
            raise ExportError(f"{FORMATS[self.format].label} always has y up. Choose Y, or another format.")
        if not self.scale > 0:
            raise ExportError("The scale must be above 0.")

    @property
    def kind(self) -> Format:
        """The format's abilities."""
        return FORMATS[self.format]

    @property
    def is_embedded(self) -> bool:
        """Whether textures go inside the file."""
        return self.textures == "INSIDE" and self.kind.can_embed

    @property
    def suffix(self) -> str:
        """Of the file."""
        return PACKED_USD if self.format == "usd" and self.is_embedded else self.kind.suffix

    @property
    def removed_parts(self) -> tuple[int, ...]:
        """Values of `HeadReply.part` that are left out."""
        wanted = {(1, 2): self.use_eyes, (3, 4): self.use_teeth, (5,): self.use_tongue}
        return tuple(part for parts, is_wanted in wanted.items() if not is_wanted for part in parts)


def file_of(path: Path, options: ExportOptions) -> Path:
    """The path with the format's suffix, in place of that of another format of ours."""
    ours = (*(kind.suffix for kind in FORMATS.values()), PACKED_USD)
    return path.with_suffix(options.suffix) if path.suffix.lower() in ours else Path(f"{path}{options.suffix}")


def format_of(path: Path) -> str:
    """The format of a file's suffix.

    Raises:
        ExportError: It is none of ours.
    """
    suffix = path.suffix.lower()
    found = [
        name for name, kind in FORMATS.items() if suffix in (kind.suffix, *((PACKED_USD,) if name == "usd" else ()))
    ]
    if not found:
        raise ExportError(f"{path.name} does not end like a format of ours: {', '.join(map(str, FORMATS))}.")
    return found[0]


def morphs_of(
    arkit_names: Sequence[str], own: Mapping[str, tuple[float, float]], options: ExportOptions
) -> list[Morph]:
    """The morphs of an export, in its order.

    Args:
        arkit_names: The ARKit sliders that the head has.
        own: The user's own shape keys, with their ranges.
        options: What is wanted. Heads without ARKit sliders always get their coefficients.
    """
    present = [name for name in arkit.NAMES if name in arkit_names]
    present += [name for name in arkit_names if name not in arkit.NAMES]
    morphs = [Morph(name, "arkit", {name: 1.0}) for name in present]
    if options.use_coefficients or not present:
        reach = rig.EXPRESSION_RANGE
        morphs += [Morph(name, "expression", {name: 1.0}, -reach, reach) for name in rig.EXPRESSION_KEYS]
    if options.use_visemes and present:
        morphs += [Morph(name, "viseme", {key: weights[key] for key in weights}) for name, weights in VISEMES.items()]
    return morphs + [Morph(name, "own", {name: 1.0}, low, high) for name, (low, high) in own.items()]


def wrinkle_blend(
    wrinkles: WrinkleRig, arkit_names: Sequence[str], inputs_XA: Any, files: Sequence[str]
) -> dict[str, object]:
    """How baked wrinkle maps follow the morphs, as JSON: files of displacement in metres, and their weights.

    map = maps[0] + sum_k w_k maps[k]; w_k = sum_i positive[i][k] max(x_i, 0) + negative[i][k] min(x_i, 0);
    x = inputs @ ARKit weights.

    Args:
        wrinkles: The baked rig.
        arkit_names: The morphs that the inputs are made of.
        inputs_XA: What each of them adds to the rig's inputs at full weight.
        files: The maps, the one at rest first.
    """
    rounded = {
        "inputs": inputs_XA,
        "positive": wrinkles.positive_XK,
        "negative": wrinkles.negative_XK,
    }
    return {
        "maps": list(files),
        "unit": "metres along the normal",
        "formula": "map = maps[0] + sum_k w[k] * maps[k]; x = inputs @ weights of the morphs;"
        " w[k] = sum_i positive[i][k] * max(x[i], 0) + negative[i][k] * min(x[i], 0)",
        "morphs": list(arkit_names),
        **{name: np.round(np.asarray(values, np.float64), 6).tolist() for name, values in rounded.items()},
    }


def sidecar(
    name: str, morphs: Sequence[Morph], values: Mapping[str, float], options: ExportOptions, **more: object
) -> dict[str, object]:
    """What the JSON beside an export says: what formats lose (ranges, recipes), and what readers have to know.

    Args:
        name: Name of the head.
        morphs: Its morphs.
        values: Weights of the morphs in the file, outside of an animation.
        options: How it was exported.
        more: Textures, skeleton, animation, wrinkles.
    """
    return {
        "format": "deca-export",
        "version": SIDECAR_VERSION,
        "head": name,
        "units_per_metre": options.scale,
        "up": options.up,
        "morphs": [
            {"name": morph.name, "kind": morph.kind, "range": [morph.low, morph.high]}
            | {"weight": round(values.get(morph.name, 0.0), 5)}
            | ({"sliders": morph.sliders} if morph.kind == "viseme" else {})
            for morph in morphs
        ],
        **more,
    }
