"""The arguments of `deca capture`, which the command takes and the add-on in the child process understands."""

from __future__ import annotations

import argparse

from .arguments import path

RECORDINGS = (".csv", ".txt")
"""Suffixes of phones' recordings; photos are known by theirs, all else is a video."""


def capture_arguments() -> argparse.ArgumentParser:
    """A parser to be the parent of others."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument(
        "source",
        type=path,
        metavar="SOURCE",
        help="video, folder of numbered pictures, photo, CSV of Live Link Face or text of Face Cap",
    )
    parser.add_argument("--head", required=True, type=path, metavar="BLEND", help=".blend file with the head")
    parser.add_argument("--name", default="", help="name of the head, where the file holds several")
    parser.add_argument("--out", required=True, type=path, metavar="BLEND", help="where the animated head goes")
    parser.add_argument("--overwrite", action="store_true", help="replace that file (default: leave it and fail)")
    parser.add_argument("--frame", type=int, default=1, help="frame of the beginning (default: 1)")
    parser.add_argument(
        "--sliders", choices=("coefficients", "arkit"), default="coefficients", help="of photos and videos"
    )
    parser.add_argument(
        "--turn", choices=("none", "root", "neck"), help="bone that turns the head (default: root; of photos none)"
    )
    parser.add_argument(
        "--smoothing", type=float, metavar="S", help="seconds (default: 0.05 for videos, 0 for recordings)"
    )
    parser.add_argument("--start", type=float, default=0.0, metavar="S", help="seconds of the video to leave out")
    parser.add_argument("--end", type=float, default=0.0, metavar="S", help="second of the video to stop at")
    parser.add_argument(
        "--neutral-at", type=float, default=-1.0, metavar="S", help="second of the video at which the face is at rest"
    )
    parser.add_argument("--face", type=int, default=0, metavar="N", help="which face, counted from 0 (default: 0)")
    parser.add_argument("--other-person", action="store_true", help="the video shows somebody else than the head")
    parser.add_argument("--mirror", action="store_true", help="swap left and right")
    parser.add_argument("--video-rate", action="store_true", help="change the scene's frame rate to the video's")
    parser.add_argument("--sound", action="store_true", help="add the video's sound to the sequencer")
    parser.add_argument("--neutral", type=path, metavar="FILE", help="a phone's recording of the face at rest")
    parser.add_argument("--gaze", choices=("sliders", "bones"), default="sliders", help="of phones' recordings")
    parser.add_argument(
        "--timecode-rate", type=float, default=0.0, help="of Live Link Face (default: as the file says)"
    )
    parser.add_argument(
        "--blender", metavar="PATH", help="Blender executable (default: DECA_BLENDER, PATH, bpy module)"
    )
    return parser
