"""Wrinkles against the truth of synthetic subjects, and the plot of a run's numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from deca.errors import OptionError
from deca.head import load_head
from deca.networks import Card, DetailDecoder, random_checkpoint, save_checkpoint
from deca_training.cli import main
from deca_training.data.synthetic import SyntheticSubject, SyntheticSubjects
from deca_training.data.synthetic.generate import generate
from deca_training.evaluate.training import validation_of
from deca_training.evaluate.wrinkles import Wrinkles


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic")
    generate(folder, subjects=1, images=4, seed=5)
    return folder


class Knows(DetailDecoder):
    """An F_d that has seen the subject: its true maps, plus a part that never moves, or with what moves turned over."""

    def __init__(self, subject: SyntheticSubject, static: float = 0.0, sign: float = 1.0) -> None:
        super().__init__()
        self.subject, self.static, self.sign = subject, static, sign

    def forward(self, detail_BD: torch.Tensor, expression_BE: torch.Tensor, jaw_pose_B3: torch.Tensor) -> torch.Tensor:
        neutral_HW, rows = self.subject.neutral_displacement_HW, []
        for expression_E in expression_BE.numpy():
            at = np.abs(self.subject.expression_KE - expression_E).sum(1).argmin() if expression_E.any() else None
            map_HW = neutral_HW if at is None else self.subject.displacement_KHW[at]
            rows.append(neutral_HW + self.sign * (map_HW - neutral_HW) + self.static * neutral_HW)
        return torch.from_numpy(np.stack(rows))[:, None]


def test_scores_tell_static_from_moving(folder: Path) -> None:
    subject = SyntheticSubjects(folder)[0]
    assert subject.expression_KE.any(1).all()  # nobody is at rest, which this oracle would not tell from neutral
    wrinkles = Wrinkles(random_checkpoint(0, Card.of(load_head(), backbone="mobilenet_v3_large")))
    scores = {}
    for name, decoder in {
        "all": Knows(subject),
        "more static": Knows(subject, static=3.0),
        "turned over": Knows(subject, sign=-1.0),
    }.items():
        wrinkles.decoder = decoder
        with torch.no_grad():
            scores[name] = wrinkles.from_one_photo(subject)
    assert scores["all"][:2] == pytest.approx((1, 1), abs=1e-5) and scores["all"].missed == pytest.approx((0, 0))
    assert scores["more static"][1] == pytest.approx(1, abs=1e-5) and scores["more static"][0] < 0.999
    assert scores["turned over"][1] == pytest.approx(-1, abs=1e-5)


def test_a_searched_code_explains_maps_it_has_not_seen(folder: Path) -> None:
    """Of a person whose wrinkles are F_d's own, by a code that E_d does not give."""
    wrinkles = Wrinkles(random_checkpoint(0, Card.of(load_head(), backbone="mobilenet_v3_large")))
    subject = SyntheticSubjects(folder)[0]
    expressions = wrinkles.expressions(subject)
    with torch.no_grad():
        hidden_1D = torch.randn(1, wrinkles.sizes.detail, generator=torch.Generator().manual_seed(1))
        maps_KHW = wrinkles.decoder(hidden_1D.expand(4, -1), *expressions)[:, 0].numpy()
        by_photo = wrinkles.from_one_photo(theirs := replace(
            subject, static_HW=np.zeros_like(subject.static_HW), wrinkles_CHW=maps_KHW,
            activation_KC=np.eye(4, dtype=np.float32), neutral_C=np.zeros(4, np.float32),
        ))  # fmt: skip
    by_search = wrinkles.from_maps(theirs)
    assert by_photo.total < 0.8 < by_search.total


def test_a_true_relief_explains_its_own_expression_whatever_f_d_says(folder: Path) -> None:
    subject = SyntheticSubjects(folder)[0]
    wrinkles = Wrinkles(random_checkpoint(0, Card.of(load_head(), backbone="mobilenet_v3_large")))

    def shown(*photos: int) -> SyntheticSubject:
        rows = list(photos)
        moved = {name: getattr(subject, name)[rows] for name in ("expression_KE", "pose_KJ3", "activation_KC")}
        return replace(subject, **moved)

    with torch.no_grad():
        alike, others = (wrinkles.from_relief(shown(*photos)) for photos in ((2, 2, 2, 2), (0, 1, 2, 3)))
    assert alike.missed[0] < 1e-4 * alike.there[0] and others.missed[0] > 1e-2 * others.there[0]


def test_commands(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = tmp_path / "weights.safetensors"
    save_checkpoint(random_checkpoint(0, Card.of(load_head(), backbone="mobilenet_v3_large")), weights)
    command = ["evaluate", "wrinkles", "--data", str(folder), "--weights", str(weights), "--fitted", "0"]
    assert main([*command, "--out", str(tmp_path)]) == 0
    assert "correlation dynamic" in capsys.readouterr().out and (tmp_path / "wrinkles.csv").is_file()
    run = tmp_path / "run"
    for version, rows in enumerate(("0,0.5,\n1,,\n1,,0.9\n", "3,,0.4\n")):
        part = run / "metrics" / f"version_{version}" / "metrics.csv"
        part.parent.mkdir(parents=True)
        part.write_text("step,train/nme,validation/nme\n" + rows)
    assert validation_of(run) == {"nme": {2: 0.9, 4: 0.4}}
    assert main(["evaluate", "training", "--runs", str(run), "--out", str(tmp_path)]) == 0
    assert Image.open(tmp_path / "training.png").width > 200
    with pytest.raises(OptionError, match="no validation losses"):
        validation_of(tmp_path)
