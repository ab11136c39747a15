"""Whether the backend can use a model file: asked once, remembered until something else is asked. Never blocks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ..client import ClientError
from ..protocol.messages import HeadReply, WeightsReply

CHECKPOINT_PATTERNS = ("*.safetensors", "*.tar", "*/*.safetensors", "*/*.tar")


@dataclass(frozen=True)
class Verdict:
    """What is known of a model file.

    Attributes:
        is_good: Whether it can be used; None while the backend is looking at it.
        text: What it is, or why it cannot be used.
        hint: What to do about that.
    """

    is_good: bool | None
    text: str
    hint: str = ""


class CheckJob(Protocol):
    """The part of `client.Job` that is needed here."""

    def poll(self) -> bool: ...

    def wait(self) -> Any: ...

    def result(self) -> Any: ...

    def cancel(self) -> None: ...


class ModelChecks:
    """The last question about each model, by a name such as "head", and its answer."""

    def __init__(self) -> None:
        self._asked: dict[str, CheckJob] = {}
        self._verdicts: dict[str, Verdict] = {}

    def ask(self, name: str, job: CheckJob, doing: str) -> None:
        """Takes note of a question; the answer to an earlier one of this name is not wanted any more."""
        self.forget(name)
        self._asked[name] = job
        self._verdicts[name] = Verdict(None, doing)

    def forget(self, name: str) -> None:
        """What was known under a name holds no longer."""
        if name in self._asked:
            self._asked.pop(name).cancel()
        self._verdicts.pop(name, None)

    def verdict(self, name: str) -> Verdict | None:
        """What is known under a name; None when nothing was asked."""
        return self._verdicts.get(name)

    @property
    def is_waiting(self) -> bool:
        """Whether an answer is still to come."""
        return bool(self._asked)

    def jobs(self) -> list[CheckJob]:
        """The questions under way."""
        return list(self._asked.values())

    def step(self) -> list[Any]:
        """Takes what has been answered; the replies of the good answers."""
        answered = []
        for name, job in list(self._asked.items()):
            if not job.poll():
                continue
            del self._asked[name]
            try:
                reply = job.result()
            except ClientError as error:
                self._verdicts[name] = Verdict(False, error.message, error.hint)
                continue
            self._verdicts[name] = Verdict(True, describe(reply))
            answered.append(reply)
        return answered


def describe(reply: object) -> str:
    """A model in a line."""
    if isinstance(reply, HeadReply):
        sliders = f"{len(reply.arkit_names)} ARKit sliders" if reply.arkit_names else "no ARKit sliders"
        return f"{reply.name}: {len(reply.verts)} vertices, {reply.num_expression} expressions, {sliders}"
    if isinstance(reply, WeightsReply):
        return f"For {reply.head}; detail code of {reply.num_detail}"
    return "Done"


def is_flames_own(path: str) -> bool:
    """Whether a path can only stand for FLAME's own files, which are to be converted first."""
    return bool(path) and (Path(path).suffix == ".pkl" or Path(path).is_dir())


def find_checkpoints(folder: str) -> list[Path]:
    """Weights files of a folder and of the folders in it, the newest first; none where it cannot be read."""
    found: dict[Path, float] = {}
    try:
        for pattern in CHECKPOINT_PATTERNS:
            found |= {path: path.stat().st_mtime for path in Path(folder).glob(pattern) if path.is_file()}
    except OSError:
        pass
    return sorted(found, key=lambda path: (-found[path], str(path)))
