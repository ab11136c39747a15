"""Builds assets/openhead/named_shapes.safetensors: the shape sliders with names, and says how they mix.

    python tools/build_named_shapes.py

To be run again whenever assets/openhead/openhead.safetensors has changed. Deterministic: two builds on one machine give
the same bytes.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "backend"), str(ROOT / "training"), str(ROOT)]

from deca.assets import assets_dir  # noqa: E402
from deca.head import load_head  # noqa: E402
from deca.head.bundled import BUNDLES  # noqa: E402
from deca.head.named_shapes import save_named_shapes  # noqa: E402
from deca_blender.protocol.conventions import OPENHEAD  # noqa: E402
from deca_training.anthropometry.shape_sliders import RIDGE, measured_cross_talk, named_shapes  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=assets_dir() / BUNDLES[OPENHEAD].named_shapes)
    parser.add_argument("--heads", type=int, default=1500, help="random heads to measure (default: 1500)")
    parser.add_argument("--ridge", type=float, default=RIDGE, help=f"(default: {RIDGE})")
    options = parser.parse_args()
    head = load_head()
    shapes = named_shapes(head, options.heads, ridge=options.ridge)
    save_named_shapes(options.output, head, shapes)
    codes_NS = np.array([shape.code_S for shape in shapes])
    deviations_N = np.array([shape.deviation for shape in shapes])
    fixed, taped = (measured_cross_talk(head, codes_NS, deviations_N, is_fixed=is_fixed) for is_fixed in (True, False))
    print("Its own measure, and what moves most of the others, in deviations of the population; between points of the")
    print("skin, and between the landmarks that a survey would look for.")
    print(
        "| slider | 1 is | own | most of the others | own, survey | most of the others, survey | length of the code |"
    )
    print("|---|---|---|---|---|---|---|")
    for row, shape in enumerate(shapes):
        cells = [shape.key, f"{shape.deviation:.1f} {shape.unit}"]
        for talk in (fixed, taped):
            others = np.abs(talk.moved_NN[row]) * (np.arange(len(shapes)) != row)
            cells += [f"{talk.moved_NN[row, row]:.2f}", f"{others.max():.2f} {shapes[int(others.argmax())].key}"]
        print(f"| {' | '.join(cells)} | {fixed.length_N[row]:.2f} |")


if __name__ == "__main__":
    main()
