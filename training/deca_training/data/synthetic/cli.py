"""The command `deca-train synthetic`."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Adds the command `synthetic`."""
    about = "synthetic people whose wrinkles are known, and photos of them"
    parser = commands.add_parser("synthetic", help=about, description=about)
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for the subjects' files; goes on where it was")
    parser.add_argument("--subjects", type=int, default=300, metavar="N", help="people (default: 300)")
    parser.add_argument("--images", type=int, default=6, metavar="K", help="photos of each (default: 6)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="seed of the first (default: 0)")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    import torch

    from deca_training.data.synthetic.generate import generate

    torch.set_num_threads(1)  # the pictures are small: more threads would only get in each other's way
    generate(options.out, options.subjects, options.images, options.seed, progress=True)
