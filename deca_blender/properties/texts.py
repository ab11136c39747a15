"""Words of what an object remembers: names, descriptions and choices of the properties. See `ui/texts.py`."""

from __future__ import annotations

NAME_95_PERCENT = "95 %"
NAME_AGE = "Age"
NAME_AMOUNT = "Amount"
NAME_BACKEND_VERSION = "Backend Version"
NAME_BAKED = "Baked"
NAME_COLORS = "Colors"
NAME_CROP = "Crop"
NAME_FACE_BOX = "Face Box"
NAME_FIRST_FRAME = "First Frame"
NAME_FOLDER = "Folder"
NAME_FRAME = "Frame"
NAME_HEAD_MODEL = "Head Model"
NAME_HEAD_MODEL_FILE = "Head Model File"
NAME_HEAD_MODEL_HASH = "Head Model Hash"
NAME_IS_A_HEAD = "Is a Head"
NAME_KNOWS_AGE = "Knows Age"
NAME_LANDMARK = "Landmark"
NAME_LANDMARK_ERROR = "Landmark Error"
NAME_LAST_FRAME = "Last Frame"
NAME_LEFT_OUT = "Left Out"
NAME_LIVE = "Live"
NAME_MAPS = "Maps"
NAME_NOTICES = "Notices"
NAME_PHOTO = "Photo"
NAME_PHOTOS = "Photos"
NAME_PHOTO_CAMERA = "Photo Camera"
NAME_PHOTO_DETAIL = "Photo Detail"
NAME_PHOTO_POSE = "Photo Pose"
NAME_PHOTO_SIZE = "Photo Size"
NAME_PINS = "Pins"
NAME_PINS_MOVE = "Pins Move"
NAME_PLACE = "Place"
NAME_POSE = "Pose"
NAME_PROTOCOL_VERSION = "Protocol Version"
NAME_SEARCH = "Search"
NAME_SHOW_PINS = "Show Pins"
NAME_SOURCE = "Source"
NAME_STRENGTH = "Strength"
NAME_WAS_LIVE = "Was Live"
NAME_WEIGHTS = "Weights"
NAME_WEIGHTS_HASH = "Weights Hash"
NAME_WITHIN = "Within"
NAME_WORST = "Worst"
NAME_WRINKLE_AGE = "Wrinkle Age"

ABOUT_KIND = "What is baked on the head"
ABOUT_FIRST = "First baked frame"
ABOUT_LAST = "Last baked frame"
ABOUT_FOLDER = "Folder of the baked frames; empty: packed into the file"
ABOUT_NUM_MAPS = "Number of maps that the sliders blend"
ABOUT_WITHIN = "Share of the texels within 0.15 mm of the networks' wrinkles"
ABOUT_PERCENTILE_95 = "95 % of the texels are nearer than this, millimetres"
ABOUT_WORST = "Largest distance of a texel, millimetres"
ABOUT_WAS_LIVE = "Whether the wrinkles were live before they were baked"
ABOUT_PATH = "File of the photo"
ABOUT_FRAME = "Frame whose keyframes show the face as on this photo"
ABOUT_POSE = "As the head's Photo Pose, on this photo"
ABOUT_IMAGE_SIZE = "Width and height of the photo, pixels"
ABOUT_LANDMARK = "Number of iBUG's landmark"
ABOUT_PHOTO = "Number of the photo among the head's photos"
ABOUT_PLACE = "Where it is on the photo, pixels from the top left"
ABOUT_IS_HEAD = "This object is a head made by the add-on"
ABOUT_MODEL = "Head model that the coefficients belong to"
ABOUT_MODEL_HASH = "Hash of the head model's file"
ABOUT_MODEL_FILE = "File of the head model; empty for the bundled one"
ABOUT_BACKEND_VERSION = "Version of the backend that made the head"
ABOUT_PROTOCOL_VERSION = "Version of the backend's protocol"
ABOUT_HEAD_PHOTO = "File that the head was made from"
ABOUT_PHOTOS = "The photos of the person, where there are several"
ABOUT_PINS = "Landmarks that are held by hand"
ABOUT_PINS_MOVE = "What dragged pins change"
ABOUT_LEFT_OUT = "Photos that were not used, a line each with the reason"
ABOUT_HEAD_POSE = "Axis-angle of root, neck, jaw, left eye and right eye on the photo, radians"
ABOUT_CAMERA = "Scale and shift [s, tx, ty] of the orthographic camera on the crop"
ABOUT_CROP = "3 x 3 matrix from photo pixels to crop pixels, row by row"
ABOUT_BOX = "Left, top, right, bottom in photo pixels"
ABOUT_LANDMARK_ERROR = "Mean distance of the head's landmarks from the photo's, as a fraction of the outer-eye distance"
ABOUT_NOTICES = "What is to be known of the head's colors: codes and numbers"
ABOUT_COLORS = "Which of the head's two textures its materials show"
ABOUT_WEIGHTS = "Weights file that the detail code was made with"
ABOUT_WEIGHTS_HASH = "Hash of the weights file; detail codes belong to it"
ABOUT_PHOTO_DETAIL = (
    "How much of the photo's own lines the wrinkles have: 1 is as on the photo, 0 leaves the wrinkles that the"
    " weights make of it"
)
ABOUT_KNOWS_AGE = "The weights of the detail code know how wrinkles change with age"
ABOUT_WRINKLE_AGE = (
    "How much older the wrinkles are than on the photo: 1 is about 20 years older, -1 younger, 0 is off. The shape"
    " stays; Age in the panel above moves that alone"
)
ABOUT_AGE = (
    "Years older or younger than on the photo. Moves jaw, nose, lips and ears as they change in people on average;"
    " wrinkles stay: they have Wrinkle Age. Keyframes go on the shape key"
)
ABOUT_WRINKLES_LIVE = "Decode the wrinkles again whenever the expression or the jaw moves"
ABOUT_SEARCH = "Show only the sliders whose name holds these words"
ABOUT_SHOW_PINS = "Show the pins of the active head in its photo's camera, to be dragged"
ABOUT_AMOUNT = "Share of the other head's wrinkles: 0 is the head's own, 1 the other's"
ABOUT_SOURCE = "Head that the wrinkles were taken from"

STRENGTH = (
    "How deep the wrinkles are, in the material and on the surface; 0 is off, 1 is as decoded. Above 1 the surface"
    " follows by a quarter, so that folds do not cross"
)
ABOUT_WRINKLE_STRENGTH = "As the custom property wrinkle_strength of the head. For scripts: keyframes go on that"
SLIDER = "Sets the shape key of this name"

KINDS = (
    ("NONE", "None", "The wrinkles are not baked"),
    ("FRAMES", "Frames", "The map of each frame is baked"),
    ("RIG", "Rig", "Maps that the sliders blend are baked"),
)
COLORS = (
    ("ALBEDO", "Albedo", "The skin's own colors, the photo's light taken out as far as it is known: for any light"),
    ("PHOTOGRAPHED", "As Photographed", "The colors of the photo with its light, highlights and shadows left in"),
)
"""In the order of `scene.material.COLORS`."""
PINS_MOVE = (
    ("EXPRESSION", "Expression", "Pins change the expression of the photo: coefficients and jaw"),
    ("SHAPE", "Shape", "Pins change the person: the sliders of Shape by Name, on all photos"),
    ("BOTH", "Both", "Pins change the expression and the person, whichever explains them better"),
)
