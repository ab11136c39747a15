"""Where networks run, decided when the first request needs it."""

from __future__ import annotations

from importlib import metadata

from deca.devices import AUTO, CPU, CUDA, choose_device

DEVICES = (AUTO, CPU, CUDA)


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
            DeviceError: It is not there.
        """
        self.name = choose_device(self.name)
        return self.name

    @staticmethod
    def torch_version() -> str:
        """Version of the installed torch without importing it, "" without one."""
        try:
            return metadata.version("torch")
        except metadata.PackageNotFoundError:
            return ""
