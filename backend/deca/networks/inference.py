"""The networks as the product runs them: on a device, fast, without gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import fuse_conv_bn_eval

from deca.errors import OptionError
from deca.files import file_hash
from deca.networks.checkpoint import OFFICIAL_CARD, Card, Checkpoint, load_checkpoint
from deca.networks.codes import Codes
from deca.networks.conformance import check_conformance
from deca.networks.encoders import Encoder
from deca.networks.face_descriptor import CHIP_SIZE, FaceFeatures
from deca.networks.onnx_runtime import OnnxNetwork, is_installed
from deca.networks.random_weights import random_checkpoint
from deca.networks.shape_encoder import face_chips
from deca.vision.landmarks import NUM_LANDMARKS
from deca_blender.protocol.conventions import CROP_SIZE

Runtime = Literal["auto", "torch", "onnx"]


class Networks:
    """E_c, E_d and F_d for inference, and the shape encoder where the weights have one.

    On the CPU ONNX Runtime runs them where it is installed, else torch with batch normalisation folded and channels
    last; both agree with the plain modules to 1e-4 in the codes and 1e-7 m in the map. On CUDA the backbones run in
    half precision.

    Args:
        checkpoint: The networks. They are taken over: their weights are changed in place or let go.
        device: torch device.
        runtime: `auto`, or `torch` or `onnx` to insist.
        half: Backbones in half precision; by default on CUDA only.

    Attributes:
        card: Where the weights come from, and which head model they belong to (`check_head`).
        sizes: Lengths of the codes.
        device: Where results are.
        runtime: `torch` or `onnx`.
        half: Whether the backbones run in half precision.
        age_D: What +20 years add to detail codes; None where the weights do not know.

    Raises:
        OptionError: ONNX Runtime was asked for where it is not installed or not on the CPU.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: str | torch.device = "cpu",
        runtime: Runtime = "auto",
        half: bool | None = None,
    ) -> None:
        self.card = checkpoint.card
        self.sizes = checkpoint.card.sizes
        self.hash = ""
        self.age_D = checkpoint.age_D
        self.device = torch.device(device)
        self.half = self.device.type == "cuda" if half is None else half
        self.runtime = self._choose(runtime)
        sizes = self.sizes
        image = (torch.zeros(1, 3, CROP_SIZE, CROP_SIZE),)
        codes = tuple(torch.zeros(1, size) for size in (sizes.detail, sizes.expression, 3))
        self._coarse_encoder = self._runner(checkpoint.coarse_encoder, image)
        self._reads_landmarks = checkpoint.detail_encoder.reads_landmarks
        landmarks = (torch.zeros(1, NUM_LANDMARKS, 2),) if self._reads_landmarks else ()
        self._detail_encoder = self._runner(checkpoint.detail_encoder, (*image, *landmarks))
        self._detail_decoder = self._runner(checkpoint.detail_decoder, codes)
        self._shape_encoder = checkpoint.shape_encoder
        if self._shape_encoder is not None:
            self._shape_encoder.requires_grad_(False).to(self.device)
            self._face_features = self._runner(FaceFeatures.load(), (torch.zeros(1, 3, CHIP_SIZE, CHIP_SIZE),))

    @classmethod
    def load(cls, path: str | Path, device: str | torch.device = "cpu", runtime: Runtime = "auto") -> Networks:
        """The networks of DECA's `deca_model.tar` or of a weights file of ours.

        Raises:
            AssetError: See `load_checkpoint`; or the networks do not answer as the file says (`conformance`).
            OptionError: See the class.
        """
        checkpoint = load_checkpoint(path)
        networks = cls(checkpoint, device, runtime)
        networks.hash = file_hash(Path(path))
        if checkpoint.conformance:
            coarse, decoder = (partial(networks._run, r) for r in (networks._coarse_encoder, networks._detail_decoder))
            shape = networks.encode_shape if checkpoint.shape_encoder is not None else None
            detail = networks.encode_detail
            check_conformance(checkpoint.conformance, coarse, detail, decoder, networks.sizes, shape)
        return networks

    @classmethod
    def random(
        cls,
        seed: int = 0,
        card: Card = OFFICIAL_CARD,
        device: str | torch.device = "cpu",
        runtime: Runtime = "torch",
    ) -> Networks:
        """Networks of the card's backbone and sizes with random weights: `Networks.random(card=Card.of(head))`."""
        return cls(random_checkpoint(seed, card), device, runtime)

    def encode(self, images_B3HW: Tensor, landmarks_BL3: Tensor | None = None) -> tuple[Codes, Tensor]:
        """Codes of crops.

        Args:
            images_B3HW: (B, 3, 224, 224) RGB in 0..1, as `deca.vision.warp_crop` makes them.
            landmarks_BL3: MediaPipe's landmarks (B, 478, 3) on them, pixels, with depth. Where they are given and the
                weights have a shape encoder, the shape is its, else E_c's.

        Returns:
            The coarse codes, and the detail codes (B, D); float32 on `device`.

        Raises:
            OptionError: E_d needs landmarks and there are none.
        """
        codes = Codes.split(self._run(self._coarse_encoder, images_B3HW), self.sizes)
        if self._shape_encoder is not None and landmarks_BL3 is not None:
            codes = replace(codes, shape_BS=self.encode_shape(images_B3HW, landmarks_BL3))
        return codes, self.encode_detail(images_B3HW, landmarks_BL3)

    def encode_shape(self, images_B3HW: Tensor, landmarks_BL3: Tensor) -> Tensor:
        """The shape encoder's coefficients (B, S), of crops and landmarks as `encode` takes them.

        Raises:
            OptionError: The weights have no shape encoder.
        """
        if self._shape_encoder is None:
            raise OptionError("These weights have no shape encoder.", "Let E_c give the shape (`encode`).")
        landmarks_BL3 = landmarks_BL3.float()
        features_BF = self._run(self._face_features, face_chips(images_B3HW.float(), landmarks_BL3))
        return self._run(self._shape_encoder, features_BF, landmarks_BL3)

    def encode_detail(self, images_B3HW: Tensor, landmarks_BL3: Tensor | None = None) -> Tensor:
        """Detail codes (B, D) alone, of crops and landmarks as `encode` takes them.

        Raises:
            OptionError: E_d needs landmarks and there are none.
        """
        if not self._reads_landmarks:
            return self._run(self._detail_encoder, images_B3HW)
        if landmarks_BL3 is None:
            raise OptionError("E_d of these weights reads the skin by landmarks.", "Give the photo's landmarks.")
        return self._run(self._detail_encoder, images_B3HW, landmarks_BL3[..., :2])

    def aged(self, detail_BD: Tensor, age: float) -> Tensor:
        """Detail codes of the same people at another age; 1 is about 20 years older, -1 younger, 0 changes nothing.

        Raises:
            OptionError: The weights do not know how wrinkles change with age.
        """
        if age == 0:
            return detail_BD
        if self.age_D is None:
            raise OptionError(
                "These weights do not know how wrinkles change with age.", "Put Wrinkle Age to 0, or use other weights."
            )
        return detail_BD + age * self.age_D.to(detail_BD)

    def displacement(self, detail_BD: Tensor, expression_BE: Tensor, jaw_pose_B3: Tensor) -> Tensor:
        """Displacement maps (B, 1, 256, 256) in metres; see `DetailDecoder`."""
        return self._run(self._detail_decoder, detail_BD, expression_BE, jaw_pose_B3)

    def _run(self, runner: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        with torch.inference_mode():
            result = runner(*(tensor.detach().to(self.device, torch.float32) for tensor in inputs)).float()
        return result.clone()  # outside of inference mode: gradients may start at the codes

    def _choose(self, runtime: Runtime) -> Runtime:
        possible = self.device.type == "cpu" and not self.half and is_installed()
        if runtime == "onnx" and not possible:
            raise OptionError(
                f"ONNX Runtime cannot run the networks on {self.device}{' in half precision' * self.half}.",
                "Install the extra `deca-blender[onnx]` and choose the device cpu, or choose the runtime torch.",
            )
        if runtime == "auto":
            return "onnx" if possible else "torch"
        return runtime

    def _runner(self, network: nn.Module, example: tuple[Tensor, ...]) -> Callable[..., Tensor]:
        if self.runtime == "onnx":
            runner = OnnxNetwork(network, example)
            network.to("meta")  # the session has its own copy of the weights
            return runner
        network = fold_batch_norm(network.requires_grad_(False)).to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if not isinstance(network, Encoder) or network.encoder.reads_landmarks:
            return network
        if self.half:
            network.encoder.half()
        dtype = torch.float16 if self.half else torch.float32
        return lambda image: network(image.to(dtype, memory_format=torch.channels_last))


def fold_batch_norm(network: nn.Module) -> nn.Module:
    """Folds each batch normalisation into the convolution registered right before it, in place; for inference only.

    In the networks of this room that neighbour is always the layer whose output it normalises.
    """
    for parent in list(network.modules()):
        children = list(parent.named_children())
        for (name, conv), (norm_name, norm) in pairwise(children):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(parent, name, fuse_conv_bn_eval(conv, norm))
                setattr(parent, norm_name, nn.Identity())
    return network
