"""The command `deca-train synthetic`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Adds the command `synthetic`."""
    about = "synthetic people whose wrinkles are known, and photos of them"
    parser = commands.add_parser("synthetic", help=about, description=about)
    parser.add_argument("out", type=Path, metavar="OUT", nargs="?", default=Path("synthetic"),
                        help="folder for the subjects' files; goes on where it was (default: synthetic)")  # fmt: skip
    parser.add_argument("--subjects", type=int, default=300, metavar="N", help="people (default: 300)")
    parser.add_argument("--images", type=int, default=6, metavar="K", help="photos of each (default: 6)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="seed of the first (default: 0)")
    parser.add_argument("--outside", type=float, default=0.0, metavar="MM",
                        help="how far faces are from what the shape model can show, rms (default: 0)")  # fmt: skip
    parser.add_argument("--perspective", type=float, default=0.0, metavar="SHARE",
                        help="share of photos from close by, 0.4 to 2 m (default: 0)")  # fmt: skip
    parser.add_argument("--variety", type=float, default=1.0, metavar="FACTOR",
                        help="how far wrinkles lie from where they typically lie (default: 1)")  # fmt: skip
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, metavar="N", help="processes")
    parser.add_argument("--sheet", type=Path, metavar="FILE",
                        help="only draw people of three ages with seven expressions (.png)")  # fmt: skip
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    import torch

    from deca_training.data.synthetic.generate import generate
    from deca_training.data.synthetic.sheet import write_sheet

    torch.set_num_threads(1)  # the pictures are small: more threads would only get in each other's way
    if options.sheet:
        write_sheet(options.sheet, options.seed)
        return
    generate(
        options.out,
        options.subjects,
        options.images,
        options.seed,
        outside=options.outside,
        perspective=options.perspective,
        variety=options.variety,
        progress=True,
        processes=options.processes,
    )
