"""The head models that come with the product, and what comes with each: a new one is its files and its line here."""

from __future__ import annotations

from dataclasses import dataclass

from deca_blender.protocol.conventions import BUILTIN_WEIGHTS_FILE, OPENHEAD, OPENHEAD_FILE


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """Files below the bundled data (`deca.assets.asset`). "" stands for what a head model does without.

    Attributes:
        head: The head model.
        title: What people call it; "" for its name.
        albedo: Its albedo model.
        named_shapes: Directions of its shape that have names.
        landmark_noise: How far the landmark network is off on it.
        weights: E_c, E_d and F_d: the built-in weights.
        relief: The relief network.
        skin_map: The skin map network.
    """

    head: str
    title: str = ""
    albedo: str = ""
    named_shapes: str = ""
    landmark_noise: str = ""
    weights: str = ""
    relief: str = ""
    skin_map: str = ""


BUNDLES = {
    OPENHEAD: Bundle(
        head=OPENHEAD_FILE,
        title="OpenHead",
        albedo="openhead/albedo.safetensors",
        named_shapes="openhead/named_shapes.safetensors",
        landmark_noise="openhead/landmark_noise.safetensors",
        weights=BUILTIN_WEIGHTS_FILE,
        relief="relief/openhead.safetensors",
        skin_map="skin_map/openhead.safetensors",
    ),
}
"""By the name that head models have in messages, on the command line and in their own files."""


def bundle_of(name: str) -> Bundle | None:
    """What comes with a head model; None where it is a file of the user's."""
    return BUNDLES.get(name)
