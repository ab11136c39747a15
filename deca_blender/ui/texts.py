"""Words that the user reads, in one place."""

from __future__ import annotations

from ..client import InstallState, State

TAB = "DECA"
PANEL_IMPORT = "Face From Photo"
PANEL_HEAD = "Head"
PANEL_EXPRESSION = "Expression"
PANEL_POSE = "Pose"
PANEL_COEFFICIENTS = "Coefficients"

IMPORT = "Face From Photo"
IMPORT_MENU = "Face From Photo (DECA)"
IMPORT_DESCRIPTION = "Build a rigged, textured head from the face on a photo; several photos become several heads"
TEXTURE_SIZE = "Rows and columns of the head's texture"
USE_CAMERA = "Add a camera that sees the head where it lies on the photo, and make it the scene's camera"
USE_ALL_FACES = "Build a head for every face on the photo, not only for the most prominent one"
NOTHING_CHOSEN = "No photo was chosen. Select one or more pictures in the file browser."
ESC_CANCELS = "Esc: cancel"
CANCELLED = "Import cancelled"

RESET = "Reset Expression"
RESET_DESCRIPTION = "Put the sliders and bones of the active head to rest, or back to what the photo shows"
RESET_NEUTRAL = ("NEUTRAL", "Neutral", "All sliders to zero; neck, jaw and eyes to rest")
RESET_PHOTO = ("PHOTO", "As on Photo", "The expression and pose of the photo")

PRESET = "Preset"
PRESET_DESCRIPTION = "Put the ARKit sliders of the active head to a named expression"
RANDOM = "Random Expression"
RANDOM_DESCRIPTION = "Put the ARKit sliders of the active head to a random, plausible expression"
AMOUNT = "How strong the expression is"
SEED = "The same seed gives the same expression"
MIRROR = "Mirror Expression"
MIRROR_DESCRIPTION = "Mirror the ARKit sliders of the active head"
MIRROR_MODES = [
    ("FLIP", "Flip", "Swap the two sides"),
    ("LEFT", "Left to Right", "Copy the head's left side to its right"),
    ("RIGHT", "Right to Left", "Copy the head's right side to its left"),
]
KEY = "Key All"
KEY_DESCRIPTION = "Set a keyframe on all sliders and bones of the active head"
PIE = "Expression"
NO_ARKIT = "This head model has no ARKit sliders"

INSTALL = "Install Backend"
INSTALL_DESCRIPTION = "Download the Python packages that turn photos into heads, into the extension's own folder"
INSTALL_NEEDS_ONLINE = "Needs internet: allow online access in Preferences > System > Network"
INSTALL_NEEDS_EXTENSION = "Only an installed extension has a folder for the backend; choose a Python instead"
INSTALLED = "The backend is installed"
INSTALL_CANCELLED = "Installation cancelled; the backend is not usable"

DIAGNOSTICS = "Copy Diagnostics"
DIAGNOSTICS_DESCRIPTION = "Copy versions, device and the backend's state to the clipboard, for a bug report"
DIAGNOSTICS_COPIED = "Diagnostics copied to the clipboard"
OPEN_LOG = "Open Log"
OPEN_LOG_DESCRIPTION = "Open the newest log file of the backend"
NO_LOG = "There is no log: the backend has not run on this machine, or runs without a log folder"

PREFERENCE_PYTHON = "Python with torch that runs the backend; empty: the installed backend"
PREFERENCE_COMMAND = "Full command of a backend elsewhere, for instance: ssh gpu-box deca serve"
PREFERENCE_DEVICE = "Where the backend computes"

NO_HEAD = "Select a head to pose it"
NO_RIG = "The head's armature was deleted"

BACKEND_STATE = {
    State.STOPPED: "Backend: starts with the first photo",
    State.STARTING: "Backend: starting",
    State.READY: "Backend: ready",
    State.BUSY: "Backend: working",
    State.FAILED: "Backend: failed",
}

JOINT_LABELS = {"root": "Head", "neck": "Neck", "jaw": "Jaw", "eye_l": "Left Eye", "eye_r": "Right Eye"}


def imported(names: list[str]) -> str:
    """What was imported, for the status bar."""
    return f"Imported {names[0]}" if len(names) == 1 else f"Imported {len(names)} heads"


def progress(photo: str, index: int, count: int, step: str) -> str:
    """The status bar during an import."""
    which = f" ({index + 1} of {count})" if count > 1 else ""
    return " | ".join(text for text in (f"DECA: {photo}{which}", step, ESC_CANCELS) if text)


def installing(state: InstallState, detail: str) -> str:
    """The status bar during an installation."""
    return " | ".join(text for text in (f"DECA: {state.value}", detail[:80], ESC_CANCELS) if text)
