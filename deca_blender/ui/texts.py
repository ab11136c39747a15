"""Words that the user reads, in one place, and those of several parts put together in the user's language.

Plain English, which is also what translations are found by (`translation.py`, `python -m tools.translations`). Words of
what an object remembers are in `properties/texts.py`.
"""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

from ..client import InstallState, State
from ..core.requirements import Plan
from ..core.rig import named_shape_label
from ..protocol.notices import template
from ..scene.editable import Lock, LockKind
from .translation import iface, rpt, tip

TAB = "DECA"
PANEL_IMPORT = "Import"
PANEL_HEAD = "Head"
PANEL_EXPRESSION = "Expression"
PANEL_POSE = "Pose"
PANEL_WRINKLES = "Wrinkles"
HEAD_WITHOUT_WRINKLES = "None: choose weights, import again"
LEVELS_VIEWPORT = "Subdivision"
LEVELS_RENDER = "Render"
MAP_SIZE = "Map {width} x {height} (the networks' own)"
GAZE = "Gaze"
CATCHING_UP = "Catching up"
UP_TO_DATE = "Up to date"
NOT_LIVE = "Not live"
AGE = "Age"
LIKENESS = "Likeness"
STRENGTH = "Strength"
PHOTO_DETAIL = "Photo Detail"
WRINKLE_AGE = "Wrinkle Age"
NO_WRINKLE_AGE = "The weights do not know age"
PANEL_COEFFICIENTS = "Coefficients"
PANEL_TRANSFER = "Transfer"
PANEL_PINS = "Correct by Hand"
PANEL_NAMED_SHAPES = "Shape by Name"

IMPORT = "Import Face From Photo"
IMPORT_DESCRIPTION = "Build a rigged, textured head from the face on a photo; several photos become several heads"
TEXTURE_SIZE = "Rows and columns of the head's texture"
PAINT_HAIR = "Paint hair on the scalp where the photo shows some; else the scalp is skin, to put hair on"
USE_CAMERA = "Add a camera that sees the head where it lies on the photo; the scene's own camera and resolution stay"
USE_VIEW = "Turn 3D viewports to the new heads, and show textures where Solid shading shows Blender's default colors"
USE_ALL_FACES = "Build a head for every face on the photo, not only for the most prominent one"
USE_ONE_PERSON = (
    "All photos are of one person and become one head, with a camera and a keyframe for each photo; photos of somebody"
    " else are left out"
)
ADD_PHOTOS = "Add Photos"
ADD_PHOTOS_DESCRIPTION = (
    "Fit the active head again to its photos and further ones of the same person; your keyframes and materials stay"
)
PHOTOS_ADDED = "Added {count} photo(s) to {name}"
NO_PHOTO_ADDED = "No photo was added; the head is fitted again to those it has"
PHOTOS = "Made from {count} photos"
LEFT_OUT = "Photos that were left out:"
NOTHING_CHOSEN = "No photo was chosen. Select one or more pictures in the file browser."
ESC_CANCELS = "Esc: cancel"
CANCELLED = "Import cancelled"
IMPORT_FOLDER = "Import Folder of Photos"
IMPORT_FOLDER_DESCRIPTION = (
    "Make a file with a head of each photo in a folder, in the background, with a contact sheet of all; what is done"
    " already is left"
)
FOLDER_OUT = "Folder for the heads; beside the photos' folder when empty"
USE_RECURSIVE = "With the photos of sub-folders"
USE_ONE_PERSON_FOLDER = "The photos of each folder are of one person and give one head"
JOBS = "Photos at the same time: each takes a processor and up to 1.6 GB of memory"
FOLDER_FAILED = "The other Blender has ended without a word; start Blender from a terminal to see why"

RESET = "Reset Expression"
RESET_DESCRIPTION = "Put the sliders and bones of the active head to rest, or back to what the photo shows"
RESET_NEUTRAL = ("NEUTRAL", "Neutral", "Sliders of the face to zero, jaw and eyes to rest; the head is held as before")
RESET_PHOTO = ("PHOTO", "As on Photo", "The expression and pose of the photo")
STRAIGHTEN = "Straighten"
STRAIGHTEN_DESCRIPTION = (
    "Hold the active head upright and facing the front; its expression stays. As on Photo brings the photo's pose back"
)

VIEW_CAMERA = "View Through Photo Camera"
VIEW_CAMERA_DESCRIPTION = (
    "See the active head over its photo in this viewport, or leave that view; the scene's camera stays"
)
RENDER_AS_PHOTO = "Render as Photo"
RENDER_AS_PHOTO_DESCRIPTION = "Make the photo's camera the scene's camera, and the photo's resolution the render's"
NO_CAMERA = "The head has no photo camera"
NO_PHOTO_SIZE = "The photo's size is not known any more: identity data was stripped"

DELETE = "Delete Head"
DELETE_DESCRIPTION = "Delete the active head with its armature, its photo camera and its collection"

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
NO_ARKIT = "This head has no ARKit sliders"

APPLY_POSE = "Apply Expression"
APPLY_POSE_MENU = "Apply Expression to Head"
APPLY_POSE_DESCRIPTION = "Put the active head to this expression"
POSE_NOT_FOUND = "The expression {name} cannot be read any more; the asset browser may need to be refreshed"
SAVE_POSE = "Save Expression as Asset"
SAVE_POSE_DESCRIPTION = "Keep the ARKit sliders of the active head as a pose asset of this file"
POSE_NAME = "Name in the asset browser"
POSE_SAVED = "{name} is in the asset browser under Current File"
ADD_LIBRARY = "Add Pose Library"
ADD_LIBRARY_DESCRIPTION = "Show the expressions that come with the add-on in the asset browser"
REMOVE_LIBRARY = "Remove Pose Library"
REMOVE_LIBRARY_DESCRIPTION = "Take the add-on's expressions out of the asset browser"

UPDATE_WRINKLES = "Update Wrinkles"
UPDATE_WRINKLES_DESCRIPTION = "Decode the wrinkles of the selected heads for what they look like now, and wait for it"
NO_WRINKLES = "The selected heads have no wrinkles: choose weights in the preferences and import the photo again"

SHOW_PINS = "Pins on Photo"
SHOW_PINS_DESCRIPTION = (
    "Look through the photo's camera and show the head's landmarks: drag one to where it is on the photo, and the head"
    " follows. Again: hide them"
)
DRAG_PIN = "Drag Pin"
DRAG_PIN_DESCRIPTION = (
    "Drag this landmark to where it is on the photo. A click holds it where it is, another lets it go"
)
DRAGGING_PIN = "drag the landmark to where it is on the photo"
REMOVE_PINS = "Remove Pins"
REMOVE_PINS_DESCRIPTION = "Let all landmarks of this photo go: the head goes back to what was found on the photo"
RESET_NAMED_SHAPES = "Reset Shape"
RESET_NAMED_SHAPES_DESCRIPTION = "Put all of these sliders to 0: the shape is as found on the photos"
NO_PINS = {
    "landmarks": "The head does not know its landmarks, or its mesh was changed: import its photo again",
    "rig": "The head's armature, or a bone of it, was deleted",
    "camera": "The head has no photo camera any more",
    "pins": "No landmark of this photo is held",
}
NO_NAMED_SHAPES = (
    "The head has no measures with names: its head model has none (FLAME), or it was imported by an earlier version"
)
PANEL_BAKE = "Bake"
BAKE_FRAMES = "Bake Wrinkles"
BAKE_FRAMES_DESCRIPTION = (
    "Keep the wrinkles of each frame of the selected heads as they are animated now, so that the file plays and renders"
    " without the backend and without this add-on. Live wrinkles are turned off; strength still works"
)
BAKE_SCENE_RANGE = "Bake the frames from the scene's start to its end"
BAKE_FIRST = "First frame to bake"
BAKE_LAST = "Last frame to bake"
BAKE_STORAGE = "Where the maps of the frames are kept"
BAKE_STORAGES = [
    ("PACKED", "In the File", "All frames in one picture, packed into the .blend"),
    ("FOLDER", "Folder", "One EXR file (half float) for each frame, in a folder beside the .blend"),
]
BAKE_FOLDER = "Each head gets a folder of its own in this one"
BAKE_NO_FRAMES = "The last frame comes before the first: set the range, or the scene's start and end"
BAKE_UNSAVED = "Save the .blend first: the folder is relative to it. Or choose another folder, or pack the frames"
BAKE_RIG = "Bake Wrinkle Rig"
BAKE_RIG_DESCRIPTION = (
    "Approximate the wrinkles of the selected heads, with the detail they wear now, by a few maps that sliders and jaw"
    " blend, without the backend and without this add-on. Live wrinkles are turned off; strength still works"
)
BAKE_NUM_MAPS = "How many maps the sliders blend: more come nearer to the live wrinkles, and evaluate slower"
BAKE_NORMALS = "Bake Normal Map"
BAKE_NORMALS_DESCRIPTION = "Write the active head's wrinkles as they are now to a tangent-space normal map, for games"
NORMALS_SIZE = "Rows and columns of the map"
NORMALS_BITS = "Bits of each channel"
NORMALS_GREEN = "Which way green points"
NORMALS_GREENS = [
    ("OPENGL", "OpenGL", "Green points up, as Blender, Unity and Godot want it"),
    ("DIRECTX", "DirectX", "Green points down, as Unreal wants it"),
]
NORMALS_MATERIAL = "Also put the map into the skin's material; hide the displacement to see it alone"
NORMALS_NOT_SHOWN = "Blender's materials need green up: the DirectX map was written, but not put into the material"
NORMALS_NO_FILE = "No file was chosen for the normal map"
NORMALS_WRITTEN = "Wrote {path}"

EXPORT = "Export Head"
EXPORT_DESCRIPTION = (
    "Write the active head for other programs: with the ARKit shapes as morphs that need neither bones nor drivers."
    " The head itself stays as it is"
)
EXPORT_FORMAT = "File format"
EXPORT_FORMATS = {
    "glb": "For the web and for engines: morphs, bones, animation and textures in one file",
    "fbx": "For Unity, Unreal, Maya and others: morphs, bones, animation, textures",
    "usd": "For Omniverse, Houdini, Maya and others: blend shapes, bones, animation, textures",
    "obj": "The surface as it looks now, with its texture; no morphs",
    "abc": "The surface as it looks, frame by frame, exactly; no morphs, no textures",
}
EXPORT_EXPRESSION = "What the face shows where nothing is animated"
EXPORT_EXPRESSIONS = [
    ("CURRENT", "As It Is", "As the sliders and bones are now"),
    ("NEUTRAL", "Neutral", "All morphs at 0"),
]
EXPORT_SKELETON = "With bones for head, neck, jaw and eyes. The morphs move jaw and eyes all the same"
EXPORT_ANIMATION = "With the frames from the scene's start to its end, as keyframes of the morphs and of head and neck"
EXPORT_VISEMES = "With the 15 visemes of Oculus Lipsync as further morphs, made of the ARKit shapes"
EXPORT_COEFFICIENTS = (
    "With the head model's own expression coefficients as further morphs; without them, what they show is taken over"
    " by the ARKit shapes as far as these can"
)
EXPORT_TEXTURES = "Where the pictures go"
EXPORT_TEXTURE_PLACES = [
    ("INSIDE", "Inside", "Inside the file where its format can hold them, else beside it"),
    ("BESIDE", "Beside", "PNG files beside the file; GLB holds them inside in any case"),
    ("NONE", "None", "No pictures"),
]
EXPORT_NORMALS = "Side of the map of normals of the wrinkles as they are now"
EXPORT_WRINKLE_MAPS = "With the maps of the baked wrinkle rig as EXR files, and in the JSON how the morphs blend them"
EXPORT_DETAIL = "Levels of subdivision at which the wrinkles of now move the surface itself; 0 is the coarse mesh"
EXPORT_TRIANGLES = "Triangles in place of quads; GLB always has triangles"
EXPORT_PART = "With this part of the head"
EXPORT_SCALE = "Units of the file in a metre: 100 for centimetres"
EXPORT_UP = "Which axis points up; GLB and Alembic always have Y"
EXPORT_NO_FILE = "No file was chosen for the export"
EXPORT_WITHOUT_NORMALS = "There is no map of normals: {reason}"
NOTHING_TO_EXPORT = "Select a head to export it"
CLEAR_BAKED = "Clear Baked Wrinkles"
CLEAR_BAKED_DESCRIPTION = "Go back to live wrinkles on the selected heads; files of baked frames stay where they are"
NOTHING_BAKED = "No selected head has baked wrinkles"
NOTHING_TO_BAKE = "Select a head to bake its wrinkles"
BAKE_CANCELLED = "Baking cancelled; nothing has changed"
BAKED_FRAMES = "Baked frames {first} to {last} of {count} head(s)"
NOT_BAKED = "Not baked"

TRANSFER = "Transfer Wrinkles"
TRANSFER_DESCRIPTION = "Give the active head's wrinkles to the other selected heads; shape, expression and texture stay"
TRANSFER_AMOUNT = "Share of the active head's wrinkles; it can be changed and keyframed afterwards"
TRANSFERRED = "{count} head(s) wear the wrinkles of {source}"
RESTORE = "Restore Wrinkles"
RESTORE_DESCRIPTION = "Give the selected heads their own wrinkles back"
NOTHING_TO_RESTORE = "No selected head wears another's wrinkles"
COPY_EXPRESSION = "Copy Expression"
COPY_EXPRESSION_DESCRIPTION = "Give the active head's expression and jaw to the other selected heads"
EXPRESSION_COPIED = "{count} head(s) have the expression of {source}"
NO_SOURCE = "Make a head active: the others take from it"
NO_TARGET = "Select another head as well: it takes from the active one"

INDEPENDENT = "Make Independent"
INDEPENDENT_DESCRIPTION = "Give the selected linked duplicates sliders and bones of their own"
NOTHING_SHARED = "The selected heads have sliders and bones of their own"

STRIP = "Strip Identity Data"
STRIP_DESCRIPTION = "Delete what identifies the person on the selected heads: codes, crop, photo and its path"
STRIP_CONFIRM = (
    "Deletes the codes, the crop, the path of the photo and the photo behind the camera. The mesh and its sliders stay,"
    " and so do the textures and the names, which may still show who it is. Wrinkles no longer follow the expression."
    " Undo remembers everything until the file is opened again."
)
STRIPPED = "Identity data deleted from {names}; save the file, and delete its older versions"
STILL_THERE = "Still in this file: {what}"
NOTHING_TO_STRIP = "Select the heads to strip"

INSTALL = "Install Backend"
INSTALL_DESCRIPTION = "Download the Python packages that turn photos into heads, into the extension's own folder"
INSTALL_NEEDS_ONLINE = "Needs internet: allow online access in Preferences > System > Network"
INSTALL_NEEDS_EXTENSION = "Only an installed extension has a folder for the backend; choose a Python instead"
INSTALL_RUNS = "It is being installed; Esc cancels"
INSTALLED = "The backend is installed"
NOT_INSTALLED = "Backend: not installed"
IS_INSTALLED = "Backend: installed"
INSTALL_CANCELLED = "Installation cancelled; the backend is not installed"
LOOKING_FOR_A_CARD = "Looking for a graphics card"
TORCH_CHOICES = (
    ("auto", "Automatic", "For NVIDIA graphics cards where there is one that PyTorch can use, else for the processor"),
    ("cuda", "NVIDIA Graphics Card", "Several gigabytes; needs a card of 2018 or newer and a driver of today"),
    ("cpu", "Processor", "Small, works everywhere"),
)
TORCH_FOR = {"cuda": "NVIDIA graphics cards", "cpu": "the processor"}

DIAGNOSTICS = "Copy Diagnostics"
DIAGNOSTICS_DESCRIPTION = "Copy versions, device and the backend's state to the clipboard, for a bug report"
DIAGNOSTICS_COPIED = "Diagnostics copied to the clipboard"
OPEN_LOG = "Open Log"
OPEN_LOG_DESCRIPTION = "Open the newest log file of the backend or of its installation"
NO_LOG = "There is no log: the backend has not run on this machine, or runs without a log folder"

CHECKING = "The backend is looking at it"
CONVERTING = "The backend is converting it"
CHECK = "Check Models"
CHECK_DESCRIPTION = "Ask the backend whether head model and weights can be read and belong together"
CONVERT = "Convert FLAME"
CONVERT_DESCRIPTION = (
    "Convert FLAME's own files, which must lie beside DECA's landmark_embedding.npy and head_template.obj, to a head"
    " model file on this computer. Nothing that is in the pickle is run"
)
NOTHING_TO_CONVERT = "Name FLAME's generic_model.pkl, or its folder, as the head model first"
BUNDLED_HEAD = "OpenHead, which comes with the add-on"
NO_WEIGHTS = "None: heads without wrinkles"
BUILTIN_WEIGHTS = "Built-in weights, which come with the add-on"
NO_CHECKPOINT = ("None of These", "No weights of this folder")

PREFERENCE_PYTHON = "Python with torch that runs the backend; empty: the installed backend"
PREFERENCE_TORCH = "Which PyTorch the backend is installed with"
PREFERENCE_COMMAND = "Full command of a backend elsewhere, for instance: ssh gpu-box deca serve"
PREFERENCE_HEAD = (
    "Head model of new heads: a converted .safetensors file, or FLAME's generic_model.pkl or its folder, to be"
    " converted here; empty: OpenHead"
)
PREFERENCE_WEIGHTS = "Networks that give heads wrinkles: DECA's deca_model.tar or a weights file; empty: built-in"
PREFERENCE_CHECKPOINTS = "Folder of your own weights files, to choose from below"
PREFERENCE_CHECKPOINT = "Use one of the folder's weights files, the newest first"
PREFERENCE_CACHE = "Memory for wrinkle maps that were decoded before, MiB; a map takes a quarter of one"
PREFERENCE_DEVICE = "Where the backend computes"

LOCKS = {
    LockKind.LINKED: "{name} is linked from {file}: open that file to change it, or make a library override to pose it",
    LockKind.SYSTEM_OVERRIDE: "{name} is a read-only library override of {file}: make it editable, or open that file",
    LockKind.OVERRIDE: "{name} is a library override of {file}, which keeps only poses: open that file to change more",
}
LEFT_ALONE = "Left as it is: {reason}"
MISSING = "Renamed or deleted by hand:"
NO_HEAD = "Select a head to pose it"
NO_RIG = "The head's armature was deleted"

DEVICES = {"": "not chosen yet", "auto": "not chosen yet", "cpu": "processor", "cuda": "CUDA"}
BUNDLED_NAME = "OpenHead"
NO_WRINKLE_WEIGHTS = "no wrinkles"
BUILTIN_NAME = "built-in weights"

BACKEND_STATE = {
    State.STOPPED: "Backend: starts with the first photo",
    State.STARTING: "Backend: starting",
    State.READY: "Backend: ready",
    State.BUSY: "Backend: working",
    State.FAILED: "Backend: failed",
}

JOINT_LABELS = {"root": "Head", "neck": "Neck", "jaw": "Jaw", "eye_l": "Left Eye", "eye_r": "Right Eye"}

SEVERAL_PHOTOS = "Import Faces From {count} Photos"
WAS_LEFT_OUT = "{photo} was left out. {reason}"
CODES_THERE = "the codes, on {heads}"
PICTURE_THERE = "the picture {photo}, used by {users}"
EXPORTED = "Wrote {file}"
EXPORTED_MORPHS = "Wrote {file} with {morphs} morphs"
EXPORTED_BESIDE = ", and {count} beside it"
IMPORTED_ONE = "Imported {name}"
IMPORTED_SEVERAL = "Imported {count} heads"
MORE_MISSING = "and {count} more"
PINS_NONE = "No pins"
PINS_ONE = "1 pin"
PINS_SEVERAL = "{count} pins"
NOTICES_ON_PHOTO = "Notes on the Photo ({count})"
SHARES = "Shares its sliders with {heads}"
DEVICE = "Device: {device}"
MODELS = "Models: {head}, {weights}"
WEARS = "Wrinkles of {name}"
PHOTO_OF_SEVERAL = "{photo} ({number} of {count})"
FOLDER_MADE = "heads made: {made}"
FOLDER_MADE_FAILED = "heads made: {made}, photos failed: {failed}"
FOLDER_DONE = "Heads: {made}."
FOLDER_DONE_FAILED = "Heads: {made}; photos failed: {failed}."
CONTACT_SHEET = "Contact sheet: {file}"
BAKED_TO_FILE = "Baked: frames {first} to {last}, in the file"
BAKED_TO_FOLDER = "Baked: frames {first} to {last}, in {folder}"
BAKED_RIG = "Baked: rig, {error}"
RIG_ERROR = "{maps} maps, {within:.0f} % within 0.15 mm, 95 % within {percentile_95:.2f} mm, worst {worst:.1f} mm"
INSTALL_SIZE = "Downloads {download:.1f} GB, takes {disk:.1f} GB of the disk (PyTorch for {torch})"
INSTALL_FAILED = "The backend is not installed. {reason}"
INSTALL_STATES = {
    InstallState.CREATING: "Creating the environment",
    InstallState.INSTALLING: "Downloading and installing packages",
    InstallState.VERIFYING: "Verifying",
    InstallState.READY: "Installed",
    InstallState.FAILED: "Failed",
    InstallState.CANCELLED: "Cancelled",
}
JOINT_ANGLE = "{joint} Angle"

PANEL_CAPTURE = "Capture"
EXPRESSION_FROM_PHOTO = "Expression From Photo"
EXPRESSION_FROM_PHOTO_DESCRIPTION = (
    "Show the expression of the face on any photo on the active head; its shape, texture and wrinkles stay its own"
)
PERFORMANCE = "Performance From Video"
PERFORMANCE_DESCRIPTION = (
    "Key what the face in a video, or in numbered pictures, does onto the active head, from the current frame on:"
    " expression, jaw, gaze and turn of the head"
)
RECORDING = "Import Face Recording"
RECORDING_DESCRIPTION = (
    "Key a recording of a phone onto the active head, from the current frame on: a CSV file of Live Link Face or a text"
    " file of Face Cap"
)
NO_FILE_CHOSEN = "No file was chosen. Select one in the file browser."
CAPTURE_SLIDERS = "Which sliders move"
CAPTURE_SLIDER_ITEMS = [
    ("COEFFICIENTS", "Coefficients", "The head model's own: all that was seen, but without names"),
    ("ARKIT", "ARKit", "The named sliders, for editing: as near as they come to what was seen"),
]
TURN = "Which bone turns the head as it turns before the camera"
TURN_ITEMS = [
    ("NONE", "None", "The head is held as it is"),
    ("ROOT", "Root", "The whole head with its neck, as imports have it"),
    ("NECK", "Neck", "The head on its neck"),
]
FACE = "Which of several faces, counted from 0, the largest first"
CAPTURE_MIRROR = "Swap left and right; ARKit sliders move then"
CAPTURE_KEY = "Set keyframes on all sliders and bones at the current frame"
SMOOTHING = (
    "Seconds over which jitter is smoothed, without lag: movements much longer than this keep their height. 0 for none"
)
OTHER_PERSON = (
    "The video shows somebody else than the head: their shape is fitted first, so that it is not read as an expression"
)
VIDEO_START = "Seconds of the video that are left out"
VIDEO_END = "Second of the video at which to stop; 0 for its end"
NEUTRAL_AT = (
    "Second of the video at which the face is at rest: the head moves relative to it; -1 to take expressions as seen"
)
VIDEO_RATE = "Change the scene's frame rate to the video's; else the performance is sampled at the scene's frames"
EXTEND_SCENE = "Move the scene's last frame to the last keyframe where it ends before"
SOUND = "Add the video's sound to the sequencer"
NO_SOUND = "The video has no sound"
NEUTRAL_FILE = "A recording of the same face at rest, which is taken off"
GAZE_BY = "Where the eyes look is recorded twice, and must not add up"
GAZE_ITEMS = [
    ("SLIDERS", "Sliders", "The eyeLook sliders, which move the lids along"),
    ("BONES", "Bones", "The angles of the eyes, on their bones"),
]
TIMECODE_RATE = "Frames per second that the file's timecodes count in; 0 to see from the file"

KEYED = "Keyed {count} frames, {first} to {last}, on {name}"
NO_FACE_IN = "No face in {count} frames of the video: {times}."
AND_MORE = "{shown} and {count} more"
FROM_TO_S = "{first:.2f} to {last:.2f} s"
GAPS_INTERPOLATED = "Short gaps are interpolated."
GAPS_LEFT = "Short gaps are interpolated; no keyframes at the frames {frames}."
FROM_TO = "{first} to {last}"

PIXELS = "Pixels along each side"
NO_NORMALS = ("0", "None", "No map of normals")
NORMALS_DEPTHS = [("8", "8", "Smaller files"), ("16", "16", "No steps in flat slopes")]
FOLDER_FORMAT = "A file of this kind for each photo"
PIN_LANDMARK = "Number of iBUG's landmark"
PIN_PLACE = "Where it is to be on the photo, pixels from the top left"
PIN_RELEASE = "Let the landmark go"
DEVICE_CHOICES = [
    ("auto", "Automatic", "A CUDA graphics card when the backend finds one, else the processor"),
    ("cpu", "Processor", "Always the processor"),
    ("cuda", "CUDA", "An NVIDIA graphics card"),
]

# Names of the operators' options and of the preferences; what they do is above.
NAME_ALL_FACES = "All Faces"
NAME_AMOUNT = "Amount"
NAME_ANIMATION = "Animation"
NAME_BITS = "Bits"
NAME_CHECKPOINT = "Checkpoint"
NAME_CHECKPOINTS = "Checkpoints"
NAME_COEFFICIENTS = "Coefficients"
NAME_COMMAND = "Command"
NAME_DETAIL = "Detail"
NAME_DEVICE = "Device"
NAME_EXPRESSION = "Expression"
NAME_EXTEND_SCENE = "Extend Scene"
NAME_EYES = "Eyes"
NAME_FACE = "Face"
NAME_FIRST = "First"
NAME_FOLDER = "Folder"
NAME_FORMAT = "Format"
NAME_FORMATS = "Formats"
NAME_FROM = "From"
NAME_GAZE = "Gaze"
NAME_GREEN = "Green"
NAME_HEADS_TO = "Heads To"
NAME_HEAD_MODEL = "Head Model"
NAME_HEAD_TURN = "Head Turn"
NAME_IN_MATERIAL = "In Material"
NAME_JOBS = "Jobs"
NAME_KEYFRAME = "Keyframe"
NAME_LANDMARK = "Landmark"
NAME_LAST = "Last"
NAME_MAPS = "Maps"
NAME_MAP_CACHE = "Map Cache"
NAME_MIRROR = "Mirror"
NAME_MODE = "Mode"
NAME_NAME = "Name"
NAME_NEUTRAL = "Neutral"
NAME_NEUTRAL_AT = "Neutral At"
NAME_NORMALS = "Normals"
NAME_ONE_PERSON = "One Person"
NAME_OTHER_PERSON = "Other Person"
NAME_PAINT_HAIR = "Paint Hair"
NAME_PHOTO_CAMERA = "Photo Camera"
NAME_PLACE = "Place"
NAME_PRESET = "Preset"
NAME_PYTHON = "Python"
NAME_PYTORCH = "PyTorch"
NAME_RELEASE = "Release"
NAME_SCALE = "Scale"
NAME_SCENE_RANGE = "Scene Range"
NAME_SEED = "Seed"
NAME_SHOW_IN_VIEWPORTS = "Show in Viewports"
NAME_SIZE = "Size"
NAME_SKELETON = "Skeleton"
NAME_SLIDERS = "Sliders"
NAME_SMOOTHING = "Smoothing"
NAME_SOUND = "Sound"
NAME_SUB_FOLDERS = "Sub-Folders"
NAME_TEETH = "Teeth"
NAME_TEXTURE = "Texture"
NAME_TEXTURES = "Textures"
NAME_TIMECODE_RATE = "Timecode Rate"
NAME_TO = "To"
NAME_TONGUE = "Tongue"
NAME_TRIANGLES = "Triangles"
NAME_UP = "Up"
NAME_VIDEOS_FRAME_RATE = "Video's Frame Rate"
NAME_VISEMES = "Visemes"
NAME_WEIGHTS = "Weights"
NAME_WRINKLE_MAPS = "Wrinkle Maps"


def sizes(*pixels: int) -> list[tuple[str, str, str]]:
    """Choices of a picture's size."""
    return [(f"{side}", f"{side}", PIXELS) for side in pixels]


def several(count: int) -> str:
    """Title of the dialog for several dropped photos."""
    return iface(SEVERAL_PHOTOS, count=count)


def left_out(photo: str, reason: str) -> str:
    """That a photo was not used for a person, and why."""
    return rpt(WAS_LEFT_OUT, photo=Path(photo).name, reason=reason)


def still_there(heads: list[str], photos: dict[str, list[str]]) -> str:
    """What still knows a stripped person, or ""."""
    what = [rpt(CODES_THERE, heads=", ".join(heads))] if heads else []
    what += [rpt(PICTURE_THERE, photo=photo, users=", ".join(users)) for photo, users in photos.items()]
    return rpt(STILL_THERE, what="; ".join(what)) if what else ""


def exported(files: list[str], morphs: int) -> str:
    """What was exported, for the status bar."""
    text = rpt(EXPORTED_MORPHS, file=files[0], morphs=morphs) if morphs else rpt(EXPORTED, file=files[0])
    return text + (rpt(EXPORTED_BESIDE, count=len(files) - 1) if len(files) > 1 else "")


def imported(names: list[str]) -> str:
    """What was imported, for the status bar."""
    return rpt(IMPORTED_ONE, name=names[0]) if len(names) == 1 else rpt(IMPORTED_SEVERAL, count=len(names))


def locked(lock: Lock | None) -> str:
    """Why a head cannot be edited, or ""."""
    return tip(LOCKS[lock.kind], name=lock.name, file=lock.file) if lock is not None else ""


def missing(names: list[str]) -> list[str]:
    """Lines about the shape keys and bones of a head that are not there any more."""
    rest = [iface(MORE_MISSING, count=len(names) - 5)] if len(names) > 6 else names[5:]
    return [MISSING, *names[:5], *rest] if names else []


def pins(count: int) -> str:
    """How many landmarks of a photo are held."""
    return iface(PINS_SEVERAL, count=count) if count > 1 else PINS_ONE if count else PINS_NONE


def named_shape(name: str, change: float, unit: str) -> str:
    """What a slider of a measure changes, and by how much it does."""
    label = iface(named_shape_label(name))
    return f"{label} {change:+.1f} {'°' if unit == 'degrees' else unit}" if abs(change) >= 0.05 else label


def joint_angle(joint: str) -> str:
    """The angle by which a joint is turned."""
    return iface(JOINT_ANGLE, joint=iface(JOINT_LABELS[joint]))


def notices_on_photo(count: int) -> str:
    """The header of what is to be known of a head's colors."""
    return iface(NOTICES_ON_PHOTO, count=count)


def notice(code: str, value: float) -> str:
    """A line of it."""
    return iface(template(code), value=value)


def shares(others: list[str]) -> str:
    """With whom a linked duplicate shares its sliders."""
    return iface(SHARES, heads=", ".join(others))


def device(name: str) -> str:
    """What the backend computes on."""
    return iface(DEVICE, device=iface(DEVICES.get(name, name)))


def models(head: str, weights: str, has_builtin: bool = False) -> str:
    """The models of the next import; "" stands for the bundled head, and for the built-in weights, if any."""
    default = iface(BUILTIN_NAME if has_builtin else NO_WRINKLE_WEIGHTS)
    return iface(MODELS, head=Path(head).stem or BUNDLED_NAME, weights=Path(weights).name or default)


def wrapped(text: str, width: int) -> list[str]:
    """Lines of at most so many characters, in the user's language."""
    return textwrap.wrap(iface(text), width) or [""]


def wears(source: str) -> str:
    """Whose wrinkles a head wears."""
    return iface(WEARS, name=source)


def progress(photo: str, index: int, count: int, step: str) -> str:
    """The status bar during an import."""
    which = rpt(PHOTO_OF_SEVERAL, photo=photo, number=index + 1, count=count) if count > 1 else photo
    return _status(which, step)


def folder_progress(made: int, failed: int) -> str:
    """The status bar while a folder of photos is imported."""
    return _status(rpt(FOLDER_MADE_FAILED, made=made, failed=failed) if failed else rpt(FOLDER_MADE, made=made))


def folder_done(made: int, failed: int, why: str, sheet: str) -> str:
    """What has become of a folder of photos."""
    heads = rpt(FOLDER_DONE_FAILED, made=made, failed=failed) if failed else rpt(FOLDER_DONE, made=made)
    return " ".join(filter(None, (heads, why, rpt(CONTACT_SHEET, file=sheet))))


def dragging_pin() -> str:
    """The status bar while a landmark is dragged."""
    return _status(rpt(DRAGGING_PIN))


def baking(what: str, fraction: float) -> str:
    """The status bar while wrinkles are baked."""
    return _status(rpt(what), f"{100 * fraction:.0f} %")


def baked(bake: Any) -> str:
    """What is baked on a head (`Object.deca_bake`)."""
    if bake.kind == "FRAMES":
        frames = {"first": bake.first, "last": bake.last}
        return iface(BAKED_TO_FOLDER, folder=bake.folder, **frames) if bake.folder else iface(BAKED_TO_FILE, **frames)
    return iface(BAKED_RIG, error=rig_error(bake)) if bake.kind == "RIG" else NOT_BAKED


def rig_error(bake: Any) -> str:
    """How near a baked rig comes to the networks' wrinkles (`Object.deca_bake`)."""
    return iface(
        RIG_ERROR,
        maps=bake.num_maps,
        within=100 * bake.within,
        percentile_95=bake.percentile_95,
        worst=bake.worst,
    )


def install_size(plan: Plan | None) -> str:
    """What an installation will cost; None while that is not known."""
    if plan is None:
        return tip(LOOKING_FOR_A_CARD)
    download, disk = plan.download_bytes / 1e9, plan.disk_bytes / 1e9
    return tip(INSTALL_SIZE, download=download, disk=disk, torch=tip(TORCH_FOR[plan.torch]))


def install_failed(why: str) -> str:
    """The report of an installation that failed."""
    return rpt(INSTALL_FAILED, reason=why)


def installing(state: InstallState, detail: str) -> str:
    """The status bar during an installation."""
    return _status(rpt(INSTALL_STATES[state]), detail[:80])


def keyed(count: int, first: int, last: int, name: str) -> str:
    """What was keyed."""
    return rpt(KEYED, count=count, first=first, last=last, name=name)


def without_face(times: list[tuple[float, float, int]], gaps: tuple[tuple[int, int], ...]) -> list[str]:
    """Where a video shows no face, and what became of these frames.

    Args:
        times: First and last second, and number of frames.
        gaps: First and last frame of the scene without keyframes.
    """
    if not times:
        return []
    shown = ", ".join(
        rpt(FROM_TO_S, first=start, last=end) if end > start else f"{start:.2f} s" for start, end, _ in times[:6]
    )
    if len(times) > 6:
        shown = rpt(AND_MORE, shown=shown, count=len(times) - 6)
    told = rpt(NO_FACE_IN, count=sum(count for _, _, count in times), times=shown)
    left = ", ".join(rpt(FROM_TO, first=first, last=last) for first, last in gaps[:6])
    return [f"{told} {rpt(GAPS_LEFT, frames=left) if gaps else rpt(GAPS_INTERPOLATED)}"]


def _status(*parts: str) -> str:
    """A line of the status bar."""
    return " | ".join(filter(None, (f"{TAB}: {parts[0]}", *parts[1:], rpt(ESC_CANCELS))))
