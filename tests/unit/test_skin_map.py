"""What is skin: network and weights file, labels and pictures that it learns from, and what the product makes of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from skimage import data

from deca.appearance.laid_out import lay_out
from deca.appearance.skin_map import SkinMap
from deca.appearance.texture import _has_moustache
from deca.appearance.trust import believe, regions_of
from deca.assets import asset
from deca.errors import AssetError
from deca.head import load_head
from deca.networks.skin_map import (
    Kind,
    Seen,
    SkinMapCard,
    load_skin_map,
    save_skin_map,
    skin_map_network,
)
from deca.reconstruct.models import load_models
from deca.reconstruct.pipeline import reconstruct
from deca.render.uv import texels_of
from deca.vision import Photo
from deca_blender.protocol.conventions import BUILTIN_WEIGHTS, OPENHEAD
from deca_training.skin_map.carriers import UNKNOWN, Carrier, Labeller, told_again
from deca_training.skin_map.covers import Place, glasses
from deca_training.skin_map.pictures import PictureMaker
from deca_training.skin_map.trainer import Run, batch_of, overlaps, skin_map_loss

SIZE = 256


@pytest.fixture(scope="module")
def head():
    return load_head()


@pytest.fixture(scope="module")
def carrier(head) -> Carrier:
    """Even skin that looks ahead."""
    texels = texels_of(head, SIZE)
    normals = np.zeros((SIZE, SIZE, 3), np.int8)
    normals[..., 2] = 127
    place = texels.interpolate(head.template_V3)[..., :2] * (5, -5)
    return Carrier(
        np.full((SIZE, SIZE, 3), (200, 150, 130), np.uint8),
        normals,
        texels.covered_HW,
        np.full((SIZE, SIZE), 255, np.uint8),
        place.astype(np.float16),
        np.where(texels.covered_HW, np.uint8(Kind.SKIN), np.uint8(UNKNOWN)),
    )


def seen(shade: float = 0.5) -> Seen:
    ones = torch.ones(1, 1, SIZE, SIZE)
    return Seen(ones.expand(-1, 3, -1, -1) * shade, ones.expand(-1, 3, -1, -1) * 0.577, ones, ones)


def test_weights_file_gives_the_same_network(head, tmp_path: Path) -> None:
    torch.manual_seed(3)
    network = skin_map_network(SkinMapCard(head.name, data="none"), head).eval()
    save_skin_map(network, tmp_path / "map.safetensors")
    loaded = load_skin_map(tmp_path / "map.safetensors")
    assert loaded.card == network.card
    chances = [net.read(seen()) for net in (network, loaded)]
    assert torch.allclose(*chances, atol=0.02)  # half precision
    assert torch.allclose(chances[1].sum(1), torch.ones(1, SIZE, SIZE), atol=1e-5)


def test_damaged_and_foreign_files_are_refused(head, tmp_path: Path) -> None:
    broken = tmp_path / "map.safetensors"
    broken.write_bytes(asset("skin_map/openhead.safetensors").read_bytes()[:5000])
    with pytest.raises(AssetError):
        load_skin_map(broken)
    with pytest.raises(AssetError, match="skin-map"):
        load_skin_map(asset("relief/openhead.safetensors"))
    elsewhere = skin_map_network(SkinMapCard("other"), head)
    elsewhere.place_L2 += 0.1
    with pytest.raises(AssetError, match="other"):
        elsewhere.check_head(head)


def test_shares_of_kinds_add_up() -> None:
    kinds = np.zeros((5, SIZE, SIZE), np.float32)
    kinds[Kind.SKIN, :128], kinds[Kind.FACIAL_HAIR, 128:] = 1, 1
    skin_map = SkinMap(kinds)
    assert skin_map.share(Kind.SKIN, size=512)[:200].min() == 1
    assert skin_map.share(Kind.SKIN, size=512)[300:].max() == 0
    assert np.allclose(skin_map.share(Kind.SKIN, Kind.FACIAL_HAIR, size=512), 1)


def test_a_shadow_that_may_be_hair_is_no_moustache() -> None:
    kinds, below_nose = np.zeros((5, SIZE, SIZE), np.float32), np.zeros((SIZE, SIZE), bool)
    below_nose[100:120, 100:140] = True
    kinds[Kind.FACIAL_HAIR, 105:108, 110:130] = 0.9
    assert not _has_moustache(SkinMap(kinds), below_nose)
    kinds[Kind.FACIAL_HAIR, 105:115, 100:140] = 0.9
    assert _has_moustache(SkinMap(kinds), below_nose)
    assert not _has_moustache(SkinMap(kinds), np.zeros((SIZE, SIZE), bool))


def test_what_the_map_calls_glasses_is_not_believed(head) -> None:
    """Even where its colour is the skin's."""
    texels = texels_of(head, SIZE)
    seen_HW = texels.covered_HW
    view = SimpleNamespace(
        facing_HW=np.ones((SIZE, SIZE), np.float32), normals_HW3=np.full((SIZE, SIZE, 3), 0.577, np.float32)
    )
    kinds = np.zeros((5, SIZE, SIZE), np.float32)
    kinds[Kind.SKIN], kinds[Kind.SKIN, 100:130], kinds[Kind.GLASSES, 100:130] = 1, 0, 1
    photo = np.full((SIZE, SIZE, 3), (0.8, 0.6, 0.5), np.float32)
    _, believed_HW = believe(photo, seen_HW, view, regions_of(texels), SIZE, SkinMap(kinds))  # type: ignore[arg-type]
    assert not believed_HW[100:130].any()
    assert (believed_HW | ~seen_HW)[:90].all()


def believed_features(head, *changes: tuple[Kind, float, str, int]) -> tuple[np.ndarray, dict[str, list[np.ndarray]]]:
    """What is believed of a face of skin on which some parts may be something else, with a probability; and parts."""
    texels = texels_of(head, SIZE)
    view = SimpleNamespace(
        facing_HW=np.ones((SIZE, SIZE), np.float32), normals_HW3=np.full((SIZE, SIZE, 3), 0.577, np.float32)
    )
    regions = regions_of(texels)
    kinds = np.zeros((5, SIZE, SIZE), np.float32)
    kinds[Kind.SKIN] = 1
    for kind, chance, part, side in changes:
        where_HW = regions.parts[part][side]
        kinds[kind, where_HW], kinds[Kind.SKIN, where_HW] = chance, 1 - chance
    photo = np.full((SIZE, SIZE, 3), (0.8, 0.6, 0.5), np.float32)
    _, believed_HW = believe(photo, texels.covered_HW, view, regions, SIZE, SkinMap(kinds))  # type: ignore[arg-type]
    parts = {name: [side_HW & texels.covered_HW for side_HW in sides] for name, sides in regions.parts.items()}
    return believed_HW, parts


def test_lids_in_shade_that_may_be_hair_are_skin(head) -> None:
    """Elsewhere on the skin the same chance of hair is too much."""
    believed_HW, parts = believed_features(head, (Kind.HAIR, 0.35, "eyes", 0))
    assert believed_HW[parts["eyes"][0]].mean() > 0.99
    believed_HW, parts = believed_features(head, (Kind.HAIR, 0.35, "eyes", 0), (Kind.HAIR, 0.9, "eyes", 1))
    alone_HW = parts["eyes"][1] & ~parts["brows"][1]
    assert believed_HW[alone_HW].mean() < 0.05 and believed_HW[parts["eyes"][0]].mean() > 0.99


def test_hands_before_the_mouth_and_glasses_are_not_believed(head) -> None:
    believed_HW, parts = believed_features(head, (Kind.OTHER, 0.95, "mouth", 0), (Kind.OTHER, 0.95, "mouth", 1))
    assert believed_HW[parts["mouth"][0] & ~parts["nostrils"][0]].mean() < 0.05
    assert believed_HW[parts["eyes"][0]].mean() > 0.99
    worn_HW, parts = believed_features(head, (Kind.GLASSES, 0.35, "eyes", 0), (Kind.GLASSES, 0.35, "eyes", 1))
    beside_HW = parts["eyes"][0] & ~parts["brows"][0] & ~regions_of(texels_of(head, SIZE)).is_feature_HW
    assert worn_HW[beside_HW].mean() < 0.05
    assert worn_HW[parts["mouth"][0]].mean() > 0.99


def test_loss_counts_what_is_known() -> None:
    logits = torch.zeros(1, 5, 2, 2)
    kinds = torch.tensor([[[0, -1], [-1, -1]]])
    # All kinds are as likely; 2 % of the label are spread over the kinds by their weights, of mean 1.38.
    expected = np.log(5) * (0.98 + 0.02 * 1.38)
    assert skin_map_loss(logits, kinds).item() == pytest.approx(expected, abs=1e-4)
    logits[0, 3, 0, 1] = 100  # wrong, but nobody knows
    assert skin_map_loss(logits, kinds).item() == pytest.approx(expected, abs=1e-4)


def test_drawn_glasses_are_where_their_label_is(carrier, head) -> None:
    ones = np.ones((SIZE, SIZE), np.float32)
    place = Place(
        np.zeros((SIZE, SIZE, 3), np.float32), np.dstack(np.meshgrid(*[np.linspace(-80, 80, SIZE)] * 2)), ones
    )
    white = np.full((SIZE, SIZE, 3), 0.6, np.float32)
    picture, opacity = glasses(white, place.__class__(place.skin_HW3, place.photo_HW2.astype(np.float32), ones),
                               np.random.default_rng(5), [])  # fmt: skip
    changed = np.abs(picture - white).max(-1)
    assert opacity.max() > 0.5 and changed[opacity > 0.5].min() > 0.02
    assert changed[:40].max() < 0.05  # nothing far above


def test_pictures_tell_what_was_drawn(carrier, head) -> None:
    maker = PictureMaker(head, [carrier])
    kinds = np.zeros(5)
    for seed in range(12):
        picture = maker.picture(np.random.default_rng(seed))
        assert (picture.kind_HW[picture.seen_HW == 0] == UNKNOWN).all()
        assert picture.photo_HW3.min() >= 0 and picture.photo_HW3.shape == (SIZE, SIZE, 3)
        kinds += [(picture.kind_HW == kind).sum() for kind in Kind]
    assert (kinds > 0).all() and kinds[Kind.SKIN] > kinds[1:].max()


def test_earlier_network_fills_what_is_not_known(carrier) -> None:
    class Sure:
        def read(self, seen: Seen) -> torch.Tensor:
            chance = torch.full((1, 5, SIZE, SIZE), 0.01)
            chance[:, Kind.HAIR, :, :128], chance[:, Kind.SKIN, :, 128:] = 0.96, 0.96
            return chance

    kind = carrier.kind_HW.copy()
    kind[:128] = UNKNOWN
    unknown = replace(carrier, kind_HW=kind)
    told = told_again(unknown, Sure(), np.zeros((SIZE, SIZE), bool)).kind_HW  # type: ignore[arg-type]
    is_seen = carrier.seen_HW
    assert (told[:128, :128][is_seen[:128, :128]] == Kind.HAIR).all()
    assert (told[128:, 128:][is_seen[128:, 128:]] == Kind.SKIN).all()
    assert (told[128:, :128][is_seen[128:, :128]] == UNKNOWN).all()  # they contradict each other
    spared = told_again(unknown, Sure(), np.ones((SIZE, SIZE), bool)).kind_HW  # type: ignore[arg-type]
    np.testing.assert_array_equal(spared, kind)


def test_a_beard_is_what_is_unlike_the_cheeks(head) -> None:
    """She has none; a rough dark one is painted, and told only of people who are said to have one."""
    models, pixels = load_models(OPENHEAD, BUILTIN_WEIGHTS), data.astronaut()[:300, 90:390].copy()
    labeller = Labeller(head)

    def labelled(bearded: bool) -> np.ndarray:
        laid = lay_out(pixels, face.vertices(), face.to_photo(), face.head, face.landmarks_L2)
        kind = labeller.label(laid, True, bearded)
        assert kind is not None
        return kind

    (face,) = reconstruct(Photo(pixels, "she"), path="she", models=models, max_faces=1, texture_size=None)
    smooth_HW = labelled(True)
    chin_L2 = face.landmarks_L2[[17, 313, 421, 428, 199, 208, 201, 83]]
    mask = cv2.fillPoly(np.zeros(pixels.shape[:2], np.uint8), [chin_L2.round().astype(np.int32)], (1,)) > 0
    pixels[mask] = (pixels[mask] * np.random.default_rng(0).uniform(0.2, 0.5, (mask.sum(), 1))).astype(np.uint8)
    painted_HW = labelled(True)
    beard_HW = (painted_HW == Kind.FACIAL_HAIR) & (smooth_HW == Kind.SKIN) & labeller.low_HW
    assert beard_HW.sum() > 150, beard_HW.sum()
    assert (labelled(False)[beard_HW] != Kind.FACIAL_HAIR).all()


def test_training_learns_and_goes_on(carrier, head, tmp_path: Path) -> None:
    from deca_training.skin_map import trainer

    pictures = PictureMaker(head, [carrier])
    rng = np.random.default_rng(0)
    stored = np.stack([trainer._stored(pictures.picture(rng)) for _ in range(2)])
    (tmp_path / "run" / "pictures").mkdir(parents=True)
    for block in range(5):
        np.save(tmp_path / "run" / "pictures" / f"{block:06}.npy", np.repeat(stored, 16, 0))
    run = Run(tmp_path / "run", tmp_path / "run.safetensors", [carrier], 12)
    run._held_out = stored
    run.train()
    again = Run(tmp_path / "run", tmp_path / "run.safetensors", [carrier], 12)
    assert again.step == 12
    before = skin_map_network(SkinMapCard("x"), head)
    kept = Run(tmp_path / "run", tmp_path / "run.safetensors", [carrier], 12, start=before, keep=1.0).averaged()
    assert all(torch.equal(kept.state_dict()[name], value) for name, value in before.named_parameters())
    seen_parts, kinds = batch_of(stored)
    before = skin_map_loss(skin_map_network(SkinMapCard("x"), head)(run.network.inputs(seen_parts)), kinds)
    run.network.train()
    after = skin_map_loss(run.network(run.network.inputs(seen_parts)), kinds)
    assert after < 0.9 * before
    assert 0 <= overlaps(load_skin_map(tmp_path / "run.safetensors"), stored)["skin"] <= 1


@pytest.mark.parametrize("cloth", [(236, 238, 243), (110, 160, 205), (25, 25, 28)])
def test_a_face_behind_cloth_gets_the_colour_of_its_skin(cloth: tuple[int, int, int]) -> None:
    """The map may take even cloth for skin; by its colour it is none. The whole face's own skin is the oracle."""
    models, pixels = load_models(OPENHEAD, BUILTIN_WEIGHTS), data.astronaut()[:300, 90:390].copy()
    (face,) = reconstruct(Photo(pixels, "she"), path="she", models=models, max_faces=1, texture_size=512)
    below_eyes_L2 = face.landmarks_L2[[234, 93, 132, 58, 136, 152, 365, 288, 361, 323, 454, 330, 197, 101]]
    cv2.fillPoly(pixels, [below_eyes_L2.round().astype(np.int32)], cloth)
    (masked,) = reconstruct(Photo(pixels, "she"), path="she", models=models, max_faces=1, texture_size=512)
    assert face.texture is not None and masked.texture is not None
    cheek = np.s_[250:330, 150:200]
    bare, behind = (np.median(f.texture.albedo_NN3[cheek], (0, 1)).astype(float) for f in (face, masked))
    assert np.abs(bare - behind).max() < 40, (bare, behind)
