"""The report for bugs: what it says, and what it leaves out."""

from __future__ import annotations

from deca_blender.core.diagnostics import report, without_user
from deca_blender.protocol.messages import HelloReply


def test_report_names_versions_and_hides_the_user() -> None:
    hello = HelloReply(2, "0.1.0", "3.11.9", "2.13.0", "cpu", ("openhead",), "/home/zoe/x.log", 7)
    text = report("4.5.1", "ready", "", hello, {"python": "/home/zoe/env/bin/python", "command": ""})
    for line in ("Blender: 4.5.1", "torch: 2.13.0", "Device: cpu", "Preference python: /home/.../env/bin/python"):
        assert line in text.splitlines()
    assert "zoe" not in text and "Failure" not in text and "Preference command: (default)" in text


def test_report_without_a_backend_says_why() -> None:
    text = report("5.2.0", "failed", "No Python was found.", None, {})
    assert "Failure: No Python was found." in text and "torch" not in text


def test_home_folders_of_every_system() -> None:
    assert without_user(r"C:\Users\Zoe\a.txt") == r"C:\Users\...\a.txt"
    assert without_user("/Users/zoe/a /home/max") == "/Users/.../a /home/..."
    assert without_user("/opt/x") == "/opt/x"
