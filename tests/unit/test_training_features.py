"""Face recognition networks: against the answers of other implementations, and chips against OpenCV's."""

from __future__ import annotations

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
import skimage.transform
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from deca.appearance.albedo import load_albedo
from deca.errors import AssetError, OptionError
from deca.head import load_head
from deca.head.layer import HeadLayer
from deca.networks.face_descriptor import FaceDescriptor
from deca.render.camera import project
from deca.render.lighting import grey_light
from deca.render.renderer import Renderer
from deca.vision import find_faces
from deca.vision.chips import _ALIGNED, _AVERAGE_X, _AVERAGE_Y, box_chip, dlib_chip
from deca.vision.crop import crop_from_landmarks, warp_crop
from deca.vision.photo import Photo
from deca_training.data.landmarks import MIRROR_68, ibug_from_mediapipe
from deca_training.features.identity import VggFace2Network, load_identity_network

REFERENCE = Path(__file__).resolve().parents[1] / "data" / "training" / "face_descriptor_reference.npz"


@pytest.fixture(scope="module")
def descriptor() -> FaceDescriptor:
    return FaceDescriptor.load()


@pytest.fixture(scope="module")
def astronaut() -> tuple[Tensor, Tensor]:
    """A crop (1, 3, 224, 224) and its 68 landmarks in picture coordinates."""
    photo = Photo(skimage.data.astronaut())
    (face, *_) = find_faces(photo)
    points_L2 = ibug_from_mediapipe(face.landmarks_L3)[:, :2]
    to_crop = crop_from_landmarks(points_L2, 1.6)
    places_L2 = (points_L2 @ to_crop[:2, :2].T + to_crop[:2, 2]) / 112 - 1
    return torch.from_numpy(warp_crop(photo.pixels, to_crop))[None], torch.from_numpy(places_L2).float()[None]


def rendered_head() -> tuple[Tensor, Tensor]:
    """OpenHead's average, drawn, and its landmarks."""
    head = load_head()
    layer, pose, camera = HeadLayer(head, 1, 1), torch.zeros(1, 5, 3), torch.tensor([[7.0, 0.0, 0.0]])
    verts = layer(torch.zeros(1, 1), torch.zeros(1, 1), pose)
    points = layer.landmarks_68(verts, pose)
    camera[0, 1:] = -points[0, :, :2].mean(0)
    surface = Renderer.of_head(head)(verts, project(verts, camera))
    albedo = load_albedo("openhead", 1)(torch.zeros(1, 1))
    return surface.shade(albedo, grey_light()).image_B3HW.clamp(0, 1), project(points, camera)[..., :2]


# --- dlib's descriptor


def test_descriptor_equals_that_of_another_implementation(descriptor: FaceDescriptor) -> None:
    """face-api run by tfjs, which the weights are from (tools/convert_face_descriptor.py --reference)."""
    with np.load(REFERENCE) as reference:
        chips = torch.from_numpy(reference["chips"]).permute(0, 3, 1, 2).float() / 255
        expected = reference["descriptors"]
    found = descriptor.descriptor(chips)
    assert np.abs(found.numpy() - expected).max() < 2e-6
    assert torch.allclose(descriptor(chips), functional.normalize(torch.from_numpy(expected)), atol=2e-6)


def test_descriptor_knows_a_face_again(astronaut: tuple[Tensor, Tensor], descriptor: FaceDescriptor) -> None:
    """dlib's threshold is 0.6: mirrored, turned, darkened it is the same person; a rendered average head is another."""
    image, points = astronaut
    mirrored = points[:, MIRROR_68] * torch.tensor([-1.0, 1.0])
    centre = skimage.transform.SimilarityTransform(translation=(-112, -112))
    turn = centre + skimage.transform.SimilarityTransform(scale=0.8, rotation=0.4, translation=(120, 118))
    turned = cv2.warpAffine(image[0].permute(1, 2, 0).numpy(), turn.params[:2], (224, 224))
    turned_points = turn((points[0].numpy() + 1) * 112) / 112 - 1
    same = {
        "mirrored": dlib_chip(image.flip(-1), mirrored),
        "dark": dlib_chip(image * 0.6, points),
        "turned": dlib_chip(
            torch.from_numpy(turned).permute(2, 0, 1)[None], torch.from_numpy(turned_points)[None].float()
        ),
        "jittered": dlib_chip(
            image, points + 0.01 * torch.randn(points.shape, generator=torch.Generator().manual_seed(0))
        ),
    }
    own = descriptor.descriptor(dlib_chip(image, points))
    distances = {name: float((descriptor.descriptor(chip) - own).norm()) for name, chip in same.items()}
    assert max(distances.values()) < 0.4, distances
    other = descriptor.descriptor(dlib_chip(*rendered_head()))
    assert float((other - own).norm()) > 0.6


def test_descriptor_is_frozen_and_differentiable(astronaut: tuple[Tensor, Tensor]) -> None:
    """The gradient by the picture is what finite differences say along it."""
    network = load_identity_network().train()
    assert not any(parameter.requires_grad for parameter in network.parameters())
    image, points = astronaut
    picture = image.clone().requires_grad_()
    aim = torch.linspace(-1, 1, 128)
    (network(picture, points)[0] @ aim).backward()
    assert picture.grad is not None
    step = 1e-3 * picture.grad / picture.grad.norm()
    change = float((network(image + step, points) - network(image - step, points))[0] @ aim) / 2
    assert change == pytest.approx(float((step * picture.grad).sum()), rel=0.02)


def test_descriptor_is_computed_in_float32(astronaut: tuple[Tensor, Tensor]) -> None:
    network, (image, points) = load_identity_network(), astronaut
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = network(image.bfloat16(), points)
    assert found.dtype == torch.float32
    assert torch.allclose(found, network(image.bfloat16().float(), points), atol=1e-6)
    assert float(found.norm()) == pytest.approx(1)


def test_damaged_descriptor_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "face_descriptor.safetensors"
    for content in (b"not a safetensors file", None):
        if content is None:
            save_file({"fc": torch.zeros(128, 256)}, path)
        else:
            path.write_bytes(content)
        with pytest.raises(AssetError, match="face_descriptor"):
            FaceDescriptor.load(path)


# --- chips


def test_dlib_chip_equals_opencv(astronaut: tuple[Tensor, Tensor]) -> None:
    """The same least squares by NumPy, the same pixels by OpenCV, both counting pixels as dlib does."""
    image, points = astronaut
    average = (np.array([_AVERAGE_X, _AVERAGE_Y]).T + 0.25) / 1.5 * 150
    pixels = (points[0, _ALIGNED].numpy() + 1) * 112 - 0.5
    columns_x = np.stack((average[:, 0], -average[:, 1], np.ones(33), np.zeros(33)), 1)
    columns_y = np.stack((average[:, 1], average[:, 0], np.zeros(33), np.ones(33)), 1)
    cos, sin, x, y = np.linalg.lstsq(np.concatenate((columns_x, columns_y)), pixels.T.ravel(), rcond=None)[0]
    fit = np.array([[cos, -sin, x], [sin, cos, y]])
    picture = image[0].permute(1, 2, 0).numpy()
    expected = cv2.warpAffine(picture, fit, (150, 150), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    found = dlib_chip(image, points)[0].permute(1, 2, 0).numpy()
    assert np.abs(found - expected).max() < 0.05  # OpenCV rounds places to 1/32 pixel
    assert np.abs(found - expected).mean() < 0.002


def test_chips_show_the_face_wherever_it_is(astronaut: tuple[Tensor, Tensor]) -> None:
    """Moved by 10 pixels, with its landmarks, the face gives the same chip."""
    image, points = astronaut
    moved = functional.pad(image, (10, -10, -6, 6))
    shift = torch.tensor([10.0, -6.0]) / 112
    for chip in (dlib_chip, box_chip):
        difference = (chip(moved, points + shift) - chip(image, points)).abs()
        assert float(difference.mean()) < 1e-3


def test_box_chip_is_a_square_around_the_landmarks(astronaut: tuple[Tensor, Tensor]) -> None:
    _, points = astronaut
    columns, rows = torch.meshgrid(torch.arange(224) + 0.5, torch.arange(224) + 0.5, indexing="xy")
    places = torch.stack((columns, rows, rows * 0))[None] / 112 - 1
    chip = box_chip(places, points)[0, :2]
    low, high = points[0].min(0).values, points[0].max(0).values
    side = 1.3 * (high - low).mean()
    centre = (low + high) / 2 - torch.tensor([0, 0.05 * side])
    assert torch.allclose(chip[:, 111:113, 111:113].mean((1, 2)), centre, atol=1e-3)
    assert float(chip[0, 100, 200] - chip[0, 100, 20]) == pytest.approx(float(side) * 180 / 224, abs=1e-3)


def test_chips_carry_gradients() -> None:
    random = torch.Generator().manual_seed(0)
    points = torch.rand(1, 68, 2, generator=random, dtype=torch.float64) - 0.5
    image = torch.rand(1, 3, 8, 8, generator=random, dtype=torch.float64, requires_grad=True)
    for chip in (dlib_chip, box_chip):
        assert torch.autograd.gradcheck(lambda x, chip=chip: chip(x, points, 6), [image])


@pytest.mark.parametrize(("shape", "landmarks"), [((2, 3, 8, 9), (2, 68, 2)), ((2, 3, 8, 8), (2, 478, 2))])
def test_chips_need_square_pictures_and_68_landmarks(shape: tuple[int, ...], landmarks: tuple[int, ...]) -> None:
    for chip in (dlib_chip, box_chip):
        with pytest.raises(OptionError):
            chip(torch.zeros(shape), torch.zeros(landmarks))


# --- VGGFace2's network


@pytest.fixture(scope="module")
def vggface2_state() -> dict[str, Tensor]:
    """Made-up weights with the names and shapes of the published ones, with the classifier."""
    random = torch.Generator().manual_seed(0)
    state = {"conv1.weight": torch.randn(64, 3, 7, 7, generator=random) * 0.1}

    def norm(name: str, width: int) -> None:
        for role, low in (("weight", 0.5), ("bias", -0.1), ("running_mean", -0.1), ("running_var", 0.5)):
            state[f"{name}.{role}"] = torch.rand(width, generator=random) * (1 if low > 0 else 0.2) + low

    norm("bn1", 64)
    inputs = 64
    for stage, depth in enumerate((3, 4, 6, 3)):
        width = 64 << stage
        for index in range(depth):
            block = f"layer{stage + 1}.{index}"
            sizes = {"conv1": (inputs, width, 1), "conv2": (width, width, 3), "conv3": (width, 4 * width, 1)}
            if not index:
                sizes["downsample.0"] = (inputs, 4 * width, 1)
            for name, (into, out, kernel) in sizes.items():
                spread = (2 / (into * kernel**2)) ** 0.5
                state[f"{block}.{name}.weight"] = torch.randn(out, into, kernel, kernel, generator=random) * spread
                norm(f"{block}.{name.replace('conv', 'bn').replace('downsample.0', 'downsample.1')}", out)
            inputs = 4 * width
    state["fc.weight"], state["fc.bias"] = torch.zeros(10, 2048), torch.zeros(10)
    return state


def caffe_resnet50(state: dict[str, Tensor], chip: Tensor) -> Tensor:
    """Caffe's ResNet50 written out: strides on the 1 x 1 convolutions, blue first, pooling that rounds up."""

    def layer(x: Tensor, conv: str, norm: str, stride: int = 1, pad: int = 0) -> Tensor:
        x = functional.conv2d(x, state[f"{conv}.weight"], None, stride, pad)
        mean, var, weight, bias = (
            state[f"{norm}.{role}"][:, None, None] for role in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / torch.sqrt(var + 1e-5) * weight + bias

    x = 255 * chip[:, [2, 1, 0]] - torch.tensor([91.4953, 103.8827, 131.0912])[:, None, None]
    x = torch.relu(layer(x, "conv1", "bn1", 2, 3))
    x = functional.max_pool2d(functional.pad(x, (0, 1, 0, 1), value=-torch.inf), 3, 2)
    for stage, depth in enumerate((3, 4, 6, 3), start=1):
        for index in range(depth):
            block, stride = f"layer{stage}.{index}", 2 if stage > 1 and not index else 1
            y = torch.relu(layer(x, f"{block}.conv1", f"{block}.bn1", stride))
            y = torch.relu(layer(y, f"{block}.conv2", f"{block}.bn2", 1, 1))
            y = layer(y, f"{block}.conv3", f"{block}.bn3")
            short = x if index else layer(x, f"{block}.downsample.0", f"{block}.downsample.1", stride)
            x = torch.relu(short + y)
    assert x.shape[-2:] == (7, 7)
    return functional.normalize(functional.avg_pool2d(x, 7).flatten(1))


@pytest.mark.parametrize("kind", ["torch", "safetensors", "pickle", "wrapped"])
def test_vggface2_network_equals_caffe_written_out(
    kind: str, vggface2_state: dict[str, Tensor], tmp_path: Path
) -> None:
    path = tmp_path / f"resnet50_ft.{'safetensors' if kind == 'safetensors' else 'pkl'}"
    if kind == "torch":
        torch.save(vggface2_state, path)
    elif kind == "safetensors":
        save_file(vggface2_state, path)
    elif kind == "wrapped":
        torch.save({"state_dict": {f"module.{key}": value for key, value in vggface2_state.items()}}, path)
    else:
        path.write_bytes(pickle.dumps({key: value.numpy() for key, value in vggface2_state.items()}, protocol=3))
    chip = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    network = VggFace2Network.load(path).train()
    assert torch.allclose(network(chip), caffe_resnet50(vggface2_state, chip), atol=1e-5)


def test_identity_network_of_a_file(
    vggface2_state: dict[str, Tensor], astronaut: tuple[Tensor, Tensor], tmp_path: Path
) -> None:
    path = tmp_path / "resnet50_ft.pth"
    torch.save(vggface2_state, path)
    network = load_identity_network(path)
    image, points = astronaut
    assert network.name == "ResNet50 of resnet50_ft.pth"
    assert torch.allclose(network(image, points), caffe_resnet50(vggface2_state, box_chip(image, points)), atol=1e-5)


def test_other_weights_are_refused(vggface2_state: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    with pytest.raises(AssetError, match="do not exist"):
        load_identity_network(path)
    torch.save({key: value for key, value in vggface2_state.items() if key != "layer3.2.conv2.weight"}, path)
    with pytest.raises(AssetError, match=r"lacks layer3\.2\.conv2\.weight"):
        load_identity_network(path)
    torch.save({**vggface2_state, "conv1.weight": torch.zeros(64, 3, 3, 3)}, path)
    with pytest.raises(AssetError, match=r"\(64, 3, 3, 3\) for conv1\.weight"):
        load_identity_network(path)
    torch.save([1, 2], path)
    with pytest.raises(AssetError, match="no named tensors"):
        load_identity_network(path)
    torch.save({"epoch": 3}, path)
    with pytest.raises(AssetError, match="'epoch', which is no tensor"):
        load_identity_network(path)


class Harm:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return __import__("os").system, ("touch harm",)


@pytest.mark.parametrize("save", [lambda value, path: torch.save(value, path),
                                  lambda value, path: path.write_bytes(pickle.dumps(value, protocol=2))])  # fmt: skip
def test_files_with_code_are_refused(save: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save({"conv1.weight": Harm()}, tmp_path / "bad.pth")  # type: ignore[operator]
    with pytest.raises(AssetError, match=r"bad\.pth"):
        load_identity_network(tmp_path / "bad.pth")
    assert not (tmp_path / "harm").exists()
