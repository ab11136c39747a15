"""A backend with the product's server and handlers that misbehave on request; run as a script by the contract tests."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import numpy as np

from deca.errors import NoFaceError
from deca.service import serve
from deca_blender.protocol.messages import (
    Echo,
    EchoReply,
    FaceReply,
    HelloReply,
    ReconstructPhoto,
    ReconstructReply,
)


def face(texture_size: int | None, name: str) -> FaceReply:
    rng = np.random.default_rng(7)
    return FaceReply(
        name=name,
        photo=name,
        head="openhead",
        head_hash="0123456789abcdef",
        backend_version="0",
        shape=rng.normal(size=300).astype(np.float32),
        expression=np.zeros(100, np.float32),
        pose=np.zeros((5, 3), np.float32),
        camera=np.array([8, 0, 0], np.float32),
        crop=np.eye(3),
        image_size=(640, 480),
        box=(1.0, 2.0, 3.0, 4.0),
        landmarks=np.zeros((478, 2), np.float32),
        landmark_error=0.01,
        albedo=None if texture_size is None else np.full((texture_size, texture_size, 3), 9, np.uint8),
        photographed=None if texture_size is None else np.full((texture_size, texture_size, 3), 7, np.uint8),
    )


def reconstruct(request: ReconstructPhoto, progress) -> object:
    """What happens depends on the 'photo'."""
    match request.path:
        case "no face":
            raise NoFaceError("No face was found on no face.", "Use another photo.")
        case "bug":
            raise ZeroDivisionError("by zero")
        case "out of memory":
            raise MemoryError
        case "crash":
            print("about to abort", file=sys.stderr, flush=True)
            os.abort()
        case "hang":
            time.sleep(60)
        case "wrong reply":
            return HelloReply(1, "", "", "", "", (), "", 0)
        case "unsendable":
            return EchoReply({"x": np.zeros(2, np.complex64)})
        case "grandchild":  # keeps this process's standard streams open after its death
            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(20)"], close_fds=False)
            os._exit(3)
        case "print":
            print("a careless print" * 1000, flush=True)
            os.write(1, b"a C library's printf\n")
            os.system("echo a child process")
            assert sys.stdin.read() == ""  # the frames are not there to be read
        case "slow":
            for step in range(200):
                progress(step / 200, f"Step {step}")
                time.sleep(0.05)
        case "pause":
            progress(0.5, "Half")
            time.sleep(1.0)
        case "steps":
            for step in range(4):
                progress(step / 4, f"Step {step}")
    return ReconstructReply((face(request.texture_size, request.path),))


def echo(request: Echo, progress) -> EchoReply:
    return EchoReply(request.arrays)


if __name__ == "__main__":
    serve(handlers={ReconstructPhoto: reconstruct, Echo: echo})
