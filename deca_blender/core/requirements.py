"""What *Install Backend* installs: the `dependencies` of pyproject.toml (it ships with the extension), and which torch.

PyPI's torch computes on NVIDIA cards on Linux, and brings gigabytes of CUDA along; on Windows and macOS it computes on
the processor only. PyTorch's own indexes have the other kinds.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

PYPROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"
TORCH_CHOICES = ("auto", "cuda", "cpu")
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
CUDA_INDEX = "https://download.pytorch.org/whl/cu128"
"""CUDA 12.8: has Windows builds, for all cards since Turing."""

_GB = 1_000_000_000
_MACHINES = {"amd64": "x86_64", "aarch64": "arm64"}
_SIZES_GB = {
    ("Linux", "cpu"): (0.36, 1.4),
    ("Linux", "cuda"): (3.2, 6.2),
    ("Windows", "cpu"): (0.27, 1.1),
    ("Windows", "cuda"): (3.5, 7.0),
    ("Darwin", "cpu"): (0.21, 0.9),
}
"""Download, and what is on the disk in the end. Installed and measured on Linux x86-64 in November 2026; for Windows
and macOS with the processor's torch the sizes of the wheels, plus the 0.2 GB of compiled Python; for Windows with CUDA
an estimate on the safe side."""
_BINARY = "--only-binary=:all:"
"""Nothing is compiled: nobody who presses a button has the compilers, and the failure would not be understood."""


@dataclass(frozen=True)
class Plan:
    """What will be installed.

    Attributes:
        torch: `cuda` or `cpu`, what torch will compute on.
        pip_installs: Arguments of `pip install`, once per call.
        download_bytes: About what is downloaded.
        disk_bytes: About what is on the disk in the end.
    """

    torch: str
    pip_installs: tuple[tuple[str, ...], ...]
    download_bytes: int
    disk_bytes: int

    @property
    def needed_bytes(self) -> int:
        """Free space that is needed meanwhile: downloads lie beside what is unpacked from them."""
        return self.download_bytes + self.disk_bytes


def install_plan(choice: str, has_nvidia: bool, system: str, machine: str, requirements: list[str]) -> Plan:
    """Which packages from where.

    Args:
        choice: One of `TORCH_CHOICES`; `auto` takes CUDA where there is a card for it.
        has_nvidia: Whether there is an NVIDIA card that torch can use.
        system: As `platform.system()` tells it.
        machine: As `platform.machine()` tells it.
        requirements: Requirement lines for pip, torch among them.

    Raises:
        ValueError: `unsupported` says why there are no packages.
    """
    if reason := unsupported(system, machine):
        raise ValueError(reason)
    wants_cuda = choice == "cuda" or (choice == "auto" and has_nvidia)
    torch = "cuda" if wants_cuda and system != "Darwin" else "cpu"
    index = {("Linux", "cpu"): CPU_INDEX, ("Windows", "cuda"): CUDA_INDEX}.get((system, torch))
    # torch alone from there: all else comes from where the user's pip looks, and the second call finds torch installed.
    first = [(_BINARY, "--index-url", index, *filter(_is_torch, requirements))] if index else []
    download, disk = _SIZES_GB[system, torch]
    return Plan(torch, (*first, (_BINARY, *requirements)), round(download * _GB), round(disk * _GB))


def unsupported(system: str, machine: str) -> str:
    """Why the packages do not exist for a kind of computer, or ""; arguments as `install_plan`."""
    machine = _MACHINES.get(machine.lower(), machine.lower())
    if (system, machine) == ("Darwin", "x86_64"):
        return "PyTorch no longer exists for Macs with Intel processors"
    if (system, machine) not in {("Linux", "x86_64"), ("Linux", "arm64"), ("Windows", "x86_64"), ("Darwin", "arm64")}:
        return f"The backend's packages do not exist for {system} on {machine} processors"
    return ""


def backend_requirements(pyproject: Path = PYPROJECT) -> list[str]:
    """Requirement lines for pip.

    Raises:
        OSError: The file is missing.
    """
    with pyproject.open("rb") as file:
        return tomllib.load(file)["project"]["dependencies"]


def _is_torch(requirement: str) -> bool:
    return requirement.startswith("torch") and not requirement[len("torch") :][:1].isalnum()
