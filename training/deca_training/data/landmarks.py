"""Landmarks of photos: what mirrors what, and iBUG's 68 from MediaPipe's 478.

Shape suffixes: N photos, L landmarks.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# fmt: off
MIRROR_478 = np.array([
    0, 1, 2, 248, 4, 5, 6, 249, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 250, 251, 252, 253, 254, 255, 256,
    257, 258, 259, 260, 261, 262, 263, 264, 265, 266, 267, 268, 269, 270, 271, 272, 273, 274, 275, 276, 277, 278,
    279, 280, 281, 282, 283, 284, 285, 286, 287, 288, 289, 290, 291, 292, 293, 294, 295, 296, 297, 298, 299, 300,
    301, 302, 303, 304, 305, 306, 307, 308, 309, 310, 311, 312, 313, 314, 315, 316, 317, 318, 319, 320, 321, 322,
    323, 94, 324, 325, 326, 327, 328, 329, 330, 331, 332, 333, 334, 335, 336, 337, 338, 339, 340, 341, 342, 343,
    344, 345, 346, 347, 348, 349, 350, 351, 352, 353, 354, 355, 356, 357, 358, 359, 360, 361, 362, 363, 364, 365,
    366, 367, 368, 369, 370, 371, 372, 373, 374, 375, 376, 377, 378, 379, 151, 152, 380, 381, 382, 383, 384, 385,
    386, 387, 388, 389, 390, 164, 391, 392, 393, 168, 394, 395, 396, 397, 398, 399, 175, 400, 401, 402, 403, 404,
    405, 406, 407, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 418, 195, 419, 197, 420, 199, 200, 421, 422,
    423, 424, 425, 426, 427, 428, 429, 430, 431, 432, 433, 434, 435, 436, 437, 438, 439, 440, 441, 442, 443, 444,
    445, 446, 447, 448, 449, 450, 451, 452, 453, 454, 455, 456, 457, 458, 459, 460, 461, 462, 463, 464, 465, 466,
    467, 3, 7, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44,
    45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63, 64, 65, 66, 67, 68, 69, 70, 71, 72,
    73, 74, 75, 76, 77, 78, 79, 80, 81, 82, 83, 84, 85, 86, 87, 88, 89, 90, 91, 92, 93, 95, 96, 97, 98, 99, 100,
    101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 111, 112, 113, 114, 115, 116, 117, 118, 119, 120, 121, 122,
    123, 124, 125, 126, 127, 128, 129, 130, 131, 132, 133, 134, 135, 136, 137, 138, 139, 140, 141, 142, 143, 144,
    145, 146, 147, 148, 149, 150, 153, 154, 155, 156, 157, 158, 159, 160, 161, 162, 163, 165, 166, 167, 169, 170,
    171, 172, 173, 174, 176, 177, 178, 179, 180, 181, 182, 183, 184, 185, 186, 187, 188, 189, 190, 191, 192, 193,
    194, 196, 198, 201, 202, 203, 204, 205, 206, 207, 208, 209, 210, 211, 212, 213, 214, 215, 216, 217, 218, 219,
    220, 221, 222, 223, 224, 225, 226, 227, 228, 229, 230, 231, 232, 233, 234, 235, 236, 237, 238, 239, 240, 241,
    242, 243, 244, 245, 246, 247, 473, 476, 475, 474, 477, 468, 471, 470, 469, 472,
])
"""MediaPipe's landmark on the other side of the face; an involution. Verified on OpenHead, which is symmetric."""

MIRROR_68 = np.array([
    *range(16, -1, -1),
    *range(26, 16, -1),
    27, 28, 29, 30, 35, 34, 33, 32, 31,
    45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
    54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65,
])
"""iBUG's landmark on the other side of the face; an involution."""

# iBUG 0..8: the segment of MediaPipe's face outline on which it lies, and where: 0 at the first point, 1 at the second.
# Measured on OpenHead seen from the front, whose jaw line lies on that outline to 0.8 mm. 9..16 mirror 7..0.
_JAW = (
    (162, 127, 0.601), (127, 234, 0.858), (93, 132, 0.016), (132, 58, 0.221), (58, 172, 0.201), (172, 136, 0.636),
    (150, 149, 0.180), (176, 148, 0.126), (152, 152, 0.0),
)

# iBUG 17..67: brows, nose, eyes, outer lips, inner lips; the points that OpenHead's `lmk68` stand for.
_INNER = (
    70, 63, 105, 66, 107, 336, 296, 334, 293, 300,
    168, 197, 5, 4, 98, 97, 2, 326, 327,
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181,
    78, 81, 13, 311, 308, 402, 14, 178,
)
# fmt: on


def ibug_from_mediapipe(points_L: NDArray[np.floating]) -> NDArray[np.floating]:
    """iBUG's 68 landmarks from MediaPipe's 478.

    Eyes, lips and nose are single points of MediaPipe's. So are the brows, which run along their upper edge as iBUG's
    do. Jaw points lie between neighbours of MediaPipe's face outline, which follows the silhouette as iBUG's jaw does.

    Args:
        points_L: (..., 478, C) landmarks, in any units.

    Returns:
        (..., 68, C).
    """
    first, second, share = (np.array(column) for column in zip(*_JAW, strict=True))
    first = np.concatenate([first, MIRROR_478[first[7::-1]]])
    second = np.concatenate([second, MIRROR_478[second[7::-1]]])
    share = np.concatenate([share, share[7::-1]])[:, None].astype(points_L.dtype)
    jaw = points_L[..., first, :] * (1 - share) + points_L[..., second, :] * share
    return np.concatenate([jaw, points_L[..., list(_INNER), :]], axis=-2)
