"""Wrinkles of synthetic subjects against the truth: how much of what moves is known from one photo?

The mean map of a person explains most of the displacement, so that what counts is the dynamic part, D - D(neutral).

Shape suffixes: K photos of a subject, D detail code, E expression coefficients, P texels of the skin.
"""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from deca.head import load_head
from deca.networks import MAP_SIZE, Checkpoint
from deca.reconstruct.moving_relief import MovingRelief, with_reliefs
from deca.reconstruct.relief import Relief
from deca.render.detail import DETAIL_MASK
from deca.render.uv import uv_mask
from deca.vision.landmarks import LandmarkNet
from deca_training.data.dataset import pictures
from deca_training.data.synthetic import SyntheticSubject, SyntheticSubjects
from deca_training.data.synthetic.seen import found_landmarks
from deca_training.evaluate.separation import mean
from deca_training.evaluate.tables import Table

_STEPS, _RATE = 80, 0.05
"""Of the search for the code that explains a subject's maps best."""


class Scores(NamedTuple):
    """Of a subject's maps.

    Attributes:
        total, dynamic: Correlations with the truth; they do not see how deep wrinkles are.
        missed, there: Squares of the errors and of the truth, total and dynamic.
    """

    total: float
    dynamic: float
    missed: tuple[float, float]
    there: tuple[float, float]


class Wrinkles:
    """E_d and F_d on synthetic subjects.

    Args:
        checkpoint: The networks.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.encoder = checkpoint.detail_encoder.eval().requires_grad_(False)
        self.decoder = checkpoint.detail_decoder.eval().requires_grad_(False)
        self.landmarks = LandmarkNet().eval()
        self.sizes = checkpoint.card.sizes
        self.head = load_head()
        self.skin_HW = uv_mask(self.head, DETAIL_MASK, MAP_SIZE) > 0.5

    def known(self, subject: SyntheticSubject) -> tuple[Tensor, Tensor]:
        """The true maps (K, P) of the photos, and the neutral one (P,), metres."""
        maps_KHW = torch.from_numpy(subject.displacement_KHW)
        return maps_KHW[:, self.skin_HW], torch.from_numpy(subject.neutral_displacement_HW)[self.skin_HW]

    def maps(self, detail_KD: Tensor, expression_KE: Tensor, jaw_K3: Tensor) -> Tensor:
        """F_d's maps (K, P), metres."""
        return self.decoder(detail_KD, expression_KE, jaw_K3)[:, 0, self.skin_HW]

    def codes(self, subject: SyntheticSubject) -> Tensor:
        """E_d's code (K, D) of each photo, by the landmarks that the product would find on it."""
        landmarks_KL3 = torch.from_numpy(found_landmarks(subject, self.landmarks))
        return self.encoder(pictures(list(subject.image_KHW3)), landmarks_KL3)

    def expressions(self, subject: SyntheticSubject) -> tuple[Tensor, Tensor]:
        """Expression (K, E) and jaw (K, 3) of each photo."""
        expression_KE = subject.expression_KE[:, : self.sizes.expression]
        return torch.from_numpy(expression_KE), torch.from_numpy(subject.pose_KJ3[:, 2])

    def from_one_photo(self, subject: SyntheticSubject) -> Scores:
        """Each photo's map by the code of the subject's next photo."""
        return self.from_codes(subject, self.codes(subject).roll(1, 0))

    def from_nobody(self, subject: SyntheticSubject) -> Scores:
        """Each photo's map by a code of zeros: what is to be known of everybody."""
        return self.from_codes(subject, torch.zeros(len(subject), self.sizes.detail))

    def from_codes(self, subject: SyntheticSubject, detail_KD: Tensor) -> Scores:
        """Each photo's map by a detail code."""
        truth_KP, neutral_P = self.known(subject)
        expression_KE, jaw_K3 = self.expressions(subject)
        made_KP = self.maps(detail_KD, expression_KE, jaw_K3)
        at_rest_KP = self.maps(detail_KD, torch.zeros_like(expression_KE), torch.zeros_like(jaw_K3))
        return _scores(made_KP, at_rest_KP, truth_KP, neutral_P)

    def from_relief(self, subject: SyntheticSubject) -> Scores:
        """Each photo's map by the code and the true relief of the subject's next photo: what animation does to it."""
        truth_KP, neutral_P = self.known(subject)
        expression_KE, jaw_K3 = self.expressions(subject)
        sure_HW = np.ones((MAP_SIZE, MAP_SIZE), np.float32)
        made, at_rest = [], []
        for photo, code_1D in enumerate(self.codes(subject)[:, None]):
            other = (photo - 1) % len(subject)
            rows = (slice(photo, photo + 1), slice(other, other + 1))
            own, moved = (self.decoder(code_1D, expression_KE[row], jaw_K3[row]) for row in rows)
            rest = self.decoder(code_1D, torch.zeros_like(expression_KE[:1]), torch.zeros_like(jaw_K3[:1]))
            worn = [(MovingRelief.of(Relief(subject.displacement_KHW[photo], sure_HW), own, self.head), 1.0)]
            for maps, detail_11HW in ((made, moved), (at_rest, rest)):
                maps.append(with_reliefs(detail_11HW, worn, self.head)[:, 0, self.skin_HW])
        return _scores(torch.cat(made).roll(-1, 0), torch.cat(at_rest).roll(-1, 0), truth_KP, neutral_P)

    def from_maps(self, subject: SyntheticSubject) -> Scores:
        """The same with the code that explains the first half of the maps best, on the other half."""
        truth_KP, neutral_P = self.known(subject)
        expression_KE, jaw_K3 = self.expressions(subject)
        half = len(truth_KP) // 2
        code_D = self.codes(subject).mean(0).requires_grad_()
        optimizer = torch.optim.Adam([code_D], _RATE)
        for _ in range(_STEPS):
            made_KP = self.maps(code_D.expand(half, -1), expression_KE[:half], jaw_K3[:half])
            loss = ((made_KP - truth_KP[:half]) * 1e4).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            rest = slice(half, None)
            count = len(truth_KP) - half
            made_KP = self.maps(code_D.expand(count, -1), expression_KE[rest], jaw_K3[rest])
            at_rest_1P = self.maps(code_D[None], torch.zeros_like(expression_KE[:1]), torch.zeros_like(jaw_K3[:1]))
            return _scores(made_KP, at_rest_1P, truth_KP[rest], neutral_P)


def _scores(made_KP: Tensor, at_rest_KP: Tensor, truth_KP: Tensor, neutral_P: Tensor) -> Scores:
    total, dynamic = (made_KP, truth_KP), (made_KP - at_rest_KP, truth_KP - neutral_P)

    def squares(map_KP: Tensor) -> float:
        return float(map_KP.square().sum())

    return Scores(
        _correlation(*total),
        _correlation(*dynamic),
        missed=(squares(total[0] - total[1]), squares(dynamic[0] - dynamic[1])),
        there=(squares(total[1]), squares(dynamic[1])),
    )


def _correlation(one_KP: Tensor, other_KP: Tensor) -> float:
    return float(np.corrcoef(one_KP.flatten().numpy(), other_KP.flatten().numpy())[0, 1])


def evaluate_wrinkles(
    checkpoint: Checkpoint, subjects: SyntheticSubjects, *, fitted: int = 8, name: str = "", progress: bool = False
) -> Table:
    """Correlations with the truth, a row per way to the detail code; the mean over subjects.

    Args:
        checkpoint: The networks.
        subjects: Synthetic subjects that they were not trained on.
        fitted: How many of them to search codes for, which takes seconds each.
        name: What the method is called.
        progress: Show a progress bar.
    """
    wrinkles = Wrinkles(checkpoint)
    found: dict[str, list[Scores]] = defaultdict(list)
    for number, subject in enumerate(tqdm(subjects, unit="subject", disable=not progress)):
        with torch.no_grad():
            found["zeros: nobody's"].append(wrinkles.from_nobody(subject))
            found["another photo of the person, by E_d"].append(wrinkles.from_one_photo(subject))
            found["another photo, by E_d and its true relief"].append(wrinkles.from_relief(subject))
        if number < fitted:
            found["half of the person's maps, by search"].append(wrinkles.from_maps(subject))
    table = Table("Wrinkles of synthetic subjects")
    for way, scores in found.items():
        missed, there = (np.sum([getattr(score, name) for score in scores], 0) for name in ("missed", "there"))
        table.add(
            method=name,
            detail_code_from=way,
            subjects=len(scores),
            correlation=mean([score.total for score in scores]),
            correlation_dynamic=mean([score.dynamic for score in scores]),
            explained=float(1 - missed[0] / there[0]),
            explained_dynamic=float(1 - missed[1] / there[1]),
        )
    table.notes += [
        "correlation over the skin with true maps of expressions that the code was not made from",
        "explained: share of the squares of all subjects' maps; depth counts",
        "dynamic: of D - D(neutral)",
    ]
    return table
