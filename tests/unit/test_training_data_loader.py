"""Batches: geometry against closed forms, masks, determinism over steps, workers and ranks."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from scipy.spatial import Delaunay
from torch import Tensor

from deca.errors import OptionError, PhotoError
from deca.head import load_head
from deca.vision import crop_from_landmarks, read_photo, warp_crop
from deca.vision.landmarks import EYE_RINGS, IBUG_68
from deca_training.batch import Batch
from deca_training.data.augment import Augmentation, change_colours, occlude, random_crop
from deca_training.data.dataset import PhotoBatches
from deca_training.data.index import Entry, PhotoIndex, write_index
from deca_training.data.landmarks import MIRROR_68, MIRROR_478
from deca_training.data.loader import batch_loader
from deca_training.data.masks import mask_from_landmarks
from deca_training.data.order import SubjectOrder
from tests.photo_folders import SIZE, finding_of, make_index, make_photos

GEOMETRY = replace(Augmentation.paper(), shift=0.08, rotate=25.0)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> PhotoIndex:
    """Five people; person0 has one photo, the others three."""
    folder = tmp_path_factory.mktemp("loader")
    path = make_index(folder, subjects=5, photos=3)
    made = make_photos(folder / "photos", 5, 3)
    kept = [photo for photo in made if photo.name not in ("person0/1.png", "person0/2.png")]
    entries = [Entry(photo.name.split("/")[0]) for photo in kept]
    write_index(path, map(finding_of, kept), entries, folder=folder / "photos", masks=None, landmarks="mediapipe")
    return PhotoIndex.load(path)


def batches(
    index: PhotoIndex, augmentation: Augmentation, subjects: int = 2, images: int = 2, **more: int
) -> PhotoBatches:
    options = {"seed": 0, **more}
    return PhotoBatches(index, SubjectOrder(index.num_subjects, subjects, images, **options), augmentation)


def assert_same(batch: Batch, other: Batch) -> None:
    for field in fields(Batch):
        value, expected = getattr(batch, field.name), getattr(other, field.name)
        assert torch.equal(value, expected) if isinstance(value, Tensor) else value == expected, field.name


def pixels_of(points_L3: Tensor) -> np.ndarray:
    return ((points_L3[:, :2] * 0.5 + 0.5) * 224).numpy()


def test_layout(index: PhotoIndex) -> None:
    batch = batches(index, Augmentation(), subjects=3, images=2)[0]
    assert batch.image_B3HW.shape == (6, 3, 224, 224) and batch.image_B3HW.dtype == torch.float32
    assert 0 <= batch.image_B3HW.min() and 0.5 < batch.image_B3HW.max() <= 1
    assert batch.landmarks68_BL3.shape == (6, 68, 3) and batch.landmarks478_BL3.shape == (6, 478, 3)
    assert batch.landmarks68_BL3[..., 2].eq(1).all() and batch.landmarks478_BL3.dtype == torch.float32
    assert batch.mask_B1HW.shape == (6, 1, 224, 224) and set(batch.mask_B1HW.unique().tolist()) == {0.0, 1.0}
    assert batch.images_per_subject == 2
    for name, subject in zip(batch.names, batch.subject_B.tolist(), strict=True):
        assert name.startswith(index.subject_names[subject] + "/")
    assert len(set(batch.subject_B[::2].tolist())) == 3
    assert torch.equal(batch.subject_B[::2], batch.subject_B[1::2])


def test_without_augmentation_it_is_the_crop_of_inference(index: PhotoIndex) -> None:
    batch = batches(index, Augmentation.none(), subjects=5, images=1)[0]
    for row, name in enumerate(batch.names):
        photo = index.photos.index(name)
        marks68_L2, marks478_L3 = index.landmarks_of(photo)
        to_crop_33 = crop_from_landmarks(marks478_L3[list(IBUG_68)])
        expected = warp_crop(read_photo(index.folder / name).pixels, to_crop_33)
        difference = np.abs(batch.image_B3HW[row].numpy() - expected)
        assert difference.mean() < 1 / 255 and np.quantile(difference, 0.99) < 4 / 255
        for marks, read in ((marks68_L2, batch.landmarks68_BL3), (marks478_L3, batch.landmarks478_BL3)):
            ones = np.column_stack([marks[:, :2], np.ones(len(marks))])
            np.testing.assert_allclose(pixels_of(read[row]), (ones @ to_crop_33.T)[:, :2], atol=1e-3)


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_landmarks_go_with_the_pixels(tmp_path: Path, flip: float) -> None:
    """Photos with a blob at four landmarks: each lies on the blob that has its colour, or, mirrored, its partner's."""
    folder = tmp_path / "photos"
    made = make_photos(folder, 2, 2)
    shown = {36: (255, 0, 0), 45: (0, 255, 0), 48: (0, 0, 255), 8: (255, 255, 0)}
    column, row = np.meshgrid(np.arange(SIZE[0]) + 0.5, np.arange(SIZE[1]) + 0.5)
    for photo in made:
        image_HW3 = np.zeros((SIZE[1], SIZE[0], 3))
        for landmark, colour in shown.items():
            x, y = photo.landmarks68_L2[landmark]
            image_HW3 += np.exp(-((column - x) ** 2 + (row - y) ** 2) / (2 * 2.0**2))[..., None] * colour
        Image.fromarray(image_HW3.clip(0, 255).round().astype(np.uint8)).save(folder / photo.name)
    entries = [Entry(photo.name.split("/")[0]) for photo in made]
    write_index(tmp_path / "a.npz", map(finding_of, made), entries, folder=folder, masks=None, landmarks="fan")
    source = batches(PhotoIndex.load(tmp_path / "a.npz"), replace(GEOMETRY, flip=flip))
    for step in range(3):
        batch = source[step]
        for image_3HW, marks_L3 in zip(batch.image_B3HW.numpy(), batch.landmarks68_BL3, strict=True):
            for landmark in shown:
                x, y = pixels_of(marks_L3)[MIRROR_68[landmark] if flip else landmark]
                left, top = int(x) - 9, int(y) - 9
                window = image_3HW[:, max(top, 0) : top + 19, max(left, 0) : left + 19].astype(np.float64)
                own = np.array(shown[landmark]) > 0
                weight = window[own].min(0) - (window[~own].max(0) if (~own).any() else 0)
                weight = np.where(weight > 0.05, weight, 0)
                rows, columns = np.indices(weight.shape)
                found = np.array([(weight * columns).sum(), (weight * rows).sum()]) / weight.sum()
                np.testing.assert_allclose(np.add(found, (max(left, 0) + 0.5, max(top, 0) + 0.5)), (x, y), atol=0.15)


def test_flipped_batch_is_the_mirrored_batch(index: PhotoIndex) -> None:
    """The same seed with and without mirroring: pixels reversed, landmarks negated in x and exchanged."""
    plain, mirrored = batches(index, GEOMETRY)[4], batches(index, replace(GEOMETRY, flip=1.0))[4]
    assert plain.names == mirrored.names
    # OpenCV rounds positions to 1/32 pixel, in the other direction when they are mirrored.
    assert (plain.image_B3HW.flip(3) - mirrored.image_B3HW).abs().mean() < 0.5 / 255
    assert (plain.mask_B1HW.flip(3) - mirrored.mask_B1HW).abs().mean() < 0.003
    for one, other, mirror in (
        (plain.landmarks68_BL3, mirrored.landmarks68_BL3, MIRROR_68),
        (plain.landmarks478_BL3, mirrored.landmarks478_BL3, MIRROR_478),
    ):
        torch.testing.assert_close(one[:, mirror] * torch.tensor([-1.0, 1, 1]), other, atol=1e-5, rtol=0)


def test_subjects_are_mirrored_whole(index: PhotoIndex) -> None:
    """Codes are exchanged among a subject's photos, which must show the same face: never one mirrored, one not."""
    source = batches(index, replace(Augmentation.paper(), flip=0.5), subjects=5, images=3)
    seen = set()
    for step in range(8):
        batch = source[step]
        mirrored = np.reshape([is_mirrored(index, batch, row) for row in range(15)], (5, 3))
        assert (mirrored == mirrored[:, :1]).all()
        seen |= set(mirrored[:, 0].tolist())
    assert seen == {False, True}


def is_mirrored(index: PhotoIndex, batch: Batch, row: int) -> bool:
    """Whether a photo's landmarks are not an affine image of the indexed ones: then left and right are exchanged."""
    marks_L2 = index.landmarks_of(index.photos.index(batch.names[row]))[0].astype(float)
    ones = np.column_stack([marks_L2, np.ones(68)])
    here_L2 = batch.landmarks68_BL3[row, :, :2].numpy().astype(float)
    residual = here_L2 - ones @ np.linalg.lstsq(ones, here_L2, rcond=None)[0]
    return bool(np.abs(residual).max() > 1e-4)


def test_random_crop_is_a_similarity_within_its_limits() -> None:
    points_L2 = np.array([[100.0, 80.0], [180.0, 200.0]])  # box 80 x 120: side 100 * 1.1
    rng = np.random.default_rng(0)
    scales, angles, shifts = [], [], []
    for _ in range(400):
        matrix = random_crop(points_L2, GEOMETRY, rng, flipped=False)
        scale = np.sqrt(np.linalg.det(matrix[:2, :2]))
        np.testing.assert_allclose(matrix[:2, :2] @ matrix[:2, :2].T, scale**2 * np.eye(2), atol=1e-12)
        scales.append(224 / scale / 110)
        angles.append(np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0])))
        shifts.append((matrix @ (140, 140, 1))[:2] / 224 - 0.5)
    assert 1.39 < min(scales) < 1.43 and 1.77 < max(scales) < 1.82
    assert -25 <= min(angles) < -20 and 20 < max(angles) <= 25
    assert 0.07 < np.abs(shifts).max() < 0.08 + 0.5 / 224 + 0.003  # and the rounding of the crop's side


def crop_points(yaw: float) -> np.ndarray:
    """OpenHead's 478 landmarks on a crop, turned by `yaw` degrees."""
    head = load_head()
    assert head.landmarks_478 is not None
    points_L3 = head.landmarks_478.positions(head.template_V3, head.faces_F3).astype(np.float64)
    cos, sin = np.cos(np.radians(yaw)), np.sin(np.radians(yaw))
    turned_L2 = np.column_stack([points_L3[:, 0] * cos + points_L3[:, 2] * sin, -points_L3[:, 1]])
    return (turned_L2 - (turned_L2.min(0) + turned_L2.max(0)) / 2) * 1000 + 112


def test_mask_of_a_face_from_the_front_has_its_area() -> None:
    """Against the areas of the outline, the eyes and the mouth as polygons."""
    opened = crop_points(0.0)
    opened[[14, 87, 317, 178, 402, 88, 318]] += (0, 12)  # the lower lip

    def area(*ring: int) -> float:
        x, y = opened[list(ring)].T
        return 0.5 * abs(float(x @ np.roll(y, 1) - y @ np.roll(x, 1)))

    outline = area(
        *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
        *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
    )
    right = area(33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
    left = area(263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
    mouth = area(78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95)
    mask_HW = mask_from_landmarks(opened)
    assert mouth > 200 and right > 100
    assert (mask_HW > 0).sum() == pytest.approx(outline - right - left - mouth, rel=0.03)
    for ring in ((159, 145), (386, 374), (13, 14)):
        column, row = opened[list(ring)].mean(0).astype(int)
        assert mask_HW[row, column] == 0


@pytest.mark.parametrize("yaw", [-60, -30, 30, 60])
def test_mask_of_a_turned_face_is_its_silhouette(yaw: float) -> None:
    """Against all triangles between all 478 points, drawn one by one."""
    crop_L2, front_L2 = crop_points(yaw), crop_points(0.0)
    truth_HW = np.zeros((224, 224), np.uint8)
    for triangle in Delaunay(front_L2[:468]).simplices:
        cv2.fillConvexPoly(truth_HW, np.rint((crop_L2[triangle] - 0.5) * 16).astype(np.int32), (255,), shift=4)
    openings_HW = np.zeros_like(truth_HW)  # tested above; drawn larger than they are, and left out here
    for ring in (*EYE_RINGS, (61, 291, 0, 17, 37, 267, 84, 314)):
        hull = cv2.convexHull(np.rint(crop_L2[list(ring)]).astype(np.int32))
        cv2.fillConvexPoly(openings_HW, np.asarray(hull), (255,))
    openings_HW = cv2.dilate(openings_HW, np.ones((5, 5), np.uint8))
    filled, truth_HW = mask_from_landmarks(crop_L2) | openings_HW, truth_HW | openings_HW
    both, either = (filled & truth_HW).astype(bool).sum(), (filled | truth_HW).astype(bool).sum()
    assert both / either > 0.97


def test_nothing_is_seen_outside_of_the_photo() -> None:
    points_L2 = np.random.default_rng(0).uniform(20, 200, (478, 2))
    corners_42 = np.array([[-30.0, 60], [400, 20], [430, 300], [10, 340]])  # a turned photo
    mask_HW = mask_from_landmarks(points_L2, corners_42)
    assert mask_HW[:35].sum() == 0 and (mask_from_landmarks(points_L2)[:35] > 0).any()
    assert (mask_HW[120:] == mask_from_landmarks(points_L2)[120:]).mean() > 0.98


def test_masks_of_the_user_go_with_the_pixels(tmp_path: Path) -> None:
    """The user's mask is where the photo is bright; so it must be on every crop. Masks may be smaller than photos."""
    folder, masks = tmp_path / "photos", tmp_path / "masks"
    made = make_photos(folder, 2, 2)
    for photo in made:
        mask_HW = np.zeros((SIZE[1], SIZE[0]), np.uint8)
        cv2.circle(mask_HW, (120, 110), 60, (255,), -1)
        (masks / photo.name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.repeat(mask_HW[..., None], 3, 2)).save(folder / photo.name)
        size = SIZE if photo.name.endswith("0.png") else (SIZE[0] // 2, SIZE[1] // 2)
        Image.fromarray(mask_HW).resize(size, Image.Resampling.BOX).save(masks / photo.name)
    entries = [Entry(photo.name.split("/")[0], photo.name) for photo in made]
    write_index(tmp_path / "a.npz", map(finding_of, made), entries, folder=folder, masks=masks, landmarks="mediapipe")
    batch = batches(PhotoIndex.load(tmp_path / "a.npz"), replace(GEOMETRY, flip=0.5))[0]
    bright = batch.image_B3HW.mean(1, keepdim=True) > 0.5
    assert 0.05 < bright.float().mean() < 0.6
    assert (bright == (batch.mask_B1HW > 0)).float().mean() > 0.995


def test_colours() -> None:
    image = np.random.default_rng(0).integers(0, 256, (224, 224, 3), np.uint8)
    np.testing.assert_array_equal(change_colours(image, Augmentation.none(), np.random.default_rng(0)), image)
    grey = change_colours(image, replace(Augmentation.none(), grey=1.0), np.random.default_rng(0)).astype(int)
    assert np.abs(grey - np.rint(image @ [0.299, 0.587, 0.114])[..., None]).max() <= 1
    flat = np.full_like(image, 100)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        brighter = change_colours(flat, replace(Augmentation.none(), brightness=0.2), rng)
        assert 80 <= brighter.min() == brighter.max() <= 120
        tinted = change_colours(flat, replace(Augmentation.none(), tint=0.05), rng)[0, 0]
        assert 95 <= tinted.min() < tinted.max() <= 105
    noisy = change_colours(flat, replace(Augmentation.none(), noise=0.05), np.random.default_rng(3)).astype(float)
    assert noisy.mean() == pytest.approx(100, abs=1) and 0 < noisy.std() < 0.05 * 255
    blurred = change_colours(image, replace(Augmentation.none(), blur=1.0), np.random.default_rng(0))
    assert blurred.std() < 0.7 * image.std()


def test_what_is_occluded_is_not_in_the_mask() -> None:
    image, mask = np.zeros((224, 224, 3), np.uint8), np.full((224, 224), 255, np.uint8)
    shares = []
    for seed in range(30):
        augmentation = replace(Augmentation.none(), occlusion=1.0)
        covered, left = occlude(image, mask, augmentation, np.random.default_rng(seed))
        assert (covered[left == 255] == 0).all() and (left == 0).any()
        shares.append((left == 0).mean())
    assert 0.002 < min(shares) and max(shares) < 0.2
    same = occlude(image, mask, Augmentation.none(), np.random.default_rng(0))
    assert same[0] is image and same[1] is mask


def test_each_epoch_has_each_subject_once(index: PhotoIndex) -> None:
    source = batches(index, Augmentation.none(), subjects=2, images=1)
    assert source.order.steps_per_epoch == 2  # of five subjects one is left out
    epochs = [
        tuple(source.order.subjects_of(step).tolist() for step in (2 * epoch, 2 * epoch + 1)) for epoch in range(6)
    ]
    for first, second in epochs:
        assert len({*first, *second}) == 4
    assert len({str(epoch) for epoch in epochs}) > 1
    assert source.order.subjects_of(1).tolist() == epochs[0][1]  # whatever was asked before
    more = batches(index, Augmentation.none(), subjects=7, images=1)
    assert set(more.order.subjects_of(3).tolist()) == set(range(5)) and len(more.order.subjects_of(3)) == 7


def test_photos_of_a_subject_are_different_as_long_as_there_are_any(index: PhotoIndex) -> None:
    batch = batches(index, Augmentation(), subjects=5, images=3)[0]
    for subject in range(5):
        rows = [row for row, number in enumerate(batch.subject_B.tolist()) if number == subject]
        names = {batch.names[row] for row in rows}
        assert len(names) == (1 if subject == 0 else 3)
        if subject == 0:  # the same photo, changed in other ways
            assert (batch.image_B3HW[rows[0]] - batch.image_B3HW[rows[1]]).abs().mean() > 0.01


def test_a_batch_depends_on_seed_and_step_alone(index: PhotoIndex) -> None:
    whole = [batches(index, Augmentation(), subjects=4)[step] for step in range(4)]
    assert_same(batches(index, Augmentation(), subjects=4)[3], whole[3])
    assert not torch.equal(batches(index, Augmentation(), subjects=4, seed=1)[3].image_B3HW, whole[3].image_B3HW)
    for rank in range(2):
        part = batches(index, Augmentation(), subjects=4, rank=rank, world_size=2)[3]
        rows = [row for row in range(8) if row // 2 % 2 == rank]
        assert part.names == tuple(whole[3].names[row] for row in rows)
        for name in ("image_B3HW", "landmarks68_BL3", "landmarks478_BL3", "mask_B1HW", "subject_B"):
            assert torch.equal(getattr(part, name), getattr(whole[3], name)[rows])


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_loader_goes_on_anywhere_with_any_workers(index: PhotoIndex, workers: int) -> None:
    expected = batches(index, Augmentation(), subjects=2)
    loader = batch_loader(expected, first_step=5, steps=3, num_workers=workers)
    loaded = list(loader)
    assert len(loader) == len(loaded) == 3
    for step, batch in enumerate(loaded, 5):
        assert_same(batch, expected[step])


def test_endless_loader(index: PhotoIndex) -> None:
    expected = batches(index, Augmentation(), subjects=1, images=1)
    loader = batch_loader(expected, first_step=7)
    for step, batch in zip(range(7, 20), loader, strict=False):
        assert batch.names == expected[step].names


def test_wrong_numbers(index: PhotoIndex) -> None:
    with pytest.raises(OptionError, match="cannot be shared by 2"):
        batches(index, Augmentation(), subjects=3, world_size=2)
    with pytest.raises(OptionError, match="no photos"):
        batches(index.subset([]), Augmentation())
    with pytest.raises(OptionError, match="makes no sense"):
        Augmentation(flip=1.5)
    with pytest.raises(OptionError, match="makes no sense"):
        Augmentation(crop_scale=(2.0, 1.0))


def test_photos_that_have_gone_or_changed(tmp_path: Path) -> None:
    path = make_index(tmp_path, subjects=1, photos=1)
    source = batches(PhotoIndex.load(path), Augmentation(), subjects=1, images=1)
    photo = tmp_path / "photos" / "person0" / "0.png"
    Image.new("RGB", (30, 30)).save(photo)
    with pytest.raises(PhotoError, match="has changed since it was prepared"):
        source[0]
    photo.unlink()
    with pytest.raises(PhotoError, match="There is no photo file"):
        source[0]
