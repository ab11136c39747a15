"""MediaPipe's face detectors (BlazeFace, Bazarevsky et al. 2019): boxes and six key points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from deca.assets import asset
from deca.vision.geometry import Pyramid, Region
from deca.vision.graph import TensorGraph

MIN_SCORE = 0.5
MAX_OVERLAP = 0.3


@dataclass(frozen=True)
class Detection:
    """A face as the detector sees it, in pixels of the picture.

    Attributes:
        box: left, top, right, bottom of the face from the brows to the chin.
        keypoints: (6, 2): eye left and right on the picture, nose tip, mouth, ear left and right on the picture.
        score: 0..1.
    """

    box: npt.NDArray[np.float64]
    keypoints: npt.NDArray[np.float64]
    score: float

    def region(self) -> Region:
        """The square that the landmark network reads: 1.5 times the box, upright with respect to the eyes."""
        left, top, right, bottom = self.box
        dx, dy = self.keypoints[1] - self.keypoints[0]
        side = 1.5 * max(right - left, bottom - top)
        return Region(((left + right) / 2, (top + bottom) / 2), float(side), float(np.arctan2(dy, dx)))


class FaceDetector(nn.Module):
    """One of MediaPipe's two detectors.

    Args:
        model: `short` for faces that fill a seventh of the picture or more, `full` for smaller ones as well.
    """

    def __init__(self, model: Literal["short", "full"] = "short") -> None:
        super().__init__()
        self.graph = TensorGraph(asset(f"vision/face_detector_{model}.safetensors"))
        self._names = ("regressors", "classificators") if model == "short" else ("Identity", "Identity_1")
        # Cells that predict a face: (cells a side, predictions per cell), in the order of the network's output.
        layers = [(16, 2), (8, 6)] if model == "short" else [(48, 1)]
        self.register_buffer("anchors_A2", torch.cat([_cell_centres(n).repeat_interleave(k, 0) for n, k in layers]))

    @torch.inference_mode()
    def forward(self, image_B3HW: Tensor) -> tuple[Tensor, Tensor]:
        """Raw predictions.

        Args:
            image_B3HW: float32 in -1..1, `graph.size` a side.

        Returns:
            Points (B, A, 8, 2) in 0..1 of the picture: box centre, box width and height, six key points; scores (B, A).
        """
        out = self.graph(image_B3HW)
        points_BA82 = out[self._names[0]].unflatten(-1, (8, 2)) / self.graph.size
        offset = self.anchors_A2[:, None].expand(-1, 8, -1).clone()
        offset[:, 1] = 0
        return points_BA82 + offset, torch.sigmoid(out[self._names[1]][..., 0])

    def detect(self, picture: Pyramid, region: Region | None = None) -> list[Detection]:
        """Finds faces.

        Args:
            picture: The photo.
            region: Part of it to search; outside of the picture it is black. Default: the square around all of it.

        Returns:
            The faces, best score first, overlapping predictions merged.
        """
        height, width = picture.pixels.shape[:2]
        region = region or Region((width / 2, height / 2), max(width, height))
        crop = picture.crop(region, self.graph.size, cv2.BORDER_CONSTANT)
        image = torch.from_numpy(crop).to(self.anchors_A2.device).permute(2, 0, 1)[None].float() / 127.5 - 1
        points, scores = self(image)
        keep = scores[0] > MIN_SCORE
        return _merge(points[0, keep].cpu().numpy().astype(float), scores[0, keep].cpu().numpy(), region)


def _cell_centres(count: int) -> Tensor:
    """(count * count, 2) x and y of the centres of a grid's cells over the unit square, row by row."""
    centre = (torch.arange(count) + 0.5) / count
    return torch.stack([centre.repeat(count), centre.repeat_interleave(count)], -1)


def _merge(points_N82: npt.NDArray[np.float64], scores_N: npt.NDArray[np.float32], region: Region) -> list[Detection]:
    """Weighted non-maximum suppression: predictions that overlap the best one are averaged into it by score."""
    matrix = region.to_picture()
    centre_N2, half_N2 = points_N82[:, 0], points_N82[:, 1] / 2
    boxes_N4 = np.concatenate([centre_N2 - half_N2, centre_N2 + half_N2], 1)
    order = np.argsort(-scores_N, kind="stable")
    found = []
    while len(order):
        overlap = box_overlap(boxes_N4[order[0]], boxes_N4[order])
        group = order[overlap > MAX_OVERLAP] if overlap[0] > MAX_OVERLAP else order[:1]
        weight = scores_N[group] / scores_N[group].sum()
        box = np.tensordot(weight, boxes_N4[group], 1)
        keypoints = np.tensordot(weight, points_N82[group, 2:], 1)
        found.append((box, keypoints, float(scores_N[order[0]])))
        order = order[~np.isin(order, group)]
    return [_on_picture(matrix, *face) for face in found]


def _on_picture(
    matrix: npt.NDArray[np.float64], box: npt.NDArray[np.float64], keypoints: npt.NDArray[np.float64], score: float
) -> Detection:
    scale, offset = np.diag(matrix)[:2], matrix[:2, 2]  # detection regions are not turned
    return Detection(box * np.tile(scale, 2) + np.tile(offset, 2), keypoints * scale + offset, score)


def box_overlap(box_4: npt.NDArray[np.floating], boxes_N4: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Intersection over union of a box (left, top, right, bottom) with each of N boxes."""
    low, high = np.maximum(box_4[:2], boxes_N4[:, :2]), np.minimum(box_4[2:], boxes_N4[:, 2:])
    common = np.clip(high - low, 0, None).prod(1)
    areas = (boxes_N4[:, 2:] - boxes_N4[:, :2]).prod(1)
    return common / np.maximum((box_4[2:] - box_4[:2]).prod() + areas - common, 1e-12)
