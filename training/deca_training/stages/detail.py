"""The detail stage: E_d and F_d learn wrinkles, E_c stays as it is (DECA, Sections 4.2 and 4.3).

The photo's skin and the wrinkled skin are compared in texture space, where both lie in the same place whatever the
pose, and only what the photo shows counts.

Shape suffixes: B photos, D detail code, P rows and columns of the face's patch of UV maps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from deca.appearance.albedo import AlbedoModel
from deca.errors import OptionError
from deca.head import HeadModel
from deca.networks import MAP_SIZE, Codes
from deca.render.detail import DETAIL_MASK
from deca.render.uv import uv_mask
from deca_training.batch import Batch
from deca_training.config import Recipe
from deca_training.features.vgg import load_vgg
from deca_training.losses.detail_photometric import detail_photometric_loss
from deca_training.losses.detail_regularizer import displacement_magnitude, shading_smoothness
from deca_training.losses.id_mrf import id_mrf_loss
from deca_training.losses.soft_symmetry import soft_symmetry_loss
from deca_training.losses.truth import correlations, displacement_truth_loss
from deca_training.model import Geometry, SkinOnPhoto
from deca_training.stages.base import Terms
from deca_training.stages.deca import DecaStage

_SHALLOW = 0.25e-3
"""Metres: wrinkles shallower than this count by their own depth, deeper ones as if they were not deeper."""
_OF_PHOTOS = ("detail_photometric", "id_mrf", "symmetry", "displacement", "shading_smoothness")


class DetailStage(DecaStage):
    """E_d and F_d on the photos' skin.

    Args:
        recipe: What to do.
        typical_relief: How deep wrinkles are where on people with a head model, metres (256, 256); asked only where the
            truth counts.
        head: The head model; the recipe's by default.
        albedo: The albedo model; the recipe's by default.
    """

    skin_HW: Tensor
    truth_weight_HW: Tensor

    def __init__(
        self,
        recipe: Recipe,
        typical_relief: Callable[[HeadModel], NDArray[np.floating]],
        head: HeadModel | None = None,
        albedo: AlbedoModel | None = None,
    ) -> None:
        super().__init__(recipe, head, albedo)
        skin_HW = (uv_mask(self.model.head, DETAIL_MASK, MAP_SIZE) > 0.5).float()
        self.register_buffer("skin_HW", skin_HW, persistent=False)
        if self.weights["displacement_truth"]:
            # Else the folds beside the mouth, which are the deepest, are all that is learnt for long.
            relief_HW = torch.from_numpy(typical_relief(self.model.head))
            weight_HW = skin_HW / (relief_HW.square() + _SHALLOW**2)
            self.register_buffer("truth_weight_HW", (weight_HW / weight_HW.max()).float(), persistent=False)
        self.sees_photos = any(self.weights[name] for name in _OF_PHOTOS)
        self.vgg = load_vgg(recipe.vgg_weights or None) if recipe.losses.id_mrf else None
        if self.vgg is not None:
            self.feature_networks = (self.vgg.name,)

    def terms(self, batch: Batch, order_B: Tensor | None) -> tuple[Terms, Terms]:
        """Eq. 12; with exchanged detail codes every photo counts twice (Eq. 15).

        Where the wrinkles are known, and nothing else is asked for, the exchanged ones are enough.
        """
        if not self.sees_photos:
            return self._known_terms(order_B, batch)
        detail_BD = self.model.detail_codes(batch)
        with torch.no_grad():
            codes = batch.truth.codes if batch.truth is not None else self.model.codes(batch.image_B3HW)
            with torch.autocast(self.device.type, enabled=False):
                geometry = self.model.geometry(codes)
                skin = self.model.skin(batch.image_B3HW, batch.mask_B1HW, codes, geometry)
        if order_B is not None:
            batch = batch.repeated(2)
            detail_BD = torch.cat((detail_BD, detail_BD[order_B]))
            codes = replace(codes, **{name: torch.cat((code, code)) for name, code in vars(codes).items()})
            geometry = Geometry(*(torch.cat((value, value)) for value in vars(geometry).values()))
            skin = skin.repeated(2)
        displacement_B1HW = self.model.wrinkles(detail_BD, codes)
        with torch.autocast(self.device.type, enabled=False):
            terms, numbers = self._photo_terms(displacement_B1HW, codes, geometry, skin)
            known_terms, known_numbers = self._truth_terms(displacement_B1HW, batch)
        return terms | known_terms, numbers | known_numbers

    def _known_terms(self, order_B: Tensor | None, batch: Batch) -> tuple[Terms, Terms]:
        if batch.truth is None:
            raise OptionError(
                "The recipe compares wrinkles with the truth alone, and photos have none.",
                "Give synthetic subjects (deca-train synthetic), or a factor to a loss of photos.",
            )
        known_BD = batch.truth.detail_BD if self.weights["code_truth"] else None
        if known_BD is not None and self.training and not self.recipe.learn_detail_encoder:
            # F_d alone learns, what codes say. What E_d writes need not be known, which takes a quarter of the time.
            return self._truth_terms(self.model.wrinkles(known_BD, batch.truth.codes), batch)
        detail_BD = self.model.detail_codes(batch)
        used_BD = detail_BD if order_B is None else detail_BD[order_B]
        code_terms: Terms = {}
        if known_BD is not None:
            code_terms["code_truth"] = (detail_BD.float() - known_BD).square().mean()
            if self.training:
                # Half of the photos have F_d read what E_d writes.
                is_true_B1 = torch.arange(len(batch), device=self.device)[:, None] % 2 == 0
                used_BD = torch.where(is_true_B1, known_BD, used_BD)
        terms, numbers = self._truth_terms(self.model.wrinkles(used_BD, batch.truth.codes), batch)
        return terms | code_terms, numbers

    def _truth_terms(self, displacement_B1HW: Tensor, batch: Batch) -> tuple[Terms, Terms]:
        if batch.truth is None or not self.weights["displacement_truth"]:
            return {}, {}
        compared, images = (displacement_B1HW, batch.truth.displacement_B1HW), batch.images_per_subject
        total, dynamic = correlations(*compared, self.skin_HW, images)
        numbers = {"correlation": total, "correlation_dynamic": dynamic}
        return {"displacement_truth": displacement_truth_loss(*compared, self.truth_weight_HW, images)}, numbers

    def _photo_terms(
        self, displacement_B1HW: Tensor, codes: Codes, geometry: Geometry, skin: SkinOnPhoto
    ) -> tuple[Terms, Terms]:
        shading_B3PP = self.model.detail_shading(geometry, displacement_B1HW, codes.light_B93)
        shown_B1PP = skin.shown_B1PP
        rendered_B3PP, photo_B3PP = skin.albedo_B3PP * shading_B3PP * shown_B1PP, skin.texture_B3PP * shown_B1PP
        patch_B1PP = displacement_B1HW[..., *self.model.patch]
        terms: Terms = {}
        if self.weights["detail_photometric"]:
            terms["detail_photometric"] = detail_photometric_loss(photo_B3PP, rendered_B3PP, shown_B1PP)
        if self.vgg is not None:
            size = (self.recipe.mrf_size, self.recipe.mrf_size)
            pictures = (functional.interpolate(picture, size, mode="bilinear", antialias=True)
                        for picture in (rendered_B3PP, photo_B3PP))  # fmt: skip
            terms["id_mrf"] = id_mrf_loss(self.vgg, *pictures, form=self.recipe.form)
        if self.weights["symmetry"]:
            terms["symmetry"] = soft_symmetry_loss(patch_B1PP, skin.hidden_B1PP)
        if self.weights["displacement"]:
            terms["displacement"] = displacement_magnitude(displacement_B1HW)
        if self.weights["shading_smoothness"]:
            terms["shading_smoothness"] = shading_smoothness(shading_B3PP - skin.coarse_shading_B3PP)
        return terms, {"wrinkles_mm": 1e3 * patch_B1PP.detach().square().mean().sqrt()}
