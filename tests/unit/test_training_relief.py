"""The relief network's training: synthetic skin as UV maps, pictures of it, and a network that learns from them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from deca.errors import NoFaceError
from deca.head import HeadModel, load_head
from deca.head.layer import HeadLayer
from deca.networks.relief import finer, load_relief, new_relief_network, save_relief
from deca.render.detail import DETAIL_MASK, detail_surface
from deca.render.normals import unit
from deca.render.uv import uv_mask
from deca_training.data.synthetic.carried import known_face
from deca_training.data.synthetic.skin import in_between, skin_of
from deca_training.relief import photos, pigment, trainer
from deca_training.relief.carriers import Carrier
from deca_training.relief.lines import Tilt, free_lines
from deca_training.relief.measures import false_lines, measure
from deca_training.relief.photos import PhotoMaker
from deca_training.relief.pictures import Picture, PictureMaker, _misplaced, picture_part
from deca_training.relief.surfaces import Surface, SurfaceMaker, as_channels, make_person, side_by_side
from deca_training.relief.trainer import Run, Scale, relief_loss, train_relief

PEOPLE = 2


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return load_head()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """People and their pictures."""
    folder, maker = tmp_path_factory.mktemp("run"), SurfaceMaker()
    for person in range(1, PEOPLE + 1):
        make_person(folder / "people", person, maker)
    pictures = PictureMaker(maker.generator.head, folder / "people")
    from deca_training.relief.pictures import take_pictures

    for person in range(1, PEOPLE + 1):
        take_pictures(pictures, folder / "pictures", person)
    return folder


def surface_of(folder: Path, head: HeadModel, mirrored: bool = False) -> Surface:
    _, within = picture_part(head)
    return Surface.of(np.load(folder / "people" / "00000001.npy")[0][(slice(None), *within)], mirrored)


def test_free_lines_tilt_normals_as_the_displaced_head_does(head: HeadModel) -> None:
    part, _ = picture_part(head)
    lines_PQ = in_between(free_lines((208, 192), np.random.default_rng(4)))
    depth_PQ = np.zeros((512, 512), np.float32)
    depth_PQ[finer(part)] = lines_PQ
    verts_1V3 = HeadLayer(head, 1, 1)(torch.zeros(1, 1), torch.zeros(1, 1), torch.zeros(1, 5, 3))
    with torch.no_grad():
        skin = detail_surface(verts_1V3, torch.from_numpy(depth_PQ)[None, None] / 1000, head, smooth=True)
        coarse_3PQ, detail_3PQ = (
            unit(maps)[0].numpy()[(slice(None), *finer(part))] for maps in (skin.coarse_normals_B3HW, skin.normals_B3HW)
        )
    told_3PQ = coarse_3PQ + Tilt(skin_of(head), finer(part))(lines_PQ)
    told_3PQ /= np.linalg.norm(told_3PQ, axis=0).clip(1e-6)
    front_PQ = coarse_3PQ[2] > 0.5
    off = ((told_3PQ - detail_3PQ)[:, front_PQ] ** 2).sum()
    assert off < 0.15 * ((coarse_3PQ - detail_3PQ)[:, front_PQ] ** 2).sum()


def test_what_lies_within_a_texel_is_kept_in_channels() -> None:
    map_3PQ = np.random.default_rng(0).normal(size=(3, 8, 6))
    channels = as_channels(map_3PQ)
    assert np.array_equal(channels, torch.nn.functional.pixel_unshuffle(torch.from_numpy(map_3PQ)[None], 2)[0].numpy())
    assert np.array_equal(side_by_side(channels), map_3PQ)


def test_a_mirrored_surface_is_the_mirrored_head(folder: Path, head: HeadModel) -> None:
    plain, mirrored = surface_of(folder, head), surface_of(folder, head, mirrored=True)
    assert np.array_equal(plain.depth_HW, mirrored.depth_HW[:, ::-1])
    assert np.array_equal(plain.normals_3HW[0], -mirrored.normals_3HW[0, :, ::-1])
    assert np.array_equal(plain.tilt_3PQ[0], -mirrored.tilt_3PQ[0, :, ::-1])
    assert np.array_equal(plain.tilt_3PQ[1], mirrored.tilt_3PQ[1, :, ::-1])
    # Both are faces: the subject's left cheek looks to +x on either.
    for surface in (plain, mirrored):
        assert surface.normals_3HW[0, :, 130:].mean() > 0 > surface.normals_3HW[0, :, :60].mean()


def test_pictures_are_the_same_again_and_survive_their_file(folder: Path, head: HeadModel) -> None:
    maker = PictureMaker(head, folder / "people")
    picture, again = (maker.picture(surface_of(folder, head), np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(picture.stored(), again.stored())
    read = Picture.of(picture.stored())
    for name in ("photo_3PQ", "normals_3HW", "seen_HW", "depth_HW"):
        assert np.allclose(getattr(read, name), getattr(picture, name), atol=2e-4), name
    assert read.density == pytest.approx(picture.density, abs=1e-3)
    assert picture.seen_HW.max() <= 1 and not picture.depth_HW[maker.skin_HW == 0].all()


def test_an_error_of_the_layout_takes_the_truth_along() -> None:
    depth_HW = np.random.default_rng(0).normal(0, 1, (208, 192)).astype(np.float32)
    depth_HW = cv2.GaussianBlur(depth_HW, (0, 0), 3.0)
    picture_PQ3 = in_between(np.repeat(depth_HW[..., None], 3, 2))
    moved_PQ3, moved_HW = _misplaced(picture_PQ3, depth_HW, np.random.default_rng(1))
    shown_HW = cv2.resize(moved_PQ3[..., 1], (192, 208), interpolation=cv2.INTER_AREA)
    off, moved = ((map_HW - moved_HW)[8:-8, 8:-8].std() for map_HW in (shown_HW, depth_HW))
    assert off < 0.03 * depth_HW.std() < 0.2 * moved


def test_synthetic_relief_is_shaded_on_real_skin(
    folder: Path, head: HeadModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A grey carrier lit from its left: slopes that face the light are brighter, and nothing else changes."""
    maps = np.full((3, 512, 512), 0.5, np.float16), np.zeros((3, 256, 256), np.float16), np.ones((256, 256), np.float16)
    maps[1][2] = 1
    light_93 = np.zeros((9, 3), np.float32)
    light_93[0], light_93[1], light_93[3] = 2.0, 0.5, 0.5
    own_HW = np.full((256, 256), 0.3, np.float16)
    maker = PictureMaker(head, folder / "people", [Carrier.of(*maps, light_93, own_HW)])
    tilt_3PQ = np.zeros((3, 416, 384), np.float32)
    tilt_3PQ[0, 200:, :] = 0.2
    rng = np.random.default_rng(3)
    monkeypatch.setattr(maker, "_carrier", lambda rng: (maker.carriers[0], (slice(None), *finer(maker.part)), False))
    picture_PQ3, _, seen_HW, both_HW = maker._on_photo(np.zeros((208, 192)), tilt_3PQ, rng)
    assert np.allclose(picture_PQ3[:200], 0.5, atol=1e-3) and (picture_PQ3[201:] > 0.505).all() and seen_HW.min() == 1
    assert np.allclose(both_HW, 0.3, atol=1e-3)  # no relief was drawn: the carrier's own


@pytest.mark.parametrize("layer", [layer for _, layer in (*pigment.ON_SKIN, *pigment.IN_FRONT)])
def test_what_is_no_relief_shows_somewhere_and_not_everywhere(
    layer: pigment.Layer, head: HeadModel, tmp_path: Path
) -> None:
    place_PQ2 = PictureMaker(head, tmp_path).place_PQ2
    plain_HW3 = np.full((*place_PQ2.shape[:2], 3), 0.5, np.float32)
    shown = [layer(plain_HW3.copy(), place_PQ2, np.random.default_rng(seed), 2) for seed in range(4)]
    assert max(np.abs(picture_HW3 - plain_HW3).max() for picture_HW3 in shown) > 0.03
    assert all(np.isfinite(picture_HW3).all() for picture_HW3 in shown)


def test_things_on_skin_are_as_large_on_a_finer_picture(head: HeadModel, tmp_path: Path) -> None:
    """Freckles on skin maps' pictures and on relief's, which have twice the rows: as much of the skin, as wide."""
    fine_PQ2 = PictureMaker(head, tmp_path).place_PQ2
    shares, widths = [], []
    for place_HW2, rows in ((fine_PQ2[::2, ::2], 1), (fine_PQ2, 2)):
        skin_HW3 = np.full((*place_HW2.shape[:2], 3), 0.5, np.float32)
        dark_KHW = np.stack(
            [0.5 - pigment.freckles(skin_HW3, place_HW2, np.random.default_rng(k), rows)[..., 2] for k in range(200)]
        )
        shares.append(dark_KHW.mean())
        steep = np.sqrt((np.diff(dark_KHW, axis=1) ** 2).mean() / (dark_KHW**2).mean())
        widths.append(1 / steep / rows)
    assert shares[1] == pytest.approx(shares[0], rel=0.2) and widths[1] == pytest.approx(widths[0], rel=0.2)


def test_glasses_are_around_the_eyes(head: HeadModel, tmp_path: Path) -> None:
    maker = PictureMaker(head, tmp_path)
    plain_HW3 = np.full((*maker.place_PQ2.shape[:2], 3), 0.5, np.float32)
    shown = (pigment.glasses(plain_HW3, maker.place_PQ2, np.random.default_rng(seed), 2) for seed in range(12))
    changed_HW = np.sum([np.abs(picture_HW3 - 0.5).max(2) > 0.2 for picture_HW3 in shown], axis=0)
    rows, columns = finer(maker.part)
    eyes_L2 = skin_of(head).landmark_L2[[37, 46]] - (columns.start, rows.start)
    for column, row in eyes_L2.astype(int):
        assert changed_HW[row - 50 : row + 50, column - 50 : column + 50].max() >= 4
    assert not changed_HW[320:, 80:-80].any()  # no frame hangs over the mouth


def test_the_loss_is_least_where_relief_and_doubt_are_true() -> None:
    rng = torch.Generator().manual_seed(0)
    depth, seen = torch.randn(2, 1, 32, 32, generator=rng) * 0.2, torch.ones(2, 1, 32, 32)
    noise = torch.randn(2, 1, 32, 32, generator=rng) * 0.1
    scale = float(noise.square().mean().sqrt().log())
    losses = {
        doubt: float(relief_loss(depth + noise, torch.full_like(depth, doubt), depth, seen))
        for doubt in (scale - 1, scale, scale + 1)
    }
    assert min(losses, key=losses.__getitem__) == scale
    assert float(relief_loss(depth, torch.full_like(depth, scale), depth, seen)) < losses[scale]
    # What is not seen does not count.
    seen[..., 16:] = 0
    wrong = depth.clone()
    wrong[..., 16:] += 1
    same = [float(relief_loss(found, torch.full_like(depth, scale), depth, seen)) for found in (depth, wrong)]
    assert same[0] == pytest.approx(same[1])


def test_training_lowers_the_loss_goes_on_and_leaves_a_file(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "_MEASURED", 1)
    run = Run(folder, tmp_path / "relief.safetensors", Scale(PEOPLE, 1.0))
    batch = run.batch(0)
    losses = [run.learn(batch, 2e-3) for _ in range(30)]
    assert losses[-1] < losses[0] - 0.02
    run.save(losses[-1])
    network = load_relief(tmp_path / "relief.safetensors")
    assert network.card.recipe.startswith("30 steps") and network.spread_HW.max() > 0.05
    line = json.loads((folder / "log.jsonl").read_text("utf-8").splitlines()[-1])
    assert line["step"] == 30 and -5 < line["explained"] < 1
    assert false_lines(network, run._held_out, None, pigment.shadows) >= 0
    assert measure(network, run._held_out).usual < 1
    resumed = Run(folder, tmp_path / "relief.safetensors", Scale(PEOPLE, 1.0))
    assert resumed.step == 30
    for name, value in run.network.state_dict().items():
        assert torch.equal(value, resumed.network.state_dict()[name]), name
    for one, other in zip(run.batch(30), resumed.batch(30), strict=True):
        assert torch.equal(one, other)


def test_half_of_what_is_learnt_with_earlier_weights_are_photos(folder: Path, tmp_path: Path) -> None:
    """People of whom no photo shows a face have pictures alone."""
    start = tmp_path / "start.safetensors"
    save_relief(new_relief_network(load_head(), seed=5), start)
    (folder / "last.ckpt").unlink(missing_ok=True)
    (folder / "photos").mkdir()
    none = np.load(folder / "pictures" / "00000001.npy")[:0]
    deep = np.load(folder / "pictures" / "00000001.npy")[:2]
    deep[:, 5] = 4000 * 2  # two millimetres everywhere
    np.save(folder / "photos" / "00000001.npy", deep)
    np.save(folder / "photos" / "00000002.npy", none)
    run = Run(folder, tmp_path / "relief.safetensors", Scale(PEOPLE, 1.0), start=start)
    begun = load_relief(start).state_dict()
    assert torch.equal(run.network.state_dict()["depth.weight"], begun["depth.weight"])
    depths = torch.cat([run.batch(step).depth_B1HW.mean((1, 2, 3)) for step in range(40)])
    share = (depths > 1.9).float().mean()
    assert 0.15 < share < 0.35  # half of the one who has photos
    shutil.rmtree(folder / "photos")


def test_photos_show_the_relief_where_the_product_lays_it_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Laid out by the true head, a photo shows the true relief in its place."""
    maker = PhotoMaker()
    subject, _ = maker.generator.subject(7, 1, age=70.0)
    known = known_face(subject, 0, maker.models.head)
    monkeypatch.setattr(photos, "reconstruct", lambda *_, **__: [known])
    picture = maker.picture(subject, 0)
    assert picture is not None
    rows, columns = maker.part
    skin_HW = uv_mask(maker.models.head, DETAIL_MASK).numpy()[rows, columns]
    true_HW = 1000 * subject.displacement_KHW[0][rows, columns] * skin_HW
    seen_HW = picture.seen_HW > 0.9
    assert seen_HW.mean() > 0.2
    assert np.corrcoef(picture.depth_HW[seen_HW], true_HW[seen_HW])[0, 1] > 0.97
    assert picture.photo_3PQ.shape == (3, 2 * (rows.stop - rows.start), 2 * (columns.stop - columns.start))
    stored = Picture.of(picture.stored())
    np.testing.assert_allclose(stored.depth_HW, picture.depth_HW, atol=1e-3)
    np.testing.assert_allclose(stored.photo_3PQ, picture.photo_3PQ, atol=1e-3)

    def nobody(*_: object, **__: object) -> list:
        raise NoFaceError("Nobody.")

    monkeypatch.setattr(photos, "reconstruct", nobody)
    monkeypatch.setattr(maker.generator, "subject", lambda *_: (subject, []))
    assert maker.pictures(7, 1).shape == (0, *picture.stored().shape)


def test_the_command_makes_its_own_pictures(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it, with next to no time: the file is there, and the same command does not begin again."""
    monkeypatch.setattr(trainer, "_MEASURED", 1)
    out = tmp_path / "relief.safetensors"
    folder.rename(out.with_suffix(""))
    (out.with_suffix("") / "pictures" / "00000002.npy").unlink()
    train_relief(out, hours=1e-5, people=PEOPLE)
    assert load_relief(out).card.data.startswith("2 synthetic people")
    assert (out.with_suffix("") / "pictures" / "00000002.npy").is_file()
