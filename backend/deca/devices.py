"""The devices that networks can run on here."""

from __future__ import annotations

from deca.errors import OptionError

AUTO, CPU, CUDA = "auto", "cpu", "cuda"


class DeviceError(OptionError):
    """The device asked for is not there."""


def choose_device(name: str) -> str:
    """The torch device of that name; imports torch.

    Args:
        name: One of those that `devices` lists, or `auto`: CUDA where torch can use it, else the CPU.

    Raises:
        DeviceError: There is no such device here; the message names those that there are.
    """
    there = devices()
    if name == AUTO:
        return CUDA if CUDA in there else CPU
    if name not in there:
        import torch

        hint = f"Choose {' or '.join((AUTO, *there))}."
        if name.partition(":")[0] == CUDA and CUDA not in there:
            hint += f" For cuda, torch {torch.__version__} finds no graphics card that it can use: driver, CUDA build?"
        raise DeviceError(f"There is no device {name!r} here.", hint)
    return name


def devices() -> tuple[str, ...]:
    """Names of the devices that there are: `cpu`, and `cuda`, `cuda:0`, ... where torch finds graphics cards."""
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return (CPU, CUDA, *(f"{CUDA}:{index}" for index in range(count))) if count else (CPU,)
