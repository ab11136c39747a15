"""Recipes: everything that decides what a training run does, as plain data that is saved beside each checkpoint."""

from __future__ import annotations

import json
import typing
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from typing import Any, Literal

from deca.errors import OptionError
from deca.networks import BACKBONES, CodeSizes
from deca.networks.encoders import DETAIL_BACKBONES
from deca.networks.nonlinear import DecoderSizes
from deca_blender.protocol.conventions import OPENHEAD
from deca_training.data.augment import Augmentation

Stage = Literal["pretrain", "coarse", "detail", "nonlinear_pretrain", "nonlinear"]
Form = Literal["paper", "release"]
"""Where DECA's paper and its released trainer define a loss differently: which of the two."""


EARLY = "early"
"""As `Recipe.vgg_weights` of the nonlinear face model: features of the landmark network's first layers instead of
VGG's, which a CPU can afford."""

VALIDATION_SHARE = 0.08
"""Of the subjects: of Labeled Faces in the Wild's with two photos or more 120."""


@dataclass(frozen=True)
class LossWeights:
    """Factors of the losses; a loss of weight zero is not computed. DECA, Eq. 4 and Eq. 12, Appendix A.

    Attributes:
        landmark, eye_closure, lip_closure: Of the projected landmarks (Eqs. 5, 6; the lips are the release's).
        photometric: Of the coarse rendering (Section 4.1).
        identity: Face recognition embedding of the coarse rendering (Eq. 7).
        shape, expression, albedo: Energy of the codes.
        light: Distance from grey light (release).
        detail_photometric, id_mrf: Of the wrinkled rendering (Eq. 13).
        symmetry: Of the displacement where the photo does not show the skin (Eq. 14).
        displacement: Mean |D|.
        shading_smoothness: Squared gradients of the wrinkles' shading (release).
        neutral_truth, displacement_truth, code_truth: Distance from what is known of synthetic subjects; photos of
            others have no such loss.
        reconstruction, perceptual: Of the nonlinear face model's renderings (Tran, Liu and Liu 2019, Eqs. 4, 5, 15).
        albedo_symmetry, albedo_constancy, shape_smoothness: Of its proxies (Eqs. 8 to 10, 13).
        residual, residual_symmetry: Between true elements and proxies (Eqs. 14, 16).
        known_codes: Distance of the encoder from codes that are known.
        albedo_truth: Distance from the albedo of synthetic subjects.
        shape_space: Of D_S from random heads beyond the linear model, which need no photos.
        albedo_space: Of D_A from random albedos of the photos' principal components (`PhotoAlbedo`).
    """

    landmark: float = 0.0
    eye_closure: float = 0.0
    lip_closure: float = 0.0
    photometric: float = 0.0
    identity: float = 0.0
    shape: float = 0.0
    expression: float = 0.0
    albedo: float = 0.0
    light: float = 0.0
    detail_photometric: float = 0.0
    id_mrf: float = 0.0
    symmetry: float = 0.0
    displacement: float = 0.0
    shading_smoothness: float = 0.0
    neutral_truth: float = 0.0
    displacement_truth: float = 0.0
    code_truth: float = 0.0
    reconstruction: float = 0.0
    perceptual: float = 0.0
    albedo_symmetry: float = 0.0
    albedo_constancy: float = 0.0
    shape_smoothness: float = 0.0
    residual: float = 0.0
    residual_symmetry: float = 0.0
    known_codes: float = 0.0
    albedo_truth: float = 0.0
    shape_space: float = 0.0
    albedo_space: float = 0.0


@dataclass(frozen=True)
class Recipe:
    """One stage of training.

    Attributes:
        name: What the recipe is called, for cards and logs.
        stage: `pretrain` (E_c on landmarks), `coarse` (E_c on pictures too), `detail` (E_d and F_d, E_c frozen);
            `nonlinear_pretrain` (the nonlinear face model on what is known), `nonlinear` (on pictures too).
        form: Which definition of the losses.
        losses: Their factors.
        subjects_per_batch, images_per_subject: The batch, over all processes.
        steps: Optimiser steps.
        learning_rate: Adam's; constant after `warmup_steps`, then falls to zero as a cosine if `decay`.
        final_rate: Factor of the learning rate for F_d's last layer. Its output counts in centimetres: one step of Adam
            moves all skin by tenths of a millimetre.
        gradient_clip: Largest norm of the gradients; the rasteriser's can be huge. Zero: none.
        shape_consistency: Every coarse loss once more with the shape codes exchanged within subjects (Eq. 8).
        detail_consistency: Every detail loss once more with exchanged detail codes (Eq. 15).
        learn_detail_encoder: False: in the detail stage F_d learns alone, from the E_d that it starts with.
        head, albedo: Head and albedo model, by name or path.
        backbone: Of both encoders.
        detail_backbone: E_d's, where it is another: of `deca.networks.encoders.DETAIL_BACKBONES`.
        sizes: Lengths of the codes.
        decoders: Of the nonlinear face model, with the switches of its paper's ablations.
        heads: Random heads that the nonlinear face model's shapes begin with (`BeyondLinear`).
        heads_outside: How far these are from the span of the shape coefficients, millimetres.
        albedo_photos: Fitted photos whose albedos the nonlinear face model's begin with (`PhotoAlbedo`); "" for none.
        landmarks: Which landmarks the head is compared on: iBUG's 68, or all of MediaPipe's that the head carries.
        coarse_reduction: Of `CoarseEncoder`: 2 has E_c see crops of 112 pixels, which takes a quarter of the time.
        render_size: Side of the coarse rendering.
        mrf_size: Side of the texture patches whose features are compared.
        identity_weights, vgg_weights: Files of the feature networks; "" for the defaults.
        augmentation: Of the photos.
        precision: Lightning's: `32-true`, `16-mixed`, `bf16-mixed`.
        validation_share: Share of the subjects that are kept out.
        validate_every: Steps between validations.
        validation_batches: Batches of a validation.
        picture_every: Steps between picture grids.
        seed: Of weights, batches and exchanges.
    """

    name: str
    stage: Stage
    form: Form
    losses: LossWeights
    subjects_per_batch: int
    images_per_subject: int
    steps: int
    learning_rate: float = 1e-4
    final_rate: float = 1.0
    warmup_steps: int = 0
    decay: bool = False
    gradient_clip: float = 1.0
    shape_consistency: bool = False
    detail_consistency: bool = False
    learn_detail_encoder: bool = True
    head: str = OPENHEAD
    albedo: str = OPENHEAD
    backbone: str = "resnet50"
    detail_backbone: str = ""
    sizes: CodeSizes = field(default_factory=CodeSizes)
    decoders: DecoderSizes = field(default_factory=DecoderSizes)
    heads: int = 2000
    heads_outside: float = 2.0
    albedo_photos: str = ""
    landmarks: Literal["68", "478"] = "68"
    coarse_reduction: int = 1
    render_size: int = 224
    mrf_size: int = 224
    identity_weights: str = ""
    vgg_weights: str = ""
    augmentation: Augmentation = field(default_factory=Augmentation.paper)
    precision: str = "32-true"
    validation_share: float = VALIDATION_SHARE
    validate_every: int = 1000
    validation_batches: int = 32
    picture_every: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("subjects_per_batch", "images_per_subject", "steps", "validate_every", "coarse_reduction"):
            if getattr(self, name) < 1:
                raise OptionError(f"{name} of a recipe must be at least 1, got {getattr(self, name)}.")
        for name, possible in ((self.backbone, BACKBONES), (self.detail_backbone, ("", *DETAIL_BACKBONES))):
            if name not in possible:
                raise OptionError(
                    f"There is no backbone {name!r}.", f"Choose one of {', '.join(filter(None, possible))}."
                )
        if (self.shape_consistency or self.detail_consistency) and self.images_per_subject < 2:
            raise OptionError(
                "Consistency losses exchange codes between photos of a subject; with one image per subject there are"
                " none to exchange.",
                "Set images_per_subject to 2 or more, or turn the consistency off.",
            )

    @property
    def batch_size(self) -> int:
        """Photos of a step, over all processes."""
        return self.subjects_per_batch * self.images_per_subject

    def to_json(self) -> str:
        """The recipe as text, one value per line."""
        return json.dumps(asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """The inverse of `to_json`.

        Raises:
            OptionError: The text is not a recipe, or one of another version.
        """
        try:
            return _build(cls, json.loads(text))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise OptionError(f"This is no recipe of this version ({error}).") from error

    def changed(self, assignments: Mapping[str, str]) -> Recipe:
        """The recipe with values changed by name, as a command line gives them: `{"losses.id_mrf": "0"}`.

        Raises:
            OptionError: There is no such value, or the text is not of its type.
        """
        recipe = self
        for name, text in assignments.items():
            recipe = _changed(recipe, name.split("."), text, name)
        return recipe


def _build(cls: type, values: Mapping[str, Any]) -> Any:
    hints = typing.get_type_hints(cls)
    arguments = {
        name: _build(hints[name], value)
        if is_dataclass(hints.get(name))
        else tuple(value)
        if isinstance(value, list)
        else value
        for name, value in values.items()
    }
    return cls(**arguments)


def _changed(item: Any, path: list[str], text: str, name: str) -> Any:
    known = {one.name for one in fields(item)}
    if path[0] not in known:
        raise OptionError(f"A recipe has no value {name!r}.", f"There are: {', '.join(sorted(known))}.")
    old = getattr(item, path[0])
    if len(path) > 1:
        if not is_dataclass(old):
            raise OptionError(f"A recipe has no value {name!r}.")
        return replace(item, **{path[0]: _changed(old, path[1:], text, name)})
    try:
        new = text if isinstance(old, str) else json.loads(text)
    except ValueError as error:
        raise OptionError(f"{name}={text} is not a {type(old).__name__}.") from error
    if isinstance(old, tuple) and isinstance(new, list):
        new = tuple(new)
    if isinstance(old, float) and type(new) is int:
        new = float(new)
    if type(new) is not type(old):
        raise OptionError(f"{name}={text} is not a {type(old).__name__}.")
    return replace(item, **{path[0]: new})
