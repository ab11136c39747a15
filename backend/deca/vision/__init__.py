"""Photo reading, face detection, landmarks and DECA's crop."""

from deca.vision.crop import crop_from_box, crop_from_landmarks, warp_crop
from deca.vision.faces import DetectedFace, find_faces
from deca.vision.photo import Photo, read_photo

__all__ = [
    "DetectedFace",
    "Photo",
    "crop_from_box",
    "crop_from_landmarks",
    "find_faces",
    "read_photo",
    "warp_crop",
]
