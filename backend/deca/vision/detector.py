"""MediaPipe's face detectors (BlazeFace, Bazarevsky et al. 2019): boxes and six key points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from deca.assets import asset
from deca.vision.geometry import Region, sample, scaled
from deca.vision.graph import TensorGraph

MIN_SCORE = 0.5
MAX_OVERLAP = 0.3
_BATCH = 96  # squares at a time; more are no faster


@dataclass(frozen=True)
class Detection:
    """A face as the detector sees it.

    Attributes:
        region: The square that the landmark network reads: 1.5 times the detector's box (brows to chin), upright with
            respect to the eyes.
        score: 0..1.
    """

    region: Region
    score: float


class FaceDetector(nn.Module):
    """One of MediaPipe's two detectors.

    Args:
        model: `short` for faces that fill a sixth of the square it looks at or more, `full` for smaller ones as well,
            with less certainty.
    """

    def __init__(self, model: Literal["short", "full"] = "short") -> None:
        super().__init__()
        self.graph = TensorGraph(asset(f"vision/face_detector_{model}.safetensors"))
        self._names = ("regressors", "classificators") if model == "short" else ("Identity", "Identity_1")
        # Grids whose cells predict faces: (pixels between cells, predictions per cell), in the network's order.
        self._grids = [(8, 2), (16, 6)] if model == "short" else [(4, 1)]

    @torch.inference_mode()
    def forward(self, image_B3HW: Tensor) -> tuple[Tensor, Tensor]:
        """Raw predictions.

        Args:
            image_B3HW: float32 in -1..1, `graph.size` a side; `short`, being made of convolutions only, takes any
                multiple of 16.

        Returns:
            Points (B, A, 8, 2) in pixels: box centre, box width and height, then the key points (eye left and right on
            the picture, nose tip, mouth, ear left and right); scores (B, A) in 0..1.
        """
        out = self.graph(image_B3HW)
        height, width = image_B3HW.shape[2:]
        cells = [_cell_centres(width // n, height // n).mul(n).repeat_interleave(k, 0) for n, k in self._grids]
        offset_A82 = torch.cat(cells)[:, None].repeat(1, 8, 1)
        offset_A82[:, 1] = 0
        points_BA82 = out[self._names[0]].unflatten(-1, (8, 2)) + offset_A82.to(image_B3HW.device)
        return points_BA82, torch.sigmoid(out[self._names[1]][..., 0])

    def detect(self, pixels: npt.NDArray[np.uint8], region: Region) -> list[Detection]:
        """Finds the faces in a square of a picture, as `detect_each`, seen with `graph.size` pixels a side."""
        return self.detect_each(pixels, [region], self.graph.size)

    def detect_each(self, pixels: npt.NDArray[np.uint8], regions: Sequence[Region], size: int) -> list[Detection]:
        """Finds the faces in each of several squares of a picture.

        Args:
            pixels: (H, W, 3) sRGB.
            regions: The squares to search, which may be turned; what lies outside of the picture is black.
            size: Pixels a side with which a square is seen: `graph.size`; `short` takes any multiple of 16.

        Returns:
            The faces, for each square best score first, overlapping predictions merged.
        """
        found = []
        for first in range(0, len(regions), _BATCH):
            batch = regions[first : first + _BATCH]
            crops_BHW3 = np.stack([sample(pixels, region, size, cv2.BORDER_CONSTANT) for region in batch])
            for region, detections in zip(batch, self._read(crops_BHW3, MIN_SCORE), strict=True):
                found += [Detection(region.within(scaled(d.region, 1 / size)), d.score) for d in detections]
        return found

    def scan(self, pixels: npt.NDArray[np.uint8], least: float = MIN_SCORE) -> list[Detection]:
        """Finds the faces on a picture as large as it is.

        Args:
            pixels: (H, W, 3) sRGB, `graph.size` a side; `short` takes any size.
            least: Lowest score.

        Returns:
            The faces in pixels of the picture, best score first, overlapping predictions merged.
        """
        rows, columns = (-side % 16 for side in pixels.shape[:2])
        if rows or columns:
            pixels = np.pad(pixels, ((0, rows), (0, columns), (0, 0)))
        return self._read(pixels[None], least)[0]

    def _read(self, pixels_BHW3: npt.NDArray[np.uint8], least: float) -> list[list[Detection]]:
        device = next(self.graph.buffers()).device
        points_BA82, scores_BA = self(torch.from_numpy(pixels_BHW3).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1)
        found = []
        for points_A82, scores_A in zip(points_BA82, scores_BA, strict=True):
            keep_A = scores_A > least
            merged = _merge(points_A82[keep_A].cpu().numpy().astype(float), scores_A[keep_A].cpu().numpy())
            found.append([Detection(_face_region(points_82), score) for points_82, score in merged])
        return found


def _cell_centres(columns: int, rows: int) -> Tensor:
    """(rows * columns, 2) x and y of the centres of a grid's cells, counted in cells, row by row."""
    x, y = torch.arange(columns) + 0.5, torch.arange(rows) + 0.5
    return torch.stack([x.repeat(rows), y.repeat_interleave(columns)], -1)


def _merge(
    points_N82: npt.NDArray[np.float64], scores_N: npt.NDArray[np.float32]
) -> list[tuple[npt.NDArray[np.float64], float]]:
    """Weighted non-maximum suppression: predictions that overlap the best one are averaged with it by score."""
    centre_N2, half_N2 = points_N82[:, 0], points_N82[:, 1] / 2
    boxes_N4 = np.concatenate([centre_N2 - half_N2, centre_N2 + half_N2], 1)
    order = np.argsort(-scores_N, kind="stable")
    merged = []
    while len(order):
        same = box_overlap(boxes_N4[order[0]], boxes_N4[order]) > MAX_OVERLAP
        same[0] = True
        group, order = order[same], order[~same]
        merged.append((np.average(points_N82[group], axis=0, weights=scores_N[group]), float(scores_N[group[0]])))
    return merged


def _face_region(points_82: npt.NDArray[np.float64]) -> Region:
    (x, y), size, eye_left, eye_right = points_82[:4]
    dx, dy = eye_right - eye_left
    return Region((float(x), float(y)), float(1.5 * size.max()), float(np.arctan2(dy, dx)))


def box_overlap(box_4: npt.NDArray[np.floating], boxes_N4: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Intersection over union of a box (left, top, right, bottom) with each of N boxes."""
    low, high = np.maximum(box_4[:2], boxes_N4[:, :2]), np.minimum(box_4[2:], boxes_N4[:, 2:])
    common = np.clip(high - low, 0, None).prod(1)
    areas = (boxes_N4[:, 2:] - boxes_N4[:, :2]).prod(1)
    return common / np.maximum((box_4[2:] - box_4[:2]).prod() + areas - common, 1e-12)
