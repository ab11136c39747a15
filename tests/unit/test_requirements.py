"""Which packages *Install Backend* installs, from where, and how big they are; which graphics cards count."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from deca_blender.client import graphics_card
from deca_blender.core.requirements import backend_requirements, install_plan, unsupported

CPU, CUDA = "https://download.pytorch.org/whl/cpu", "https://download.pytorch.org/whl/cu128"


@pytest.mark.parametrize(
    ("system", "machine", "card", "choice", "torch", "index"),
    [
        ("Linux", "x86_64", False, "auto", "cpu", CPU),
        ("Linux", "x86_64", True, "auto", "cuda", None),
        ("Linux", "x86_64", True, "cpu", "cpu", CPU),
        ("Linux", "x86_64", False, "cuda", "cuda", None),
        ("Linux", "aarch64", False, "auto", "cpu", CPU),
        ("Windows", "AMD64", False, "auto", "cpu", None),
        ("Windows", "AMD64", True, "auto", "cuda", CUDA),
        ("Windows", "AMD64", True, "cpu", "cpu", None),
        ("Darwin", "arm64", False, "auto", "cpu", None),
        ("Darwin", "arm64", False, "cuda", "cpu", None),
    ],
)
def test_torch_by_machine_card_and_choice(
    system: str, machine: str, card: bool, choice: str, torch: str, index: str | None
) -> None:
    needs = ["numpy>=1.26", "torch>=2.6", "torchvision>=0.20"]
    plan = install_plan(choice, card, system, machine, "3.10", needs)  # a Python without locks
    assert plan.torch == torch
    *first, last = plan.pip_installs
    assert last == ("--only-binary=:all:", *needs)  # all of them, from where the user's pip looks
    expected = [("--only-binary=:all:", "--index-url", index, "torch>=2.6")] if index else []
    assert first == expected
    assert plan.disk_bytes < 1.5e9 if torch == "cpu" else plan.disk_bytes > 5e9
    assert plan.download_bytes < plan.disk_bytes < plan.needed_bytes


def test_the_projects_own_requirements() -> None:
    plan = install_plan("auto", False, "Linux", "x86_64", "3.10", backend_requirements())
    first, last = plan.pip_installs
    assert [line.split(">")[0] for line in first if ">" in line] == ["torch"]
    names = {line.split(">")[0] for line in last}
    assert {"torch", "numpy", "scipy", "safetensors"} <= names and "bpy" not in names


def test_locked_versions_where_there_is_a_lock() -> None:
    """torch for the processor from its index, first; then what PyPI has, as it is locked."""
    plan = install_plan("cpu", True, "Linux", "x86_64", "3.11", ["torch"])
    calls = [(call[:-1], Path(call[-1])) for call in plan.pip_installs]
    expected = ("--only-binary=:all:", "--no-deps", "--requirement")
    assert [options for options, _ in calls] == [expected, expected]
    (_, own), (_, all_else) = calls
    assert f"--index-url {CPU}\ntorch==" in own.read_text(encoding="utf-8")
    assert "\nscipy==" in all_else.read_text(encoding="utf-8")
    (call,) = install_plan("auto", True, "Linux", "amd64", "3.13", ["torch"]).pip_installs
    text = Path(call[-1]).read_text(encoding="utf-8")
    assert call[:-1] == expected and "\ntorch==" in text and "\nnvidia-" in text


@pytest.mark.parametrize(
    ("system", "machine", "reason"),
    [("Darwin", "x86_64", "Intel"), ("Windows", "ARM64", "arm64"), ("Linux", "riscv64", "riscv64"), ("", "", "exist")],
)
def test_computers_for_which_there_are_no_packages(system: str, machine: str, reason: str) -> None:
    assert reason in unsupported(system, machine)
    with pytest.raises(ValueError, match=reason):
        install_plan("auto", False, system, machine, "3.11", ["torch"])


@pytest.mark.parametrize(
    ("told", "status", "expected"),
    [
        ("8.6, 580.65.06\n", 0, True),
        ("6.1, 580.65.06\n9.0, 600.1\n", 0, True),
        ("6.1, 580.65.06\n", 0, False),  # a card of 2016, which CUDA 13 no longer knows
        ("8.6, 470.1\n", 0, False),
        ("[N/A], [N/A]\n", 0, False),
        ("No devices were found\n", 0, False),
        ("8.6, 600.1\n", 9, False),  # "couldn't communicate with the NVIDIA driver"
        ("", 0, False),
    ],
)
def test_cards_that_torch_can_use(told: str, status: int, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    done = subprocess.CompletedProcess([], status, stdout=told)
    monkeypatch.setattr(graphics_card.subprocess, "run", lambda *_, **__: done)
    assert graphics_card.has_nvidia_card() is expected


def test_cards_where_the_drivers_program_is_missing_or_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(graphics_card, "_DRIVERS_LIST", tmp_path / "gpus")
    assert not graphics_card.has_nvidia_card()
    (tmp_path / "gpus" / "0000:01:00.0").mkdir(parents=True)
    assert graphics_card.has_nvidia_card()  # a sandbox hides the program
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\nexec /bin/sleep 30\n")
    program.chmod(0o755)
    assert not graphics_card.has_nvidia_card(timeout_s=0.2)
