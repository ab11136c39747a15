"""The detail stage: E_d and F_d learn wrinkles, E_c stays as it is (DECA, Sections 4.2 and 4.3).

The photo's skin and the wrinkled skin are compared in texture space, where both lie in the same place whatever the
pose, and only what the photo shows counts.

Shape suffixes: B photos, D detail code, P rows and columns of the face's patch of UV maps.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from deca.appearance.albedo import AlbedoModel
from deca.head import HeadModel
from deca.networks import Codes
from deca_training.batch import Batch
from deca_training.config import Recipe
from deca_training.features.vgg import load_vgg
from deca_training.losses.detail_photometric import detail_photometric_loss
from deca_training.losses.detail_regularizer import displacement_magnitude, shading_smoothness
from deca_training.losses.id_mrf import id_mrf_loss
from deca_training.losses.soft_symmetry import soft_symmetry_loss
from deca_training.model import Geometry, SkinOnPhoto
from deca_training.stages.base import StageModule, Terms


class DetailStage(StageModule):
    """E_d and F_d on the photos' skin."""

    def __init__(self, recipe: Recipe, head: HeadModel | None = None, albedo: AlbedoModel | None = None) -> None:
        super().__init__(recipe, head, albedo)
        self.vgg = load_vgg(recipe.vgg_weights or None) if recipe.losses.id_mrf else None
        if self.vgg is not None:
            self.feature_networks = (self.vgg.name,)

    def terms(self, batch: Batch, order_B: Tensor | None) -> tuple[Terms, Terms]:
        """Eq. 12; with exchanged detail codes every photo counts twice (Eq. 15)."""
        with torch.no_grad():
            codes = self.model.codes(batch.image_B3HW)
            with torch.autocast(self.device.type, enabled=False):
                geometry = self.model.geometry(codes)
                skin = self.model.skin(batch.image_B3HW, batch.mask_B1HW, codes, geometry)
        detail_BD = self.model.detail_codes(batch.image_B3HW)
        if order_B is not None:
            detail_BD = torch.cat((detail_BD, detail_BD[order_B]))
            codes = replace(codes, **{name: torch.cat((code, code)) for name, code in vars(codes).items()})
            geometry = Geometry(*(torch.cat((value, value)) for value in vars(geometry).values()))
            skin = skin.repeated(2)
        displacement_B1HW = self.model.wrinkles(detail_BD, codes)
        with torch.autocast(self.device.type, enabled=False):
            return self._terms(displacement_B1HW, codes, geometry, skin)

    def _terms(
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
