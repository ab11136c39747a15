"""The arguments of `deca export`, which the command takes and the add-on in the child process understands."""

from __future__ import annotations

import argparse

from .arguments import names_of, path

FORMATS = ("glb", "fbx", "usd", "obj", "abc")
PARTS = ("eyes", "teeth", "tongue")


def export_arguments() -> argparse.ArgumentParser:
    """A parser to be the parent of others."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("blends", nargs="+", type=path, metavar="BLEND", help=".blend files with heads")
    parser.add_argument("--out", required=True, type=path, metavar="DIR", help="folder for the results")
    parser.add_argument(
        "--format",
        default=["glb"],
        type=names_of(FORMATS),
        metavar="LIST",
        help=f"of {','.join(FORMATS)} (default: glb)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace results that are there (default: skip those)")
    parser.add_argument("--neutral", action="store_true", help="leave the face at rest (default: as in the file)")
    parser.add_argument("--no-skeleton", action="store_true", help="morphs only, without bones")
    parser.add_argument("--no-animation", action="store_true", help="leave the scene's animation out")
    parser.add_argument(
        "--coefficients", action="store_true", help="with the head model's own coefficients exp_000, ..."
    )
    parser.add_argument("--visemes", action="store_true", help="with the 15 visemes of Oculus")
    parser.add_argument(
        "--textures", choices=("inside", "beside", "none"), default="inside", help="where pictures go (default: inside)"
    )
    parser.add_argument(
        "--normals", type=int, choices=(0, 256, 512, 1024, 2048, 4096), default=1024, help="side of the map of normals"
    )
    parser.add_argument("--wrinkle-maps", action="store_true", help="with the maps of a baked wrinkle rig")
    parser.add_argument("--detail", type=int, choices=range(4), default=0, help="levels of a dense, wrinkled surface")
    parser.add_argument("--triangles", action="store_true", help="triangles in place of quads")
    parser.add_argument(
        "--without", default=[], type=names_of(PARTS), metavar="LIST", help=f"leave out {','.join(PARTS)}"
    )
    parser.add_argument("--scale", type=float, default=1.0, help="units of the file in a metre (default: 1)")
    parser.add_argument("--up", choices=("y", "z"), default="y", help="axis that points up (default: y)")
    parser.add_argument(
        "--blender", metavar="PATH", help="Blender executable (default: DECA_BLENDER, PATH, bpy module)"
    )
    return parser
