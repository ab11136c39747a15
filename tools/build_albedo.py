"""Builds assets/openhead/albedo.safetensors: OpenHead's albedo basis, from a model of human skin and nothing else.

    python tools/build_albedo.py --like assets/openhead/albedo.safetensors

To be run again whenever assets/openhead/openhead.safetensors has changed. Deterministic: two builds on one machine give
the same bytes.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "backend"))

from deca.files import read_safetensors
from deca.head import load_head
from openhead_albedo.basis import principal_components, sample_albedos, texel_weights, with_signs_of, write_basis
from openhead_albedo.regions import build_canvas

DEFAULT_OUTPUT = Path(__file__).parent.parent / "assets" / "openhead" / "albedo.safetensors"
SIZE, COMPONENTS, PEOPLE, SEED = 256, 50, 2000, 2021


def build(output: Path, count: int = PEOPLE, before: Path | None = None) -> None:
    """Writes the albedo model of a sample of `count` people, with the signs of the model before."""
    head = load_head()
    canvas = build_canvas(head, SIZE)
    basis = principal_components(sample_albedos(canvas, count, SEED), texel_weights(canvas), COMPONENTS)
    if before is not None:
        tensors, _ = read_safetensors(before, "albedo model", "Build it again.")
        basis = with_signs_of(basis, tensors["albedo_basis"].astype(np.float32), canvas)
    write_basis(output, basis, canvas, head.hash)
    explained = " ".join(f"{k}: {basis.explained_A[:k].sum():.3f}" for k in (1, 2, 5, 10, 20, 50))
    print(f"{output}: {output.stat().st_size / 1e6:.2f} MB; variance explained by components {explained}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT)
    parser.add_argument("--people", type=int, default=PEOPLE, help=f"size of the sample (default: {PEOPLE})")
    parser.add_argument("--like", type=Path, metavar="MODEL", help="keep the signs of the model before")
    options = parser.parse_args()
    build(options.output, options.people, options.like)


if __name__ == "__main__":
    main()
