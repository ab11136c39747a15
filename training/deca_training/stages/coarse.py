"""Pretraining and coarse stage: E_c learns shape, expression, pose, camera, albedo, light (DECA, Section 4.1).

Shape suffixes: B photos, L landmarks, H W rows and columns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from deca.appearance.albedo import AlbedoModel
from deca.head import HeadModel
from deca.networks import Codes
from deca.reconstruct.noise import OUTER_EYES, interior_landmarks
from deca.render.detail import DETAIL_MASK
from deca.render.uv import uv_mask
from deca_training.batch import Batch
from deca_training.config import Recipe
from deca_training.features.identity import load_identity_network
from deca_training.losses import eye_closure, lip_closure
from deca_training.losses.identity import identity_loss
from deca_training.losses.landmark import landmark_loss, weights_68, weights_478
from deca_training.losses.photometric import photometric_loss
from deca_training.losses.regularizers import code_energy, grey_light
from deca_training.losses.truth import neutral_truth_loss
from deca_training.model import Geometry, face_vertices
from deca_training.stages.base import Terms
from deca_training.stages.deca import DecaStage


class CoarseStage(DecaStage):
    """E_c on landmarks and, where their factors are above zero, on the photos' colours and identities."""

    landmark_weights_L: Tensor
    judged_L: Tensor
    skin_11HW: Tensor
    face_V: Tensor

    def __init__(self, recipe: Recipe, head: HeadModel | None = None, albedo: AlbedoModel | None = None) -> None:
        super().__init__(recipe, head, albedo)
        is_68 = recipe.landmarks == "68"
        weights_L = weights_68(recipe.form) if is_68 else weights_478(self.model.head)
        interior = torch.arange(17, 68) if is_68 else torch.from_numpy(interior_landmarks())
        self.outer_eyes = (36, 45) if is_68 else OUTER_EYES
        self.eyes, self.lips = (
            (module.PAIRS_68 if is_68 else module.PAIRS_478) for module in (eye_closure, lip_closure)
        )
        self.register_buffer("landmark_weights_L", weights_L, persistent=False)
        self.register_buffer("judged_L", interior[weights_L[interior] > 0], persistent=False)
        skin_HW = uv_mask(self.model.head, DETAIL_MASK, 256)
        self.register_buffer("skin_11HW", skin_HW[None, None], persistent=False)
        self.register_buffer("face_V", face_vertices(self.model.head), persistent=False)
        self.identity = load_identity_network(recipe.identity_weights or None) if recipe.losses.identity else None
        if self.identity is not None:
            self.feature_networks = (self.identity.name,)

    def terms(self, batch: Batch, order_B: Tensor | None) -> tuple[Terms, Terms]:
        """Eq. 4; with exchanged shapes every photo counts twice (Eq. 8)."""
        codes = self.model.codes(batch.image_B3HW)
        with torch.autocast(self.device.type, enabled=False):
            photos = len(batch)
            if order_B is not None:
                batch, codes = batch.repeated(2), _with_exchanged_shapes(codes, order_B)
            geometry = self.model.geometry(codes)
            target_BL3 = batch.landmarks68_BL3 if self.recipe.landmarks == "68" else batch.landmarks478_BL3
            terms = self._landmark_terms(geometry, target_BL3) | self._energies(codes)
            if self.weights["neutral_truth"] and batch.truth is not None:
                neutral_BV3 = self.model.layer.unposed(codes.shape_BS, torch.zeros_like(codes.expression_BE))
                terms["neutral_truth"] = neutral_truth_loss(neutral_BV3, batch.truth.neutral_BV3, self.face_V)
            if self.weights["photometric"] or self.weights["identity"]:
                terms |= self._picture_terms(batch, codes, geometry, photos)
            return terms, {"nme": self._nme(geometry.landmarks_BL2, target_BL3)}

    def _wanted(self, terms: dict[str, Callable[[], Tensor]]) -> Terms:
        return {name: term() for name, term in terms.items() if self.weights[name]}

    def _landmark_terms(self, geometry: Geometry, target_BL3: Tensor) -> Terms:
        form = self.recipe.form
        places = geometry.landmarks_BL2, target_BL3[..., :2]
        known_BL = target_BL3[..., 2]
        return self._wanted(
            {
                "landmark": lambda: landmark_loss(*places, known_BL * self.landmark_weights_L),
                "eye_closure": lambda: eye_closure.eye_closure_loss(*places, self.eyes, form, known_BL),
                "lip_closure": lambda: lip_closure.lip_closure_loss(*places, self.lips, form, known_BL),
            }
        )

    def _energies(self, codes: Codes) -> Terms:
        # The release sums over the batch, and several processes average their sums.
        processes = self.trainer.world_size
        return self._wanted(
            {
                "shape": lambda: processes * code_energy(codes.shape_BS),
                "expression": lambda: processes * code_energy(codes.expression_BE),
                "albedo": lambda: processes * code_energy(codes.albedo_BA),
                "light": lambda: grey_light(codes.light_B93),
            }
        )

    def _picture_terms(self, batch: Batch, codes: Codes, geometry: Geometry, photos: int) -> Terms:
        model, size = self.model, self.recipe.render_size
        image_B3HW, mask_B1HW = (
            functional.interpolate(picture, (size, size), mode="area") if picture.shape[-1] != size else picture
            for picture in (batch.image_B3HW, batch.mask_B1HW)
        )
        surface = model.surface(geometry)
        albedo_B3HW = model.albedo(codes.albedo_BA)
        terms: Terms = {}
        if self.weights["photometric"]:
            rendering_B3HW = surface.shade(albedo_B3HW, codes.light_B93).image_B3HW
            terms["photometric"] = photometric_loss(image_B3HW, rendering_B3HW, mask_B1HW * surface.alpha_B1HW)
        if self.identity is not None:
            # The embedding is to teach the shape: colours and light are taken as they are.
            shape_only_B3HW = surface.shade(albedo_B3HW.detach(), codes.light_B93.detach()).image_B3HW
            skin_B1HW = surface.texture(self.skin_11HW)
            overlay_B3HW = torch.lerp(image_B3HW, shape_only_B3HW.clamp(0, 1), skin_B1HW)
            marks_BL2 = batch.landmarks68_BL3[..., :2]
            with torch.no_grad():
                wanted_BD = self.identity(image_B3HW[:photos], marks_BL2[:photos]).repeat(len(batch) // photos, 1)
            terms["identity"] = identity_loss(self.identity(overlay_B3HW, marks_BL2), wanted_BD)
        return terms

    def _nme(self, predicted_BL2: Tensor, target_BL3: Tensor) -> Tensor:
        """Mean distance of the landmarks inside the face, in outer-eye distances."""
        left, right = self.outer_eyes
        eyes_B = (target_BL3[:, left, :2] - target_BL3[:, right, :2]).norm(dim=-1)
        known_BL = target_BL3[:, self.judged_L, 2] > 0
        distance_BL = (predicted_BL2[:, self.judged_L] - target_BL3[:, self.judged_L, :2]).norm(dim=-1).detach()
        return ((distance_BL / eyes_B[:, None]) * known_BL).sum() / known_BL.sum().clamp(min=1)


def _with_exchanged_shapes(codes: Codes, order_B: Tensor) -> Codes:
    """The codes, and once more with each photo's shape taken from another of its subject."""
    doubled = {name: torch.cat((code, code)) for name, code in vars(codes).items()}
    doubled["shape_BS"] = torch.cat((codes.shape_BS, codes.shape_BS[order_B]))
    return replace(codes, **doubled)
