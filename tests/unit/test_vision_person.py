"""The person on a photo: the converted network against MediaPipe's own answer, and where its mask lies."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import skimage.data
import torch

from deca.assets import asset
from deca.vision.graph import TensorGraph
from deca.vision.person import PersonMask, person_mask

REFERENCE = Path(__file__).parents[1] / "data" / "vision" / "person_reference.npz"


def picture() -> np.ndarray:
    cut = np.ascontiguousarray(skimage.data.astronaut()[:400, 30:430])
    return np.asarray(cv2.resize(cut, (256, 256), interpolation=cv2.INTER_AREA))


def test_network_says_what_mediapipe_says() -> None:
    network = TensorGraph(asset("vision/person.safetensors")).eval()
    with torch.inference_mode():
        (answer,) = network(torch.from_numpy(picture().astype(np.float32) / 255).permute(2, 0, 1)[None]).values()
    reference = np.load(REFERENCE)["mask"] / 255
    assert np.abs(answer[0, 0].numpy() - reference).max() < 0.01


def test_mask_is_read_where_its_pixels_are() -> None:
    person = np.zeros((8, 8), np.float32)
    person[3, 5] = 1
    mask = PersonMask(person, np.array([[0.5, 0.0, 1.0], [0.0, 0.5, -1.0]]))
    # The middle of mask pixel (5, 3) is at (5.5, 3.5), and so at (9, 9) of the photo.
    places = np.array([[[9.0, 9.0], [11.0, 9.0], [-100.0, 9.0]]], np.float32)
    assert np.allclose(mask.at(places), [[1, 0, 0]], atol=1e-5)


def test_face_is_a_person_and_the_corner_is_not() -> None:
    photo = skimage.data.astronaut()
    around = np.array([(170.0, 60.0), (280.0, 60.0), (225.0, 200.0)])  # her forehead's ends and chin, about
    mask = person_mask(photo, around)
    shown = mask.at(np.array([[[225.0, 130.0], [120.0, 30.0]]], np.float32))
    assert shown[0, 0] > 0.95 and shown[0, 1] < 0.3
