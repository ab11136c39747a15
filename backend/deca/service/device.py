"""Where networks run, decided when the first request needs it."""

from __future__ import annotations

from importlib import metadata

from deca.devices import choose_device


class Device:
    """A choice of device that imports torch only when it has to be made.

    Args:
        choice: As `choose_device` has it.
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
