"""Model checks without Blender: answers, changed minds, and what counts as FLAME's own files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from deca_blender.client import ClientError, RequestFailed
from deca_blender.core.model_check import ModelChecks, find_checkpoints, is_flames_own
from deca_blender.protocol.messages import ConvertHeadReply, WeightsReply


class Job:
    """Done when it is told so."""

    def __init__(self) -> None:
        self.answer: Any = None
        self.is_cancelled = False

    def poll(self) -> bool:
        return self.answer is not None

    def wait(self) -> Any:
        return self.result()

    def result(self) -> Any:
        if isinstance(self.answer, ClientError):
            raise self.answer
        return self.answer

    def cancel(self) -> None:
        self.is_cancelled = True


def test_a_question_its_answer_and_the_next() -> None:
    checks, first, second = ModelChecks(), Job(), Job()
    assert checks.verdict("head") is None and not checks.is_waiting
    checks.ask("head", first, "Looking")
    known = checks.verdict("head")
    assert known is not None and known.is_good is None and known.text == "Looking"
    assert checks.step() == [] and checks.is_waiting

    checks.ask("head", second, "Looking again")
    first.answer = RequestFailed("AssetError", "late", "")
    assert first.is_cancelled and checks.step() == [] and checks.jobs() == [second]
    second.answer = WeightsReply("0123", "openhead", "", 50, 128, "CC0")
    assert checks.step() == [second.answer] and not checks.is_waiting
    known = checks.verdict("head")
    assert known is not None and known.is_good and "openhead" in known.text and "128" in known.text


def test_failures_become_verdicts_with_a_hint() -> None:
    checks, job, other = ModelChecks(), Job(), Job()
    checks.ask("weights", job, "")
    checks.ask("head", other, "")
    job.answer = RequestFailed("AssetError", "The file is damaged.", "Copy it again.")
    other.answer = ConvertHeadReply("/x")
    assert checks.step() == [other.answer]
    known = checks.verdict("weights")
    assert (
        known is not None and not known.is_good and (known.text, known.hint) == (job.answer.message, "Copy it again.")
    )
    checks.forget("weights")
    assert checks.verdict("weights") is None


def test_what_is_flames_own(tmp_path: Path) -> None:
    assert is_flames_own("/x/generic_model.pkl") and is_flames_own(str(tmp_path))
    assert not any(map(is_flames_own, ("", "openhead", "/x/flame.safetensors")))


def test_checkpoints_of_a_folder_the_newest_first(tmp_path: Path) -> None:
    for age, name in enumerate(("b.tar", "deep/er/no.tar", "run/a.safetensors", "c.txt", "d.safetensors")):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.utime(path, (1e9 - age, 1e9 - age))
    names = [path.relative_to(tmp_path).as_posix() for path in find_checkpoints(str(tmp_path))]
    assert names == ["b.tar", "run/a.safetensors", "d.safetensors"]
    assert find_checkpoints(str(tmp_path / "missing")) == []
