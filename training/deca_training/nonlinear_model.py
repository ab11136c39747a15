"""The nonlinear face model as the trainer has it: networks with fresh weights, the head, what a step makes of codes.

Shape suffixes: B batch, V vertices, L landmarks, C channels, H W rows and columns of the window of the UV map, Y of
crops.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from deca.appearance.albedo import AlbedoModel, load_albedo
from deca.head import HeadModel, load_head
from deca.networks import Codes, load_checkpoint
from deca.networks.nonlinear import NonlinearCard, NonlinearNetworks, Pair, load_nonlinear
from deca.reconstruct.nonlinear import NonlinearHead, TexelView
from deca.render.camera import project
from deca_training.batch import Batch
from deca_training.config import Recipe
from deca_training.model import start_encoder
from deca_training.pretrained import start_backbone
from deca_training.trained_model import TrainedModel

_FREE_SPREAD = 100.0
"""What `start_encoder` leaves of a code's spread, by chance, is about a hundredth; measured on portraits."""


@dataclass(frozen=True)
class Shape:
    """Shapes of a batch, true or proxy.

    Attributes:
        displacement_B3HW: D_S's displacement, metres.
        verts_BV3: Posed vertices.
        view: What the photos show of them.
    """

    displacement_B3HW: Tensor
    verts_BV3: Tensor
    view: TexelView


class NonlinearModel(TrainedModel):
    """E, D_S and D_A of a recipe, and the frozen parts around them.

    Args:
        recipe: Names the head and albedo models, the backbone and the sizes.
        head: Instead of loading the recipe's.
        albedo: Likewise.

    Raises:
        AssetError: A model is missing or damaged, or they do not belong together.
    """

    networks: NonlinearNetworks

    def __init__(self, recipe: Recipe, head: HeadModel | None = None, albedo: AlbedoModel | None = None) -> None:
        super().__init__()
        self.recipe = recipe
        head = head or load_head(recipe.head)
        albedo = albedo or load_albedo(recipe.albedo, recipe.decoders.linear_albedo)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            networks = NonlinearNetworks(card_of(recipe, head))
        start_backbone(networks.encoder.encoder, head)
        # On a CPU channels last halves the time of a step.
        self.networks = networks.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network_names = ("networks",)
        self.face = NonlinearHead(head, albedo, recipe.decoders, recipe.sizes.expression)
        start_encoder(networks.encoder, recipe.sizes, self._mean_landmarks[:, :2], recipe.augmentation)
        self._spread_free_codes()

    @torch.no_grad()
    def _spread_free_codes(self) -> None:
        """Has the codes beyond the linear models' begin spread, by chance, so that decoders tell photos apart at once,
        and codes that are optimised move in steps of about their size."""
        sizes, decoders = self.recipe.sizes, self.recipe.decoders
        last = self.networks.encoder.layers[-1]
        assert isinstance(last, nn.Linear)
        last.weight[decoders.linear_shape : sizes.shape] *= _FREE_SPREAD
        last.weight[sizes.shape + decoders.linear_albedo : sizes.shape + sizes.albedo] *= _FREE_SPREAD

    @property
    def _mean_landmarks(self) -> Tensor:
        layer = self.face.layer
        return self.landmarks(layer.template_V3[None], torch.zeros(1, 5, 3))[0]

    def trained_networks(self) -> Iterator[nn.Module]:
        """All of them."""
        yield self.networks

    def states_of(self, weights: Path) -> dict[str, dict[str, Any]]:
        """Those of a nonlinear weights file, E's alone where its decoders have other sizes or switches; of DECA's
        weights E's from E_c. The decoders are fresh then.

        What E_c does not know, the codes beyond the linear models', begins by chance.
        """
        own = self.networks.state_dict()
        if _format_of(weights) == "deca-weights":
            return {"networks": own | self._encoder_from(weights)}
        given = load_nonlinear(weights)
        if given.card.decoders == self.recipe.decoders:
            return {"networks": given.state_dict()}
        return {"networks": own | {f"encoder.{key}": value for key, value in given.encoder.state_dict().items()}}

    def _encoder_from(self, weights: Path) -> dict[str, Tensor]:
        source = load_checkpoint(weights)
        known = source.coarse_encoder.state_dict()
        own = dict(self.networks.encoder.state_dict())
        sizes, theirs = self.recipe.sizes, source.card.sizes
        state = {key: value for key, value in known.items() if key in own and value.shape == own[key].shape}
        for key in (key for key in own if key not in state and key in known):
            rows = []
            for mine, block in zip(own[key].split(sizes.coarse), known[key].split(theirs.coarse), strict=True):
                rows.append(torch.cat((block[: len(mine)], mine[len(block) :])))
            state[key] = torch.cat(rows)
        return {f"encoder.{key}": value for key, value in state.items()}

    def codes(self, image_B3YY: Tensor) -> Codes:
        """E's codes of crops."""
        return self.networks.codes(image_B3YY.contiguous(memory_format=torch.channels_last))

    def with_known(self, codes: Codes, known: Codes | None) -> Codes:
        """Codes with all that is known of them in its place; of f_S and f_A these are leading entries."""
        if known is None:
            return codes
        longer = {
            name: torch.cat((getattr(known, name), getattr(codes, name)[:, getattr(known, name).shape[1] :]), 1)
            for name in ("shape_BS", "albedo_BA")
        }
        return replace(known, **longer)

    def shapes(self, codes: Codes, batch: Batch) -> tuple[Shape, Shape]:
        """The true shape and the proxy, on their photos; one and the same where there is no proxy."""
        pair = self.networks.displacement(codes.shape_BS)
        proxy = self._shape(codes, pair.proxy_B3HW, batch)
        if pair.true_B3HW is pair.proxy_B3HW:
            return proxy, proxy
        return self._shape(codes, pair.true_B3HW, batch), proxy

    def _shape(self, codes: Codes, displacement_B3HW: Tensor, batch: Batch) -> Shape:
        verts_BV3 = self.face.posed(codes, displacement_B3HW)
        view = self.face.view(verts_BV3, codes.camera_B3, batch.image_B3HW, batch.mask_B1HW)
        if batch.seen_B1HW is not None:
            view = replace(view, seen_B1HW=view.seen_B1HW * self.face.shown_on_window(batch.seen_B1HW))
        return Shape(displacement_B3HW, verts_BV3, view)

    def albedos(self, codes: Codes) -> Pair:
        """The true albedo and the proxy of the window, display values."""
        offset = self.networks.albedo_offset(codes.albedo_BA)
        proxy_B3HW = self.face.albedo(codes.albedo_BA, offset.proxy_B3HW)
        if offset.true_B3HW is offset.proxy_B3HW:
            return Pair(proxy_B3HW, proxy_B3HW)
        return Pair(self.face.albedo(codes.albedo_BA, offset.true_B3HW), proxy_B3HW)

    def projected_landmarks(self, codes: Codes, displacement_B3HW: Tensor) -> Tensor:
        """Landmarks (B, L, 2) of heads in picture coordinates; D_S learns nothing from them (Eq. 7).

        Args:
            codes: E's.
            displacement_B3HW: Of the shapes that are rendered, which is near enough where E's own geometry is not.
        """
        verts_BV3 = self.face.posed(codes, displacement_B3HW.detach())
        return project(self.landmarks(verts_BV3, codes.pose_BJ3), codes.camera_B3)[..., :2]

    def landmarks(self, verts_BV3: Tensor, pose_BJ3: Tensor) -> Tensor:
        """As many landmarks (B, L, 3) as the recipe compares."""
        if self.recipe.landmarks == "478":
            return self.face.layer.landmarks_478(verts_BV3)
        return self.face.layer.landmarks_68(verts_BV3, pose_BJ3)

    @cached_property
    def face_V(self) -> Tensor:
        """Numbers of the vertices that displacement moves."""
        return (self.face.share_V1[:, 0] > 0.5).nonzero()[:, 0]


def card_of(recipe: Recipe, head: HeadModel, /, **fields: Any) -> NonlinearCard:
    """The card of a recipe's networks; further fields by name."""
    return NonlinearCard.of(
        head, recipe.sizes, recipe.decoders, backbone=recipe.backbone, reduction=recipe.coarse_reduction, **fields
    )


def _format_of(path: Path) -> str:
    """What a safetensors file says that it is; "" of other files."""
    try:
        with safe_open(str(path), "pt") as file:
            return (file.metadata() or {}).get("format", "")
    except (SafetensorError, OSError):
        return ""
