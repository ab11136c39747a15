"""The stages as recipes: DECA's paper, DECA's released trainer, and small ones for a computer without a GPU.

pretrain -> coarse -> detail, each from the checkpoint of the one before
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from deca.networks import CodeSizes
from deca.networks.encoders import SKIN
from deca.networks.nonlinear import DecoderSizes
from deca_training.config import EARLY, LossWeights, Recipe, Stage
from deca_training.data.augment import Augmentation

EPOCH = 2_000_000
"""Photos of DECA's training set (DECA, Section 5)."""


def paper(stage: Stage) -> Recipe:
    """DECA, Section 4 and Appendix A. Its epochs are counted in steps over two million photos.

    How many images per subject the pretraining takes is not said there; one is.
    """
    energies = {"shape": 1e-4, "expression": 1e-4}
    if stage == "pretrain":
        losses = LossWeights(landmark=1e-4, eye_closure=1.0, **energies)
        return Recipe("paper", stage, "paper", losses, 64, 1, steps=2 * EPOCH // 64)
    if stage == "coarse":
        # The energy of the albedo is named in the text without its factor: the others'.
        losses = LossWeights(landmark=1.0, eye_closure=1.0, photometric=2.0, identity=0.2, albedo=1e-4, **energies)
        return Recipe("paper", stage, "paper", losses, 8, 4, steps=3 * EPOCH // 2 // 32, shape_consistency=True)
    losses = LossWeights(detail_photometric=2.0, id_mrf=5e-2, symmetry=5e-3, displacement=5e-3)
    # "A batch size of 6, with 3 images per subject".
    return Recipe("paper", stage, "paper", losses, 2, 3, steps=1_000_000, detail_consistency=True)


def release(stage: Stage) -> Recipe:
    """The trainer that DECA's authors published in 2023."""
    landmarks = {"landmark": 1.0, "eye_closure": 1.0, "lip_closure": 0.5}
    energies = {"shape": 1e-4, "expression": 1e-4}
    if stage == "pretrain":
        return Recipe("release", stage, "release", LossWeights(**landmarks, **energies), 64, 1, steps=100_000)
    if stage == "coarse":
        losses = LossWeights(photometric=2.0, identity=0.2, albedo=1e-4, light=1.0, **landmarks, **energies)
        return Recipe("release", stage, "release", losses, 8, 2, steps=200_000, shape_consistency=True)
    losses = LossWeights(detail_photometric=2.0, id_mrf=5e-2, symmetry=5e-3, displacement=5e-3, shading_smoothness=5e-3)
    return Recipe("release", stage, "release", losses, 6, 3, steps=1_000_000, detail_consistency=True)


def small(stage: Stage) -> Recipe:
    """For a few thousand photos on a CPU: a light backbone that knows faces, small pictures, many landmarks.

    Against the release the energies count less, since landmarks have to teach most of what there is to learn, and
    the learning rate is higher and falls.
    """
    recipe = replace(
        release(stage),
        name="small",
        backbone="face_mesh",
        landmarks="478",
        learning_rate=3e-4,
        warmup_steps=50,
        decay=True,
        validate_every=100,
        validation_batches=8,
        picture_every=200,
        augmentation=replace(Augmentation(), crop_scale=(1.25, 1.6)),
    )
    losses = replace(recipe.losses, shape=2e-5, expression=2e-5)
    if stage == "pretrain":
        return replace(recipe, losses=losses, subjects_per_batch=32, steps=2400, learning_rate=7e-4)
    if stage == "coarse":
        # Colours and identities pull harder than landmarks as long as few photos have been seen.
        losses = replace(losses, landmark=6.0, eye_closure=3.0, lip_closure=3.0)
        return replace(recipe, losses=losses, subjects_per_batch=8, steps=300, render_size=112)
    losses = replace(recipe.losses, displacement=20.0)  # DECA's hardly holds a map of metres down
    return replace(
        recipe, losses=losses, subjects_per_batch=2, images_per_subject=2, steps=200, final_rate=0.02, mrf_size=112
    )


def default(stage: Stage) -> Recipe:
    """For the product's own weights (`deca-train default`): `small`, with wrinkles from synthetic subjects."""
    recipe = replace(small(stage), name="default", detail_backbone=SKIN)
    if stage != "detail":
        return replace(recipe, losses=replace(recipe.losses, neutral_truth=0.2 if stage == "coarse" else 0.0))
    return replace(
        recipe,
        losses=LossWeights(displacement_truth=1.0, code_truth=3.0),
        subjects_per_batch=4,
        images_per_subject=4,
        steps=4000,
        learning_rate=7e-4,
        final_rate=0.02,
        warmup_steps=100,
        validate_every=250,
        precision="bf16-mixed",
        learn_detail_encoder=False,
    )


def nonlinear(stage: Stage) -> Recipe:
    """The nonlinear face model (Tran, Liu and Liu 2019, Section 4): its sizes, Adam with 1e-3, VGG features.

    The paper does not tell its factors, which bring the losses to similar magnitudes: so do these. Nor does it tell
    batches and steps; these are some 30 looks at its 122,450 photos.
    """
    losses = LossWeights(
        reconstruction=1.0,
        perceptual=0.05,
        landmark=1.0,
        known_codes=0.5,
        albedo_symmetry=0.5,
        albedo_constancy=0.5,
        shape_smoothness=1.0,
        residual=0.1,
        residual_symmetry=0.2,
        neutral_truth=0.2,
        albedo_truth=2.0,
        shape_space=0.5,
        albedo_space=2.0,
    )
    if stage == "nonlinear_pretrain":
        losses = replace(losses, reconstruction=0.0, perceptual=0.0, albedo_constancy=0.0)
    return Recipe(
        "nonlinear",
        stage,
        "paper",
        losses,
        32,
        1,
        steps=20_000 if stage == "nonlinear_pretrain" else 120_000,
        learning_rate=1e-3,
        sizes=CodeSizes(shape=320, albedo=320, detail=0),
        landmarks="478",
        decay=True,
        warmup_steps=100,
        gradient_clip=50.0,  # nothing is rasterised; norms are some 10 to 40
    )


def nonlinear_small(stage: Stage) -> Recipe:
    """`nonlinear` for a CPU and a few thousand photos: half the resolution, fewer channels, the light backbone on small
    crops, and features of the landmark network's first layers."""
    recipe = nonlinear(stage)
    return replace(
        recipe,
        name="nonlinear_small",
        losses=replace(recipe.losses, perceptual=0.2 if recipe.losses.perceptual else 0.0),
        decoders=DecoderSizes.small(),
        backbone="face_mesh",
        vgg_weights=EARLY,
        heads=400,
        subjects_per_batch=8,
        steps=1500 if stage == "nonlinear_pretrain" else 3000,
        validate_every=200,
        validation_batches=8,
        picture_every=400,
    )


NONLINEAR_VARIANTS: dict[str, Callable[[Stage], Recipe]] = {"nonlinear": nonlinear, "nonlinear_small": nonlinear_small}
"""Of the stages `nonlinear_pretrain` and `nonlinear`."""

VARIANTS: dict[str, Callable[[Stage], Recipe]] = {
    "paper": paper,
    "release": release,
    "small": small,
    "default": default,
}
