"""FAN's 68 landmarks (Bulat and Tzimiropoulos 2017), DECA's choice, by the optional package face-alignment.

The package fetches its weights from the web when they are not there. This code never does: it asks for the file.
"""

from __future__ import annotations

import importlib
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import numpy as np
import torch
from numpy.typing import NDArray

from deca.errors import AssetError, OptionError

_NETWORK = "2DFAN-4"


def check_fan() -> None:
    """Finds out whether FAN can be used, without loading it.

    Raises:
        OptionError: The package is not installed.
        AssetError: Its weights are not there.
    """
    _package()


def find_fan(pixels: NDArray[np.uint8], boxes_N4: NDArray[np.floating], roll: float) -> NDArray[np.floating]:
    """`cleaning.Finder` with FAN. FAN takes boxes that are not turned; it was trained on rolled faces.

    Raises:
        OptionError: The package is not installed.
        AssetError: Its weights are not there or damaged.
    """
    del roll
    found = _network().get_landmarks_from_image(pixels, detected_faces=[box.tolist() for box in boxes_N4])
    return np.stack(found)[..., :2] + 0.5  # FAN counts pixel centres at whole numbers


def _package() -> Any:
    try:
        package = importlib.import_module("face_alignment.api")
    except ImportError as error:
        raise OptionError(
            f"--landmarks fan needs the package face-alignment, which cannot be imported ({error}).",
            "Install it with `pip install face-alignment`, or use --landmarks mediapipe.",
        ) from error
    url = getattr(package, "models_urls", {}).get(_NETWORK)
    if not url:
        raise OptionError(
            f"This version of face-alignment does not know the network {_NETWORK}.", "Install version 1.5 or later."
        )
    weights = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name
    if not weights.is_file():
        raise AssetError(
            f"FAN's weights {weights} do not exist.", f"Download {url} to that place, or use --landmarks mediapipe."
        )
    return package


@cache
def _network() -> Any:
    package = _package()
    try:
        # The detector `folder` has no network of its own: the boxes come from deca.vision.
        return package.FaceAlignment(
            package.LandmarksType.TWO_D, device="cpu", face_detector="folder", compile=False, max_batch_size=2
        )
    except (RuntimeError, OSError, ValueError, EOFError) as error:
        raise AssetError(f"FAN could not be loaded ({error}).", "Download its weights again.") from error
