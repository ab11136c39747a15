"""The shape encoder: where it puts landmarks, what a weights file keeps of it, and that the product asks it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from scipy.spatial.transform import Rotation
from torch import nn

from deca.errors import AssetError, OptionError
from deca.head import load_head
from deca.head.layer import HeadLayer
from deca.networks import (
    Card,
    Checkpoint,
    Codes,
    Networks,
    ShapeEncoder,
    load_checkpoint,
    random_checkpoint,
    save_checkpoint,
)
from deca.networks.face_descriptor import FaceDescriptor, FaceFeatures
from deca.networks.shape_encoder import place
from deca.render.camera import project
from deca_training import landmark_layers
from deca_training.closed_form.shape_encoder import ShapeTruth, by_photos, ridge, with_shape_encoder
from deca_training.cross_photo import Evidence

RUNTIMES = ("torch", "onnx")


def mean_landmarks() -> torch.Tensor:
    head = load_head()
    assert head.landmarks_478 is not None
    return torch.from_numpy(1000 * head.landmarks_478.positions(head.template_V3, head.faces_F3)).float()


def crop_landmarks(seed: int = 0) -> torch.Tensor:
    """The mean head's, on a crop, with some noise."""
    noise_L3 = torch.randn(478, 3, generator=torch.Generator().manual_seed(seed))
    return (mean_landmarks() * torch.tensor((0.9, -0.9, -0.9)) + 112 + noise_L3)[None]


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    plain = random_checkpoint(3, Card.of(load_head(), backbone="mobilenet_v3_large"))
    torch.manual_seed(0)
    encoder = ShapeEncoder(plain.card.sizes.shape)
    encoder.mean_L3.copy_(mean_landmarks())
    return with_shape_encoder(plain, encoder.eval())


def test_landmarks_are_placed_as_procrustes_says() -> None:
    """Against SciPy's rotation between the same points; the irises follow the face."""
    mean_L3, seen_1L3 = mean_landmarks(), crop_landmarks(1)
    turned_1L3 = seen_1L3 @ torch.from_numpy(Rotation.from_euler("xyz", (10, -25, 40), True).as_matrix()).float()
    points, wanted = (value[:468] - value[:468].mean(0) for value in (
        turned_1L3[0].numpy() * (1, -1, -1), mean_L3.numpy()))  # fmt: skip
    rotation = Rotation.align_vectors(wanted, points)[0]
    turned = rotation.apply(points)
    expected = turned * (turned * wanted).sum() / (turned**2).sum() + mean_L3[:468].numpy().mean(0)
    placed_L3 = place(turned_1L3, mean_L3)[0]
    np.testing.assert_allclose(placed_L3[:468], expected, atol=2e-3)
    torch.testing.assert_close(placed_L3, place(3 * seen_1L3 + 50, mean_L3)[0], atol=1e-2, rtol=0)


def test_features_are_halfway_and_at_the_end_of_the_descriptor() -> None:
    chip = torch.rand(2, 3, 150, 150, generator=torch.Generator().manual_seed(0))
    found, descriptor = FaceFeatures.load()(chip), FaceDescriptor.load()
    assert found.shape == (2, FaceFeatures.width)
    assert torch.equal(found[:, : FaceFeatures.map_width], descriptor.maps(chip).flatten(1))
    assert torch.equal(found[:, FaceFeatures.map_width :], descriptor.descriptor(chip))


def test_files_from_before_the_descriptor_was_read_say_the_same_shapes(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """Against the map of such a file, worked out here: maps, then landmarks."""
    encoder = encoder_of(checkpoint)
    features_1F, landmarks_1L3 = torch.randn(1, FaceFeatures.width), crop_landmarks()
    maps = FaceFeatures.map_width
    weight_SX = torch.cat((encoder.layer.weight[:, :maps], encoder.layer.weight[:, FaceFeatures.width :]), 1).detach()
    narrow = nn.Linear(weight_SX.shape[1], len(weight_SX))
    narrow.load_state_dict({"weight": weight_SX, "bias": encoder.layer.bias})
    before = ShapeEncoder(len(weight_SX))
    before.mean_L3.copy_(encoder.mean_L3)
    before.layer = narrow
    save_checkpoint(replace(checkpoint, shape_encoder=before), tmp_path / "old.safetensors")
    inputs_1X = encoder.inputs(features_1F, landmarks_1L3)
    expected = (
        torch.cat((inputs_1X[:, :maps], inputs_1X[:, FaceFeatures.width :]), 1) @ weight_SX.T + encoder.layer.bias
    )
    found = encoder_of(load_checkpoint(tmp_path / "old.safetensors"))(features_1F, landmarks_1L3)
    torch.testing.assert_close(found, expected)


def test_a_map_of_another_form_is_named(checkpoint: Checkpoint, tmp_path: Path) -> None:
    save_checkpoint(checkpoint, tmp_path / "w.safetensors")
    with safe_open(str(tmp_path / "w.safetensors"), "pt") as file:
        metadata, tensors = file.metadata(), {key: file.get_tensor(key) for key in file.keys()}
    for odd in (torch.zeros(5), torch.zeros(())):
        tensors["shape_encoder.layer.weight"] = odd
        save_file(tensors, tmp_path / "odd.safetensors", metadata)
        with pytest.raises(AssetError, match=r"layer\.weight"):
            load_checkpoint(tmp_path / "odd.safetensors")


def encoder_of(checkpoint: Checkpoint) -> ShapeEncoder:
    assert checkpoint.shape_encoder is not None
    return checkpoint.shape_encoder


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_file_with_a_shape_encoder(checkpoint: Checkpoint, runtime: str, tmp_path: Path) -> None:
    """The product's shape is the encoder's where landmarks are given, and E_c's where not; nothing else changes."""
    path = tmp_path / "w.safetensors"
    save_checkpoint(checkpoint, path, torch.float16)
    assert load_checkpoint(path).card.shape_encoder
    networks = Networks.load(path, runtime=runtime)  # type: ignore[arg-type]
    images, landmarks = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(1)), crop_landmarks()
    codes, detail = networks.encode(images, landmarks)
    own, own_detail = networks.encode(images)
    torch.testing.assert_close(codes.shape_BS, networks.encode_shape(images, landmarks))
    assert not torch.allclose(codes.shape_BS, own.shape_BS, atol=0.1)
    assert torch.equal(replace(codes, shape_BS=own.shape_BS).pack(), own.pack()) and torch.equal(detail, own_detail)


def test_a_damaged_shape_encoder_is_noticed(checkpoint: Checkpoint, tmp_path: Path) -> None:
    save_checkpoint(checkpoint, tmp_path / "w")
    damaged = load_checkpoint(tmp_path / "w")
    assert damaged.shape_encoder is not None
    with torch.no_grad():
        damaged.shape_encoder.layer.weight.neg_()
    save_checkpoint(damaged, tmp_path / "w")
    with pytest.raises(AssetError, match="shape is off"):
        Networks.load(tmp_path / "w", runtime="torch")


def test_weights_without_one() -> None:
    networks = Networks.random(card=Card.of(load_head(), backbone="mobilenet_v3_large"))
    images = torch.rand(1, 3, 224, 224)
    assert torch.equal(networks.encode(images, crop_landmarks())[0].pack(), networks.encode(images)[0].pack())
    with pytest.raises(OptionError, match="no shape encoder"):
        networks.encode_shape(images, crop_landmarks())


def test_ridge_equals_the_normal_equations() -> None:
    """Of known data, in the primal form."""
    rng = np.random.default_rng(0)
    width = FaceFeatures.width + 6
    inputs, shape = rng.normal(0, 1, (40, width)), rng.normal(size=(40, 3))
    weight, bias = ridge(inputs, shape)
    spread = inputs.std(0)
    spread[-6:] = np.sqrt((spread[-6:] ** 2).mean() / 0.2)
    scale = 1 / (spread * np.sqrt(np.repeat((8192, 128, 6), (8192, 128, 6))))
    predicted, residual = inputs @ weight + bias, shape - (inputs @ weight + bias)
    assert np.abs(residual).max() < 3 * np.abs(shape).max() and predicted.shape == shape.shape
    # The gradient of the cost is zero: data / 40 + 3e-4 weights.
    gradient = -((inputs - inputs.mean(0)) * scale).T @ residual / 40 + 3e-4 * weight / scale[:, None]
    assert np.abs(gradient).max() < 1e-5


def test_photos_of_real_people_teach_what_their_others_say() -> None:
    """Made-up people whose only input that tells the shape is one of the landmarks, beside synthetic ones of whom
    another one does: both are learnt."""
    rng = np.random.default_rng(0)
    width, shape_dims = FaceFeatures.width + 6, 2
    people = [f"id{k}" for k in range(150) for _ in range(2)]
    true = np.repeat(rng.normal((1.0, 0.0), 1, (150, shape_dims)), 2, axis=0)
    seen, kept = (rng.normal(0, 0.02, (count, width)).astype(np.float32) for count in (300, 100))
    seen[:, -1], answers = true[:, 0], rng.normal(size=(100, shape_dims))
    kept[:, -2] = answers[:, 1]
    # Each photo says |shape - true|^2, but of the second coefficient nothing; one photo is not of a face.
    square, average = np.tile(np.diag([1.0, 0.0]), (300, 1, 1)), true.mean(0) * (1, 0)
    off = true - average
    evidence = Evidence(square, -off * (1, 0), np.square(off[:, 0]))
    evidence.slope_NS[7], evidence.squared_N[7] = 1e4, 1e4
    weight, bias = by_photos(kept, answers, seen, evidence, average, people, np.eye(2))
    assert np.corrcoef((seen @ weight + bias)[:, 0], true[:, 0])[0, 1] > 0.97
    assert np.corrcoef((kept @ weight + bias)[:, 1], answers[:, 1])[0, 1] > 0.9
    assert abs((seen @ weight + bias)[:, 0].mean() - true[:, 0].mean()) < 0.1


def test_truth_of_people_within_the_span_is_their_own() -> None:
    from deca_training.data.synthetic.generate import Generator

    head = load_head()
    truth = ShapeTruth(head, 100)
    inside, _ = Generator().subject(5, 1)
    assert np.linalg.norm(truth(inside) - inside.shape_S[:100]) < 1.5  # coefficients from 100 on say little
    outside, _ = Generator(outside=1.5).subject(5, 1)
    residual = {}
    for name, shape_S in (("own", outside.shape_S[:100]), ("moved", truth(outside))):
        offset_V3 = head.shape_dirs_V3S @ outside.shape_S + outside.offset_V3
        offset_V3 = offset_V3 - head.shape_dirs_V3S[..., :100] @ shape_S
        residual[name] = np.square(truth.of(offset_V3[..., None])).mean()
    assert residual["moved"] < residual["own"]


def test_landmarks_are_learnt_again_and_colours_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Photos of heads that the layers could pose, were their weights a little different."""
    head, card = load_head(), Card.of(load_head(), backbone="mobilenet_v3_large")
    networks = random_checkpoint(5, card)
    sizes, layer = card.sizes, HeadLayer(head, 100, 50)
    features_NF = torch.randn(16, 960, generator=torch.Generator().manual_seed(0)) * 0.3
    shape_NS = torch.zeros(16, 100)
    with torch.no_grad():
        before_NX = networks.coarse_encoder.layers(features_NF)
        codes = Codes.split(before_NX + 0.05 * features_NF[:, : sizes.num_coarse], sizes)
        points_NL3 = layer.landmarks_478(layer(shape_NS, codes.expression_BE, codes.pose_BJ3))
        wanted_NL2 = project(points_NL3, codes.camera_B3)[..., :2]
    monkeypatch.setattr(landmark_layers, "_seen", lambda *_: (features_NF, shape_NS, wanted_NL2))
    monkeypatch.setattr(landmark_layers, "_BATCH", 8)
    monkeypatch.setattr(landmark_layers, "_RATE", 1e-4)  # these layers' numbers are larger than a trained network's
    before, after = landmark_layers.teach_landmarks(networks, head, None, steps=60)  # type: ignore[arg-type]
    assert after < 0.8 * before
    with torch.no_grad():
        moved_NX = (networks.coarse_encoder.layers(features_NF) - before_NX).abs().mean(0) / before_NX.std(0)
    first, last = sizes.shape + sizes.albedo, sizes.num_coarse - sizes.light
    assert moved_NX[:first].mean() < 0.3 and moved_NX[last:].mean() < 0.3
    assert not any(parameter.requires_grad for parameter in networks.coarse_encoder.layers.parameters())


def test_random_weights_have_none(checkpoint: Checkpoint) -> None:
    """Also for the card of weights that have one."""
    networks = random_checkpoint(0, replace(checkpoint.card, backbone="resnet18"))
    assert networks.shape_encoder is None and not networks.card.shape_encoder
