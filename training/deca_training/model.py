"""DECA as one module: the three networks, and what turns their codes into landmarks and pictures.

Shape suffixes: B batch, S shape, A albedo and E expression coefficients, D detail code, V vertices, L landmarks, H W
rows and columns of pictures and UV maps, P rows and columns of the patch of UV maps that shows the face.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from deca.appearance.albedo import AlbedoModel, load_albedo
from deca.head import HeadModel, load_head
from deca.head.layer import HeadLayer
from deca.networks import (
    MAP_SIZE,
    Card,
    CoarseEncoder,
    Codes,
    CodeSizes,
    DetailDecoder,
    DetailEncoder,
    load_checkpoint,
)
from deca.networks.checkpoint import build_networks
from deca.render.camera import crop_pixels, project
from deca.render.detail import DETAIL_MASK, DetailSurface, detail_patch, detail_surface
from deca.render.lighting import SH_CONSTANTS, sh_shading
from deca.render.renderer import Renderer, Surface
from deca.render.uv import photo_texture, uv_mask
from deca_training.batch import Batch
from deca_training.config import Recipe
from deca_training.data.augment import Augmentation
from deca_training.pretrained import start_backbone
from deca_training.trained_model import TrainedModel

NETWORKS = ("coarse_encoder", "detail_encoder", "detail_decoder")


@dataclass(frozen=True)
class Geometry:
    """Heads on their crops.

    Attributes:
        verts_BV3: Posed vertices, head space, metres.
        picture_BV3: Projected to picture coordinates.
        landmarks_BL2: Landmarks in picture coordinates, as many as the recipe compares.
    """

    verts_BV3: Tensor
    picture_BV3: Tensor
    landmarks_BL2: Tensor


@dataclass(frozen=True)
class SkinOnPhoto:
    """What photos show of heads, as patches of UV maps, and what the coarse heads are there; no gradients.

    Attributes:
        texture_B3PP: The photo.
        shown_B1PP: 1 where the photo shows skin of the face.
        hidden_B1PP: 1 where wrinkles may be, but the photo does not show them.
        albedo_B3PP: Albedo.
        coarse_shading_B3PP: Shading without wrinkles.
    """

    texture_B3PP: Tensor
    shown_B1PP: Tensor
    hidden_B1PP: Tensor
    albedo_B3PP: Tensor
    coarse_shading_B3PP: Tensor

    def repeated(self, times: int) -> SkinOnPhoto:
        """The same photos several times, one whole batch after the other."""
        return SkinOnPhoto(*(value.repeat(times, 1, 1, 1) for value in vars(self).values()))


class DecaModel(TrainedModel):
    """The networks of a recipe with fresh weights, and the frozen parts around them.

    E_c starts where an average head under grey light fills the crop, F_d with wrinkles of some hundredths of a
    millimetre.

    Args:
        recipe: Names the head and albedo models, the backbone and the sizes.
        head: Instead of loading the recipe's.
        albedo: Likewise.

    Raises:
        AssetError: A model is missing or damaged, or they do not belong together.
    """

    network_names = NETWORKS
    coarse_encoder: CoarseEncoder
    detail_encoder: DetailEncoder
    detail_decoder: DetailDecoder

    def __init__(self, recipe: Recipe, head: HeadModel | None = None, albedo: AlbedoModel | None = None) -> None:
        super().__init__()
        self.recipe = recipe
        self.head = head or load_head(recipe.head)
        self.albedo = albedo or load_albedo(recipe.albedo, recipe.sizes.albedo)
        self.albedo.check_head(self.head)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            networks = build_networks(card_of(recipe, self.head))
        for name in ("coarse_encoder", "detail_encoder"):
            start_backbone(networks[name].get_submodule("encoder"), self.head)
        for name in NETWORKS:
            # On a CPU channels last halves the time of a step.
            self.add_module(name, networks[name].to(memory_format=torch.channels_last))  # type: ignore[call-overload]
        self.layer = HeadLayer(self.head, recipe.sizes.shape, recipe.sizes.expression)
        self.renderer = Renderer.of_head(self.head, recipe.render_size)
        self.patch = detail_patch(self.head, MAP_SIZE)
        self._start()

    def trained_networks(self) -> Iterator[nn.Module]:
        """Those that the recipe's stage trains."""
        names = ("coarse_encoder",)
        if self.recipe.stage == "detail":
            names = ("detail_encoder", "detail_decoder") if self.recipe.learn_detail_encoder else ("detail_decoder",)
        return (self.get_submodule(name) for name in names)

    def slow_parameters(self) -> Iterator[nn.Parameter]:
        """F_d's last layer, whose output counts in centimetres."""
        return self.detail_decoder.conv_blocks[-1].parameters()

    def states_of(self, weights: Path) -> dict[str, dict[str, Any]]:
        """Those of a weights file of DECA's networks."""
        return {name: network.state_dict() for name, network in load_checkpoint(weights).networks().items()}

    @torch.no_grad()
    def _start(self) -> None:
        sizes = self.recipe.sizes
        zero = torch.zeros(1, sizes.shape), torch.zeros(1, sizes.expression)
        pose_153 = torch.zeros(1, 5, 3)
        points_L2 = self._landmarks(self.layer(*zero, pose_153), pose_153)[0, :, :2]
        start_encoder(self.coarse_encoder, sizes, points_L2, self.recipe.augmentation)
        # The usual start lets the signal die away on its way up, the more so with F_d's large epsilons, and the detail
        # code drown in the expression's coefficients.
        torch.manual_seed(self.recipe.seed)
        for layer in self.detail_decoder.conv_blocks:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, 0.2)
        expressions = slice(3, 3 + sizes.expression)
        self.detail_decoder.l1[0].weight[:, expressions] *= 0.3  # type: ignore[index, operator]
        final = self.detail_decoder.conv_blocks[-1]
        assert isinstance(final, nn.Conv2d) and final.bias is not None
        final.weight.mul_(0.005)
        final.bias.zero_()  # else the whole face starts swollen or shrunk

    def codes(self, image_B3HW: Tensor) -> Codes:
        """E_c's codes of crops."""
        return Codes.split(self.coarse_encoder(_channels_last(image_B3HW)).float(), self.recipe.sizes)

    def detail_codes(self, batch: Batch) -> Tensor:
        """E_d's codes (B, D) of a batch."""
        landmarks_BL2 = crop_pixels(batch.landmarks478_BL3)
        return self.detail_encoder(_channels_last(batch.image_B3HW), landmarks_BL2).float()

    def geometry(self, codes: Codes) -> Geometry:
        """Heads of codes, on their crops."""
        verts_BV3 = self.layer(codes.shape_BS, codes.expression_BE, codes.pose_BJ3)
        landmarks_BL3 = self._landmarks(verts_BV3, codes.pose_BJ3)
        return Geometry(
            verts_BV3, project(verts_BV3, codes.camera_B3), project(landmarks_BL3, codes.camera_B3)[..., :2]
        )

    def _landmarks(self, verts_BV3: Tensor, pose_BJ3: Tensor) -> Tensor:
        if self.recipe.landmarks == "478":
            return self.layer.landmarks_478(verts_BV3)
        return self.layer.landmarks_68(verts_BV3, pose_BJ3)

    def surface(self, geometry: Geometry) -> Surface:
        """Rasterised heads."""
        return self.renderer(geometry.verts_BV3, geometry.picture_BV3)

    def wrinkles(self, detail_BD: Tensor, codes: Codes) -> Tensor:
        """F_d's displacement (B, 1, 256, 256), metres (DECA, Eq. 9)."""
        return self.detail_decoder(detail_BD, codes.expression_BE, codes.jaw_pose_B3).float()

    @torch.no_grad()
    def skin(self, image_B3HW: Tensor, mask_B1HW: Tensor, codes: Codes, geometry: Geometry) -> SkinOnPhoto:
        """What photos show of the coarse heads, in texture space."""
        surface = self.surface(geometry)
        flat = image_B3HW.new_zeros(len(image_B3HW), 1, MAP_SIZE, MAP_SIZE)
        normals_B3HW = self.detail_normals(geometry, flat).coarse_normals_B3HW
        seen_B4HW = torch.cat((image_B3HW, mask_B1HW), 1)
        texture_B4HW, shown_B1HW = photo_texture(
            seen_B4HW, geometry.picture_BV3, surface.vertex_normals_BV3, surface.fragments, self.head, MAP_SIZE
        )
        skin_HW = uv_mask(self.head, DETAIL_MASK, MAP_SIZE, image_B3HW.device)
        shown_B1HW = shown_B1HW * (texture_B4HW[:, 3:] > 0.5) * (skin_HW > 0.5)
        maps = (
            texture_B4HW[:, :3],
            shown_B1HW,
            (1 - shown_B1HW) * skin_HW,
            self.albedo(codes.albedo_BA),
            sh_shading(normals_B3HW, codes.light_B93),
        )
        return SkinOnPhoto(*(map_BCHW[..., *self.patch] for map_BCHW in maps))

    def detail_normals(self, geometry: Geometry, displacement_B1HW: Tensor) -> DetailSurface:
        """The wrinkled surface, its normals without the facets of the coarse mesh, as the product renders it."""
        return detail_surface(geometry.verts_BV3, displacement_B1HW, self.head, smooth=True)

    def detail_shading(self, geometry: Geometry, displacement_B1HW: Tensor, light_B93: Tensor) -> Tensor:
        """Shading (B, 3, P, P) of the wrinkled skin on the face's patch of the UV map (DECA, Eq. 11)."""
        normals_B3HW = self.detail_normals(geometry, displacement_B1HW).normals_B3HW
        return sh_shading(normals_B3HW[..., *self.patch], light_B93)


@torch.no_grad()
def start_encoder(encoder: CoarseEncoder, sizes: CodeSizes, landmarks_L2: Tensor, augmentation: Augmentation) -> None:
    """Has an encoder begin near codes of zero, grey light of strength one, and a camera for the middle of the crops.

    Args:
        encoder: Of codes of these sizes.
        sizes: The sizes.
        landmarks_L2: Landmarks of the mean head, x and y, metres.
        augmentation: Of the crops that it will see.
    """
    last = encoder.layers[-1]
    assert isinstance(last, nn.Linear)
    last.weight.mul_(0.1)
    last.bias.zero_()
    low, high = landmarks_L2.min(0).values, landmarks_L2.max(0).values
    scale = sum(augmentation.crop_scale) / 2 * 1.1
    camera_at = sum(sizes.coarse[:4])
    last.bias[camera_at : camera_at + 3] = torch.stack((4 / (scale * (high - low).sum()), *(-(low + high) / 2)))
    last.bias[camera_at + 3 : camera_at + 6] = 1 / SH_CONSTANTS[0]


def card_of(recipe: Recipe, head: HeadModel, /, **fields: Any) -> Card:
    """The card of a recipe's networks; further fields by name."""
    kinds = {name: getattr(recipe, name) for name in ("sizes", "backbone", "detail_backbone", "coarse_reduction")}
    return Card.of(head, **kinds, **fields)


def _channels_last(image_B3HW: Tensor) -> Tensor:
    return image_B3HW.contiguous(memory_format=torch.channels_last)


def face_vertices(head: HeadModel) -> Tensor:
    """Numbers of the vertices under the detail mask."""
    mask_HW = uv_mask(head, DETAIL_MASK, MAP_SIZE)
    uv_F3X2 = torch.from_numpy(head.uv_T2)[torch.from_numpy(head.uv_faces_F3)]
    column_F3, row_F3 = uv_F3X2[..., 0], 1 - uv_F3X2[..., 1]
    inside_F3 = mask_HW[(row_F3 * (MAP_SIZE - 1)).round().long(), (column_F3 * (MAP_SIZE - 1)).round().long()] > 0.5
    return torch.from_numpy(head.faces_F3)[inside_F3].unique()
