"""Where networks run, decided when the first request needs it."""

from __future__ import annotations

from importlib import metadata

from deca.errors import DecaError

DEVICES = ("auto", "cpu", "cuda")


class DeviceError(DecaError):
    """The device asked for is not there."""


class Device:
    """A choice of device that imports torch only when it has to be made.

    Args:
        choice: One of `DEVICES`; `auto` is CUDA where it works, else the CPU.
    """

    def __init__(self, choice: str) -> None:
        self.name = choice

    def resolve(self) -> str:
        """`cpu` or `cuda`; imports torch.

        Raises:
            DeviceError: CUDA was asked for and torch cannot use it.
        """
        import torch

        if self.name == "auto":
            self.name = "cuda" if torch.cuda.is_available() else "cpu"
        if self.name == "cuda" and not torch.cuda.is_available():
            raise DeviceError(
                f"The device cuda was asked for, but torch {torch.__version__} finds no CUDA device.",
                "Choose the device cpu or auto, or install a GPU driver and a CUDA build of torch.",
            )
        return self.name

    @staticmethod
    def torch_version() -> str:
        """Version of the installed torch without importing it, "" without one."""
        try:
            return metadata.version("torch")
        except metadata.PackageNotFoundError:
            return ""
