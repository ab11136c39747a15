"""Several weights files side by side, as in DECA's ablation (Section 6.3, Figure 7): a table and a grid of pictures.

Shape suffixes: H W rows and columns of pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from deca.errors import NoFaceError, OptionError
from deca.head import HeadModel
from deca.networks import OFFICIAL_CARD
from deca.reconstruct.face import Face
from deca.reconstruct.models import Models
from deca.reconstruct.pipeline import reconstruct
from deca.render.camera import project
from deca.render.detail import detail_surface
from deca.vision.crop import warp_crop
from deca.vision.photo import Photo, read_photo
from deca_training.evaluate.detail_transfer import evaluate_transfer
from deca_training.evaluate.landmarks import evaluate_landmarks
from deca_training.evaluate.subjects import Subjects
from deca_training.evaluate.tables import Table

CELL = 256
_HEADER = 34
_SURPRISE = {"browInnerUp": 1.0, "browOuterUpLeft": 1.0, "browOuterUpRight": 1.0, "jawOpen": 0.3, "eyeWideLeft": 0.6,
             "eyeWideRight": 0.6}  # fmt: skip
"""ARKit shapes of the expression that is shown where there is only one photo."""


@dataclass(frozen=True)
class Run:
    """Weights to compare.

    Attributes:
        name: Their column.
        models: With their networks.
    """

    name: str
    models: Models


def ablation_table(runs: Sequence[Run], data: Sequence[Subjects], *, progress: bool = False) -> Table:
    """A row per run: landmark error, and what its detail codes do.

    Args:
        runs: What is compared.
        data: The photos, once for each run (`Subjects` counts what it leaves out).
        progress: Show progress bars.
    """
    table = Table("Ablation")
    for run, subjects in zip(runs, data, strict=True):
        landmarks, _ = evaluate_landmarks(run.models, subjects, name=run.name, with_fit=False, progress=progress)
        details = evaluate_transfer(run.models, subjects, name=run.name, progress=progress)
        by_code = {row["detail_code"]: row for row in details.rows}
        table.add(
            run=run.name,
            photos=landmarks.rows[0]["photos"],
            landmark_error_percent=landmarks.rows[0]["inner_by_eyes_mean_percent"],
            **{f"photometric_{code}": by_code[code]["photometric_error"] for code in ("none", "own", "same", "other")},
            same_beats_other=by_code["all"]["same_beats_other"],
            difference_same_mm=by_code["same"]["displacement_difference_mm"],
            difference_other_mm=by_code["other"]["displacement_difference_mm"],
            displacement_mm=by_code["all"]["mean_displacement_mm"],
        )
        table.notes += [note for note in (*details.notes, *subjects.notes()) if note not in table.notes]
    return table


@torch.inference_mode()
def ablation_grid(runs: Sequence[Run], photos: Sequence[tuple[str, Photo]]) -> NDArray[np.uint8]:
    """A row per photo: the crop, and per run the wrinkled shape, and its wrinkles on the neutral mean head under the
    expression of the next photo (of a surprised face where there is only one), as Figure 7 shows them.

    Args:
        runs: What is compared.
        photos: Names and photos.

    Returns:
        (H, W, 3) uint8 sRGB.

    Raises:
        NoFaceError: There is no face on a photo.
        OptionError: A run knows no wrinkles, or a single photo meets a head model without ARKit shapes.
    """
    columns = [[_cell_of_crop(photo, face) for (_, photo), face in zip(photos, _faces(runs[0], photos), strict=True)]]
    titles = ["photo"]
    for run in runs:
        faces = _faces(run, photos)
        expressions = [_expression(faces, k) for k in range(len(faces))]
        columns.append([_shape(run, face) for face in faces])
        columns.append([_animated(run, face, *other) for face, other in zip(faces, expressions, strict=True)])
        titles += [run.name, f"{run.name}: other expression"]
    rows = [np.concatenate(cells, axis=1) for cells in zip(*columns, strict=True)]
    return np.concatenate((_header(titles), *rows))


def public_photos() -> list[tuple[str, Photo]]:
    """Portraits in the public domain: NASA's of Eileen Collins, which scikit-image carries.

    Raises:
        OptionError: scikit-image is not installed.
    """
    try:
        from skimage.data import astronaut
    except ImportError as error:
        raise OptionError(
            "The public-domain portrait comes with scikit-image.", "Install it, or give --photos."
        ) from error
    return [("astronaut", Photo(astronaut(), "astronaut"))]


def read_photos(paths: Sequence[Path]) -> list[tuple[str, Photo]]:
    """Photos to show, by their files' names.

    Raises:
        PhotoError: One cannot be read.
    """
    return [(path.stem, read_photo(path)) for path in paths]


def _faces(run: Run, photos: Sequence[tuple[str, Photo]]) -> list[Face]:
    if run.models.networks is None:
        raise OptionError(f"{run.name} has no networks.", "Name a weights file.")
    faces = []
    for name, photo in photos:
        found = reconstruct(photo, path=name, models=run.models, coarse="weights", texture_size=None, max_faces=1)
        if not found:
            raise NoFaceError(f"No face was found on {name}.")
        faces.append(found[0])
    return faces


def _expression(faces: Sequence[Face], index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Expression and jaw of the next photo, or of surprise."""
    if len(faces) > 1:
        other = faces[(index + 1) % len(faces)]
        return other.expression_E, other.pose_53[2]
    return _surprise(faces[0].head, len(faces[0].expression_E))


def _surprise(head: HeadModel, count: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    if head.arkit_map_K52 is None:
        raise OptionError(f"{head.name} carries no ARKit shapes to animate a single photo with.", "Give two --photos.")
    weights_52 = np.array([_SURPRISE.get(name, 0.0) for name in head.arkit_names], np.float32)
    values_60 = head.arkit_map_K52 @ weights_52
    expression_E = np.zeros(count, np.float32)
    known = min(count, 51)
    expression_E[:known] = values_60[:known]
    return expression_E, values_60[51:54].astype(np.float32)


def _shape(run: Run, face: Face) -> NDArray[np.uint8]:
    pictures = run.models.render(run.models.decode_face(face), height=CELL, width=CELL)
    shape = pictures.coarse_shape if pictures.detail_shape is None else pictures.detail_shape
    return _cell(shape, pictures.alpha_B1HW)


def _animated(run: Run, face: Face, expression_E: NDArray[np.float32], jaw_3: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The wrinkles of a face under another expression, on the neutral mean head."""
    models = run.models
    assert models.networks is not None and face.detail_D is not None
    wanted = models.networks.sizes.expression
    codes = (face.detail_D, expression_E[:wanted], jaw_3)
    wrinkles = models.networks.displacement(
        *(torch.from_numpy(np.array(code, np.float32))[None].to(models.device) for code in codes)
    )
    verts_1V3 = torch.from_numpy(models.head.template_V3)[None].to(models.device)
    smooth = models.networks.card != OFFICIAL_CARD
    surface = detail_surface(verts_1V3, wrinkles.to(models.device), models.head, smooth=smooth)
    rendered = models.renderer(verts_1V3, project(verts_1V3, _front(models.head, verts_1V3)), CELL, CELL)
    return _cell(rendered.clay(surface.normals_B3HW) ** (1 / 2.2), rendered.alpha_B1HW)


def _front(head: HeadModel, verts_1V3: Tensor) -> Tensor:
    """A camera that sees the face from the front."""
    points = head.landmarks_51
    if points is None:
        raise OptionError(f"{head.name} carries no 68 landmarks.", "Build or convert it with its landmarks.")
    points_L3 = points.positions(verts_1V3[0].cpu().numpy(), head.faces_F3)
    low, high = points_L3.min(0), points_L3.max(0)
    middle = (low + high) / 2
    return verts_1V3.new_tensor([[1.0 / (high - low)[:2].max(), -middle[0], -middle[1] - 0.1 * (high - low)[1]]])


def _cell(image_13HW: Tensor, alpha_11HW: Tensor) -> NDArray[np.uint8]:
    """A rendering on white."""
    on_white = torch.lerp(torch.ones_like(image_13HW), image_13HW, alpha_11HW)[0].clamp(0, 1)
    return (255 * on_white).round().byte().permute(1, 2, 0).cpu().numpy()


def _cell_of_crop(photo: Photo, face: Face) -> NDArray[np.uint8]:
    crop_HW3 = (255 * warp_crop(photo.pixels, face.crop_33).transpose(1, 2, 0)).round().astype(np.uint8)
    return np.asarray(Image.fromarray(crop_HW3).resize((CELL, CELL), Image.Resampling.LANCZOS))


def _header(titles: Sequence[str]) -> NDArray[np.uint8]:
    header = Image.new("RGB", (CELL * len(titles), _HEADER), "white")
    draw, font = ImageDraw.Draw(header), ImageFont.load_default(15)
    for k, title in enumerate(titles):
        while len(title) > 1 and draw.textlength(title, font) > CELL - 8:
            title = f"{title[:-2]}…"
        draw.text((CELL * k + CELL // 2, _HEADER // 2), title, "black", font, anchor="mm")
    return np.asarray(header)
