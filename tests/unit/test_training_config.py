"""Recipes: what they say against the paper's and the released trainer's numbers; as text; changed by name."""

from __future__ import annotations

import pytest

from deca.errors import OptionError
from deca_training.config import Recipe
from deca_training.recipes import VARIANTS, paper, release, small

STAGES = ("pretrain", "coarse", "detail")


def test_paper() -> None:
    """DECA, Appendix A."""
    pretrain, coarse, detail = (paper(stage) for stage in STAGES)
    assert pretrain.batch_size == 64 and pretrain.steps == 62_500  # two epochs of two million photos
    assert (pretrain.losses.landmark, pretrain.losses.eye_closure) == (1e-4, 1.0)
    assert (pretrain.losses.shape, pretrain.losses.expression, pretrain.losses.photometric) == (1e-4, 1e-4, 0)
    assert (coarse.batch_size, coarse.images_per_subject, coarse.steps) == (32, 4, 93_750)
    assert (coarse.losses.photometric, coarse.losses.identity, coarse.losses.landmark) == (2.0, 0.2, 1.0)
    assert coarse.shape_consistency and coarse.losses.lip_closure == coarse.losses.light == 0
    assert (detail.batch_size, detail.images_per_subject, detail.detail_consistency) == (6, 3, True)
    losses = detail.losses
    assert (losses.detail_photometric, losses.id_mrf, losses.symmetry, losses.displacement) == (2.0, 5e-2, 5e-3, 5e-3)
    assert all(recipe.learning_rate == 1e-4 and recipe.form == "paper" for recipe in (pretrain, coarse, detail))


def test_release() -> None:
    pretrain, coarse, detail = (release(stage) for stage in STAGES)
    assert (pretrain.batch_size, pretrain.images_per_subject, pretrain.steps) == (64, 1, 100_000)
    assert (coarse.subjects_per_batch, coarse.images_per_subject, coarse.steps) == (8, 2, 200_000)
    assert (detail.subjects_per_batch, detail.images_per_subject, detail.steps) == (6, 3, 1_000_000)
    assert (coarse.losses.lip_closure, coarse.losses.light, detail.losses.shading_smoothness) == (0.5, 1.0, 5e-3)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("stage", STAGES)
def test_text_and_back(variant: str, stage: str) -> None:
    recipe = VARIANTS[variant](stage)  # type: ignore[arg-type]
    assert Recipe.from_json(recipe.to_json()) == recipe


def test_values_change_by_name() -> None:
    changed = small("detail").changed(
        {
            "steps": "7",
            "losses.id_mrf": "0",
            "detail_consistency": "false",
            "backbone": "resnet18",
            "sizes.detail": "16",
        }
    )
    assert (changed.steps, changed.losses.id_mrf, changed.detail_consistency) == (7, 0.0, False)
    assert (changed.backbone, changed.sizes.detail) == ("resnet18", 16)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"stepz": "7"}, "no value 'stepz'"),
        ({"losses.mrf": "1"}, "no value 'losses.mrf'"),
        ({"steps": "many"}, "not a int"),
        ({"steps": "1.5"}, "not a int"),
        ({"steps": "0"}, "at least 1"),
        ({"backbone": "vgg"}, "no backbone"),
        ({"images_per_subject": "1"}, "none to exchange"),
    ],
)
def test_mistakes_are_named(changes: dict[str, str], says: str) -> None:
    with pytest.raises(OptionError, match=says):
        small("coarse").changed(changes)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"name": "x", "unknown": 1}'])
def test_foreign_text_is_no_recipe(text: str) -> None:
    with pytest.raises(OptionError, match="no recipe"):
        Recipe.from_json(text)
