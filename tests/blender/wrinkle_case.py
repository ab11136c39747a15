"""What the checks of wrinkles share: heads with random detail codes, a real backend with random weights.

Without an interpreter that can run the backend they fail.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from pathlib import Path

import blender_case as case
import bpy
import numpy as np

from deca_blender import backend
from deca_blender.client import LaunchSettings, Session
from deca_blender.protocol.messages import DecodeWrinkles, DescribeWeights
from deca_blender.scene import wrinkles
from deca_blender.scene.import_face import ImportOptions, import_face

HEAD = case.head_reply()
PYTHON = Path(os.environ.get("DECA_TEST_BACKEND") or case.ROOT / ".venv" / "bin" / "python")
"""Interpreter with torch: the one that runs the tests (test_all.py), or the checkout's."""
MAKE_WEIGHTS = """
import sys
from deca.head import load_head
from deca.networks import Card, random_checkpoint, save_checkpoint
save_checkpoint(random_checkpoint(int(sys.argv[2]), Card.of(load_head(), backbone="mobilenet_v3_large")), sys.argv[1])
"""

MAKE_RELIEF = """
import sys
import numpy as np, torch
from deca.head import load_head
from deca.networks import load_checkpoint
from deca.reconstruct.moving_relief import MovingRelief
from deca.reconstruct.relief import Relief
out, code, weights, row = *sys.argv[1:4], int(sys.argv[4])
near = np.abs(np.arange(256.0) - row)[:, None] + np.zeros(256)
relief = Relief(np.float32(-8e-4 * np.exp(-0.5 * (near / 2) ** 2)), np.float32(near < 24))
codes = torch.from_numpy(np.load(code))[None], torch.zeros(1, 50), torch.zeros(1, 3)
with torch.inference_mode():
    made = MovingRelief.of(relief, load_checkpoint(weights).detail_decoder(*codes), load_head())
open(out, "wb").write(made.pack())
"""
PATIENCE_S = 120
"""For an answer, on a machine with much else to do."""
FOREHEAD = 78
"""Row of maps through the forehead's middle."""

_folder = tempfile.TemporaryDirectory(prefix="deca é ")
FOLDER = Path(os.environ.get("DECA_TEST_FOLDER") or _folder.name)
"""Keeps what takes a process with torch to make: for all checks (test_all.py), or for this one alone."""
WEIGHTS = str(FOLDER / "weights é.safetensors")
_session: Session | None = None


def real_session() -> Session:
    """The one real backend of this file; its first use makes the weights."""
    global _session
    if _session is None:
        made_weights(0)
        _session = Session(settings())
    return _session


def settings() -> LaunchSettings:
    """How the backend is started."""
    return LaunchSettings(python=str(PYTHON), device="cpu")


def made_weights(seed: int) -> Path:
    """A file of random weights; `WEIGHTS` is that of seed 0. Nobody may change it."""
    path = Path(WEIGHTS) if seed == 0 else FOLDER / f"weights {seed}.safetensors"
    if not path.exists():
        _make(MAKE_WEIGHTS, path, seed)
    return path


def _make(script: str, out: Path, *arguments: object) -> None:
    """Lets the backend's Python write a file."""
    partial = out.with_suffix(".partial")
    command = [PYTHON, "-c", script, partial, *map(str, arguments)]
    made = subprocess.run(command, env=settings()().env, capture_output=True, check=False)
    if made.returncode != 0:
        raise RuntimeError(f"{PYTHON} cannot run the backend: {made.stderr.decode()[-3000:]}")
    partial.replace(out)


backend.session = real_session  # type: ignore[assignment]


def wrinkled_head(seed: int = 0, weights: str = WEIGHTS, **changes: object) -> bpy.types.Object:
    """An imported head with a random detail code, as the importer makes it."""
    described = real_session().request(DescribeWeights(weights), timeout=PATIENCE_S)
    detail = np.random.default_rng(seed).normal(size=described.num_detail).astype(np.float32)
    face = case.face_reply(
        HEAD, seed, **({"detail": detail, "weights_hash": described.hash, "name": f"head {seed}"} | changes)
    )
    return import_face(bpy.context, HEAD, face, ImportOptions(weights=weights))


def relief_of(detail: np.ndarray, row: int = FOREHEAD, weights: str = WEIGHTS) -> np.ndarray:
    """What the backend would send of a photo at rest that shows a line 0.8 mm deep, and nothing far from it."""
    made_weights(0)
    code = np.asarray(detail, np.float32)
    name = hashlib.sha256(f"{row} {weights}".encode() + code.tobytes()).hexdigest()[:16]
    out = FOLDER / f"relief {name}.bin"
    if not out.exists():
        np.save(FOLDER / "code.npy", code)
        _make(MAKE_RELIEF, out, FOLDER / "code.npy", weights, row)
    return np.frombuffer(out.read_bytes(), np.uint8)


def decoded(detail: np.ndarray, expression: np.ndarray, jaw: np.ndarray) -> np.ndarray:
    """F_d asked directly."""
    codes = (np.asarray(code, np.float32) for code in (detail, expression, jaw))
    return real_session().request(DecodeWrinkles(WEIGHTS, "", *codes), timeout=PATIENCE_S).displacement


def shown_map(obj: bpy.types.Object) -> np.ndarray:
    image = wrinkles.map_image(obj)
    assert image is not None
    return wrinkles.read_map(image)
