"""Wrinkles by the product's way from photos: the truth carried through a photo, and what is explained of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from deca.appearance.sampling import view_surface
from deca.errors import OptionError
from deca.head import HeadModel, load_head
from deca.networks import Card, Networks, random_checkpoint
from deca.networks.relief import Layout, ReliefCard, ReliefNetwork, relief_network
from deca.reconstruct.face import Face
from deca.reconstruct.models import Models
from deca.render.uv import texels_of, world2uv
from deca_training.cli import main
from deca_training.data.synthetic import SyntheticSubject
from deca_training.data.synthetic.carried import KnownPhoto, known_face
from deca_training.data.synthetic.generate import Generator
from deca_training.evaluate import photo_relief
from deca_training.evaluate.photo_relief import EXACT, PLACED, RELIEF, SHOWN, Explained, PhotoRelief
from deca_training.evaluate.relief_pairs import Seen, alike, correlations

SIDE = 448


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return load_head()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One person, two photos."""
    folder = tmp_path_factory.mktemp("people")
    subject, jpegs = Generator(side=SIDE).subject(3, 2, age=70.0)
    subject.save(folder, jpegs)
    return folder


@pytest.fixture(scope="module")
def subject(folder: Path) -> SyntheticSubject:
    return SyntheticSubject.load(folder / "00000003.npz")


def shifted(face: Face, pixels: float) -> Face:
    """The same head, so many pixels further to the right on the photo."""
    crop_33 = face.crop_33.copy()
    crop_33[0, 2] -= pixels * crop_33[0, 0]
    return replace(face, crop_33=crop_33)


def places(head: HeadModel) -> np.ndarray:
    """Of each texel (2, 256, 256) on the map, right and down, 0..1."""
    column_HW, row_HW = np.meshgrid(*[(np.arange(256, dtype=np.float32) + 0.5) / 256] * 2)
    return np.stack((column_HW, row_HW))


def front_of(face: Face) -> np.ndarray:
    """Texels that face the camera, in the middle of the face."""
    view = view_surface(texels_of(face.head, 256), face.vertices(), face.to_photo())
    column_HW, row_HW = places(face.head)
    return view.visible_HW & (view.facing_HW > 0.6) & (np.hypot(column_HW - 0.5, row_HW - 0.5) < 0.3)


def test_a_head_carries_its_own_maps_to_themselves(subject: SyntheticSubject, head: HeadModel) -> None:
    face, places_2HW = known_face(subject, 0, head), places(head)
    waves_HW = np.sin(20 * places_2HW[0]) * np.cos(25 * places_2HW[1])
    shown = KnownPhoto(face, np.stack((*places_2HW, waves_HW)), subject.mask_KHW[0]).at(face, front_of(face))
    inside_HW = shown.is_skin_HW
    assert inside_HW.sum() > 3000
    # Texels beside the edges of nostrils and lips may lie just behind them.
    assert np.quantile(np.abs(shown.maps_CHW[:2] - places_2HW)[:, inside_HW], 0.98) < 0.5 / 256
    assert np.quantile(np.abs(shown.maps_CHW[2] - waves_HW)[inside_HW], 0.98) < 0.04
    assert np.median(shown.off_mm_HW[inside_HW]) < 0.1 and np.median(shown.off_texels_HW[inside_HW]) < 0.1


def test_what_is_carried_is_what_the_photo_shows_there(subject: SyntheticSubject, head: HeadModel) -> None:
    """Another shape, turned and moved: the known head's point at a texel lies where the photo has the texel."""
    known = known_face(subject, 0, head)
    other_S = known.shape_S + np.random.default_rng(1).normal(0, 0.5, known.shape_S.shape).astype(np.float32)
    fitted = replace(shifted(known, 4.0), shape_S=other_S)
    points_3HW = world2uv(torch.from_numpy(known.vertices())[None], head)[0].numpy()
    shown = KnownPhoto(known, points_3HW, subject.mask_KHW[0]).at(fitted, front_of(fitted))
    view = view_surface(texels_of(head, 256), fitted.vertices(), fitted.to_photo())
    to_photo_24 = known.to_photo()
    pixels_HW2 = shown.maps_CHW.transpose(1, 2, 0) @ to_photo_24[:, :3].T + to_photo_24[:, 3]
    off_HW = np.linalg.norm(pixels_HW2 - view.pixels_HW2, axis=-1)[shown.is_skin_HW]
    assert np.quantile(off_HW, 0.95) < 0.3
    # So much less than the way to where the known head has that texel itself.
    itself = view_surface(texels_of(head, 256), known.vertices(), known.to_photo())
    assert np.median(np.linalg.norm(itself.pixels_HW2 - view.pixels_HW2, axis=-1)[shown.is_skin_HW]) > 2


def test_a_shift_is_the_error_of_the_layout(subject: SyntheticSubject, head: HeadModel) -> None:
    known = known_face(subject, 0, head)
    fitted = shifted(known, 5.0)
    nothing_1HW = np.zeros((1, 256, 256), np.float32)
    shown = KnownPhoto(known, nothing_1HW, subject.mask_KHW[0]).at(fitted, front_of(fitted))
    millimetres = 1000 * 5.0 / np.linalg.norm(known.to_photo()[0, :3])
    # Along the surface it is no shorter than on the picture.
    off_N = shown.off_mm_HW[shown.is_skin_HW]
    assert 0.95 * millimetres < np.median(off_N) < 1.6 * millimetres
    # Under what covers the skin nothing is known.
    hidden = KnownPhoto(known, nothing_1HW, subject.mask_KHW[0] * 0).at(fitted, front_of(fitted))
    assert not hidden.is_skin_HW.any()


def test_photos_whose_head_no_face_can_be_are_refused(head: HeadModel) -> None:
    subject, _ = Generator(perspective=1.0).subject(3, 1)
    with pytest.raises(OptionError, match="misses its photo"):
        known_face(subject, 0, head)


def test_shares_are_those_of_known_sums() -> None:
    true_HW = np.random.default_rng(0).normal(0, 1e-4, (64, 64))
    seen_HW = np.ones((64, 64), bool)
    seen_HW[:, 32:] = False
    spoilt_HW = np.where(seen_HW, true_HW / 2, 1.0)
    for found_HW, share, factor, fine in (
        (true_HW, 1.0, 1.0, 1.0),
        (spoilt_HW, 0.75, 2.0, 1.0),
        (-true_HW, -3.0, -1.0, -1.0),
    ):
        explained = Explained()
        explained.add(found_HW, true_HW, seen_HW)
        explained.add(found_HW, true_HW, seen_HW)
        assert explained.share == pytest.approx(share) and explained.factor == pytest.approx(factor)
        assert explained.fine == pytest.approx(fine) and abs(explained.correlation) == pytest.approx(1)


class Knows(ReliefNetwork):
    """Reads what it is told, and is sure of it."""

    told_HW: np.ndarray

    def read(self, layout: Layout) -> tuple[torch.Tensor, torch.Tensor]:
        told_11HW = torch.from_numpy(self.told_HW)[None, None]
        return told_11HW, (layout.seen_B1HW > 0).float()


@pytest.fixture
def product(head: HeadModel) -> PhotoRelief:
    network = Knows(ReliefCard(head.name)).eval()
    network.load_state_dict(relief_network(network.card, head).state_dict())
    networks = Networks(random_checkpoint(0, Card.of(head, backbone="mobilenet_v3_large")))
    return PhotoRelief(Models(head, networks, relief=network))


def finds(monkeypatch: pytest.MonkeyPatch, way: Callable[[Face], Face], subject: SyntheticSubject) -> None:
    """Lets the product find a head that is known, or something of it."""
    face = way(known_face(subject, 0, load_head()))
    face = replace(face, detail_D=np.full(128, 0.3, np.float32))
    monkeypatch.setattr(photo_relief, "face_on", lambda *_: face)


def test_a_perfect_relief_explains_all_and_half_of_it_three_quarters(
    product: PhotoRelief, subject: SyntheticSubject, monkeypatch: pytest.MonkeyPatch
) -> None:
    finds(monkeypatch, lambda known: known, subject)
    true_HW = subject.displacement_KHW[0]
    assert isinstance(product.network, Knows)
    # A face of 290 pixels has hardly one for each texel, so that the photo shows the finest lines too flat.
    for depth, share, blurred in ((1.0, 1.0, 0.07), (0.5, 0.75, 0.04)):
        product.network.told_HW = true_HW * np.float32(depth)
        product.steps.clear()
        product.add(subject, 0)
        assert product.steps["network, laid out by the fitted head"].share == pytest.approx(share, abs=blurred)
        assert product.steps["network, laid out by the true head"].share == pytest.approx(share, abs=1e-5)
    product.ways.clear()
    product.network.told_HW = true_HW
    product.add(subject, 0)
    for which, blurred in ((SHOWN, 0.07), (PLACED, 0.01)):
        assert product.ways[which, RELIEF].own.share == pytest.approx(1, abs=blurred)
        assert product.ways[which, EXACT].own.share == pytest.approx(1, abs=0.01)
        assert product.ways[which, RELIEF].others.share < 0.95  # at other expressions F_d must know more than it does
    assert np.concatenate(product.off_mm).mean() < 0.1 and product.taken[-1] == pytest.approx(1)


def test_lines_that_lie_where_the_photo_has_them_are_told_from_those_in_their_place(
    product: PhotoRelief, subject: SyntheticSubject, head: HeadModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    finds(monkeypatch, lambda known: shifted(known, 5.0), subject)
    assert isinstance(product.network, Knows)
    product.network.told_HW = subject.displacement_KHW[0]
    looked = product.look(subject, 0)
    assert looked is not None
    shares = {}
    for name, map_HW in (("in place", subject.displacement_KHW[0]), ("as shown", looked.carried.maps_CHW[0])):
        product.network.told_HW = map_HW
        product.ways.clear()
        product.add(subject, 0)
        shares[name] = [product.ways[which, RELIEF].own.share for which in (SHOWN, PLACED)]
    assert shares["as shown"][0] > 0.97 > 0.7 > shares["as shown"][1]
    assert shares["in place"][1] > 0.97 > 0.7 > shares["in place"][0]


def test_pairs_of_one_person_are_alike_where_both_are_seen() -> None:
    rng = np.random.default_rng(0)
    left_HW, right_HW = np.zeros((2, 256, 256), bool)
    left_HW[:, :160], right_HW[:, 96:] = True, True
    pairs = []
    for _ in range(4):
        own_HW = rng.normal(0, 1e-4, (256, 256)).astype(np.float32)
        other_HW = np.where(left_HW, own_HW, rng.normal(0, 1e-3, (256, 256)).astype(np.float32))
        pairs.append((Seen({"map": own_HW}, left_HW), Seen({"map": other_HW}, right_HW)))
    own_N, other_N = correlations(pairs, "map")
    assert len(own_N) == 4 and len(other_N) == 12
    assert own_N.min() > 0.999 and np.abs(other_N).max() < 0.1
    nowhere = Seen(pairs[0][0].maps, np.zeros((256, 256), bool))
    assert alike(nowhere, pairs[0][1], "map") is None


def test_command(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(photo_relief, "SIDE", SIDE)
    monkeypatch.setattr(photo_relief, "FIRST_HELD_OUT", 3)
    command = ["evaluate", "photo-relief", "--people", "1", "--data", str(folder), "--out", str(tmp_path)]
    assert main(command) == 0
    assert "error of the layout" in capsys.readouterr().out and (tmp_path / "photo_relief_steps.csv").is_file()
    assert main([*command, "--photos", "1"]) == 1 and "Take two" in capsys.readouterr().err
