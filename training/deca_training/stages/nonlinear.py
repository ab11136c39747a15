"""The nonlinear face model's stages: supervised pretraining on what is known, then photos (Tran, Liu and Liu 2019,
Section 3.3).

All pictures are compared in texture space, so that nothing is rasterised. Where a batch knows codes (of synthetic
people, of heads fitted to photos, as 300W-LP's are in the paper), pictures are made with these and E learns them; what
is left to E and the decoders is what the linear models do not say.

Shape suffixes: B photos, L landmarks, H W rows and columns of the window of the UV map.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deca.appearance.albedo import AlbedoModel
from deca.head import HeadModel
from deca.networks import Codes
from deca.networks.nonlinear import Pair
from deca.reconstruct.nonlinear import render
from deca_training.batch import Batch
from deca_training.config import EARLY, Recipe
from deca_training.data.fitted import FittedPhotos
from deca_training.data.photo_albedo import PhotoAlbedo
from deca_training.data.synthetic.heads import BeyondLinear
from deca_training.features.early import EarlyFaceFeatures
from deca_training.features.vgg import load_vgg
from deca_training.losses.albedo_constancy import albedo_constancy_loss
from deca_training.losses.albedo_symmetry import albedo_symmetry_loss
from deca_training.losses.id_mrf import FeatureNetwork
from deca_training.losses.known_codes import known_codes_loss
from deca_training.losses.landmark import landmark_loss, weights_68, weights_478
from deca_training.losses.pairings import pairings
from deca_training.losses.photometric import photometric_loss
from deca_training.losses.reconstruction import l21_loss, perceptual_loss
from deca_training.losses.residual import residual_loss
from deca_training.losses.residual_symmetry import residual_symmetry_loss
from deca_training.losses.shape_smoothness import shape_smoothness_loss
from deca_training.losses.truth import neutral_truth_loss
from deca_training.nonlinear_model import NonlinearModel, Shape
from deca_training.nonlinear_pictures import nonlinear_grid
from deca_training.stages.base import StageModule, Terms

_VGG_LAYERS = ("relu1_2", "relu2_2", "relu3_2")
_RANDOM_PER_PHOTO = {"nonlinear_pretrain": 4.0, "nonlinear": 0.5}
"""Random heads and albedos that D_S and D_A learn beside each photo. With fewer they learn nothing at first but their
mean; later it is only to keep them."""


class NonlinearStage(StageModule):
    """E, D_S and D_A on known people, or on photos.

    Args:
        recipe: The stage's recipe.
        head, albedo: Instead of loading the recipe's.
    """

    model: NonlinearModel
    landmark_weights_L: Tensor

    def __init__(self, recipe: Recipe, head: HeadModel | None = None, albedo: AlbedoModel | None = None) -> None:
        super().__init__(recipe, NonlinearModel(recipe, head, albedo))
        head = self.model.face.head
        weights_L = weights_68(recipe.form) if recipe.landmarks == "68" else weights_478(head)
        self.register_buffer("landmark_weights_L", weights_L, persistent=False)
        face, sizes = self.model.face, recipe.decoders
        self.space: BeyondLinear | None = None
        if recipe.losses.shape_space and sizes.decoder != "linear":
            free = recipe.sizes.shape - sizes.linear_shape
            shapes = face.head, sizes.linear_shape, free, face.share_V1
            self.space = BeyondLinear(*shapes, recipe.heads, recipe.heads_outside)
        self.photo_albedo: PhotoAlbedo | None = None
        if recipe.losses.albedo_space and recipe.albedo_photos and sizes.decoder != "linear":
            photos = FittedPhotos.load(Path(recipe.albedo_photos))
            photos.check_head(face.head.hash)
            self.photo_albedo = PhotoAlbedo(photos, face, recipe.sizes.albedo - sizes.linear_albedo)
        self.features: FeatureNetwork | None = None
        self.feature_layers: tuple[str, ...] = ()
        if recipe.losses.perceptual:
            network = EarlyFaceFeatures() if recipe.vgg_weights == EARLY else load_vgg(recipe.vgg_weights or None)
            self.features, self.feature_networks = network, (network.name,)
            self.feature_layers = network.layers if isinstance(network, EarlyFaceFeatures) else _VGG_LAYERS

    def terms(self, batch: Batch, order_B: Tensor | None) -> tuple[Terms, Terms]:
        """Eqs. 7 and 13 to 16, and what is known."""
        model, weights = self.model, self.weights
        codes = model.codes(batch.image_B3HW)
        known = self._known(batch)
        with torch.autocast(self.device.type, enabled=False):
            used = model.with_known(codes, known)
            shape, proxy_shape = model.shapes(used, batch)
            albedos = model.albedos(used)
            terms = self._code_terms(codes, known, batch, shape.displacement_B3HW) | self._space_terms(len(batch))
            if weights["reconstruction"] or weights["perceptual"]:
                terms |= self._picture_terms(shape, proxy_shape, albedos, used.light_B93)
            terms |= self._regularisers(shape, proxy_shape, albedos)
            if batch.truth is not None:
                terms |= self._truth_terms(used, shape, proxy_shape, albedos, batch)
            return terms, self._numbers(shape, proxy_shape, albedos, used.light_B93)

    def picture_grid(self, batch: Batch) -> NDArray[np.uint8]:
        """`nonlinear_grid` of the networks."""
        return nonlinear_grid(self.model, batch)

    def _known(self, batch: Batch) -> Codes | None:
        """What is known of the codes; f_S and f_A beyond the linear part too, where shape or albedo are known."""
        if batch.truth is None:
            known, code_BK = batch.geometry, self.photo_albedo and self.photo_albedo.codes(batch.names)
            if known is None or code_BK is None:
                return known
            linear_BA = known.albedo_BA[:, : self.recipe.decoders.linear_albedo]
            return replace(known, albedo_BA=torch.cat((linear_BA, code_BK), 1))
        known, leading = batch.truth.codes, self.recipe.decoders.linear_shape
        linear_BS = known.shape_BS[:, :leading]
        if self.space is None:
            return replace(known, shape_BS=linear_BS)
        layer = self.model.face.layer
        none_BE = linear_BS.new_zeros(len(linear_BS), layer.num_expression)
        beyond_BV3 = batch.truth.neutral_BV3 - layer.unposed(linear_BS, none_BE)
        code_BK = self.space.codes(beyond_BV3 * self.model.face.share_V1)
        return replace(known, shape_BS=torch.cat((linear_BS, code_BK), 1))

    def _space_terms(self, photos: int) -> Terms:
        """D_S on random heads and D_A on random albedos: codes of which it is known what they stand for, hence without
        E."""
        generator = torch.Generator().manual_seed(hash((self.recipe.seed, self.global_step)) % 2**63)
        count = max(round(photos * _RANDOM_PER_PHOTO[self.recipe.stage]), 2)
        terms: Terms = {}
        if self.space is not None:
            code_BN = torch.randn(count, self.recipe.sizes.shape, generator=generator).to(self.device)
            wanted_BV3 = self.space.offsets(code_BN[:, self.recipe.decoders.linear_shape :])
            pair = self.model.networks.displacement(code_BN)
            apart = [
                neutral_truth_loss(self.model.face.offsets(map_B3HW), wanted_BV3, self.model.face_V)
                for map_B3HW in pair
            ]
            terms["shape_space"] = torch.stack(apart).mean()
        if self.photo_albedo is not None:
            code_BN = torch.randn(count, self.recipe.sizes.albedo, generator=generator).to(self.device)
            wanted_B3HW = self.photo_albedo.offsets(code_BN[:, self.recipe.decoders.linear_albedo :])
            skin_B1HW = self.model.face.skin_HW.expand(count, 1, -1, -1)
            pair = self.model.networks.albedo_offset(code_BN)
            apart = [photometric_loss(wanted_B3HW, map_B3HW, skin_B1HW) for map_B3HW in pair]
            terms["albedo_space"] = torch.stack(apart).mean()
        return terms

    def _code_terms(self, codes: Codes, known: Codes | None, batch: Batch, displacement_B3HW: Tensor) -> Terms:
        terms: Terms = {}
        if self.weights["landmark"]:
            is_68 = self.recipe.landmarks == "68"
            target_BL3 = batch.landmarks68_BL3 if is_68 else batch.landmarks478_BL3
            weights_BL = target_BL3[..., 2] * self.landmark_weights_L
            terms["landmark"] = landmark_loss(
                self.model.projected_landmarks(codes, displacement_B3HW), target_BL3[..., :2], weights_BL
            )
        if self.weights["known_codes"] and known is not None:
            terms["known_codes"] = known_codes_loss(codes, known)
        return terms

    def _picture_terms(self, shape: Shape, proxy_shape: Shape, albedos: Pair, light_B93: Tensor) -> Terms:
        close: list[Tensor] = []
        alike: list[Tensor] = []
        for one, albedo_B3HW in pairings(shape, proxy_shape, *albedos):
            view, image_B3HW = one.view, render(albedo_B3HW, one.view.normals_B3HW, light_B93)
            close.append(l21_loss(image_B3HW, view.photo_B3HW, view.seen_B1HW))
            if self.features is not None:
                compared = image_B3HW, view.photo_B3HW, view.seen_B1HW
                alike.append(perceptual_loss(self.features, self.feature_layers, *compared))
        terms: Terms = {"reconstruction": torch.stack(close).sum()}
        if alike:
            terms["perceptual"] = torch.stack(alike).sum()
        return terms

    def _regularisers(self, shape: Shape, proxy_shape: Shape, albedos: Pair) -> Terms:
        """Eqs. 13, 14 and 16."""
        skin_HW, view = self.model.face.skin_HW, proxy_shape.view
        wanted = {
            "albedo_symmetry": lambda: albedo_symmetry_loss(albedos.proxy_B3HW, skin_HW),
            "albedo_constancy": lambda: albedo_constancy_loss(albedos.proxy_B3HW, view.photo_B3HW, view.seen_B1HW),
            "shape_smoothness": lambda: shape_smoothness_loss(proxy_shape.displacement_B3HW, skin_HW),
        }
        if shape is not proxy_shape:
            maps = shape.displacement_B3HW, proxy_shape.displacement_B3HW
            wanted["residual"] = lambda: residual_loss(*maps, *albedos, skin_HW)
            wanted["residual_symmetry"] = lambda: residual_symmetry_loss(maps[0] - maps[1], view.normals_B3HW, skin_HW)
        return {name: term() for name, term in wanted.items() if self.weights[name]}

    def _truth_terms(self, codes: Codes, shape: Shape, proxy_shape: Shape, albedos: Pair, batch: Batch) -> Terms:
        """Both, true element and proxy, are to be what is known."""
        terms: Terms = {}
        face, truth = self.model.face, batch.truth
        assert truth is not None
        if self.weights["neutral_truth"]:
            apart = [
                neutral_truth_loss(
                    face.neutral(codes.shape_BS, one.displacement_B3HW), truth.neutral_BV3, self.model.face_V
                )
                for one in ((shape,) if shape is proxy_shape else (shape, proxy_shape))
            ]
            terms["neutral_truth"] = torch.stack(apart).mean()
        if self.weights["albedo_truth"]:
            known_BA = truth.codes.albedo_BA
            wanted_B3HW = face.albedo(known_BA, torch.zeros_like(albedos.proxy_B3HW))
            skin_B1HW = face.skin_HW.expand(len(known_BA), 1, -1, -1)
            apart = [photometric_loss(wanted_B3HW, one_B3HW, skin_B1HW) for one_B3HW in albedos]
            terms["albedo_truth"] = torch.stack(apart).mean()
        return terms

    @torch.no_grad()
    def _numbers(self, shape: Shape, proxy_shape: Shape, albedos: Pair, light_B93: Tensor) -> Terms:
        """How near the pictures come, the true elements' too, which no loss sees; the size of the displacement."""
        numbers: Terms = {}
        for name, one, albedo_B3HW in (
            ("l21_true", shape, albedos.true_B3HW),
            ("l21_proxy", proxy_shape, albedos.proxy_B3HW),
        ):
            view = one.view
            image_B3HW = render(albedo_B3HW, view.normals_B3HW, light_B93)
            numbers[name] = l21_loss(image_B3HW, view.photo_B3HW, view.seen_B1HW)
        numbers["displacement_mm"] = 1e3 * shape.displacement_B3HW.square().sum(1).mean().sqrt()
        return numbers
