"""DECA's networks: the encoders E_c and E_d, the detail decoder F_d, their codes and their weights."""

from deca.networks.backbones import BACKBONES, build_backbone
from deca.networks.checkpoint import (
    OFFICIAL_CARD,
    Card,
    Checkpoint,
    check_head,
    convert_weights,
    load_checkpoint,
    save_checkpoint,
)
from deca.networks.codes import Codes, CodeSizes
from deca.networks.decoder import MAP_SIZE, DetailDecoder
from deca.networks.encoders import CoarseEncoder, DetailEncoder
from deca.networks.inference import Networks
from deca.networks.random_weights import random_checkpoint
from deca.networks.shape_encoder import ShapeEncoder

__all__ = [
    "BACKBONES",
    "MAP_SIZE",
    "OFFICIAL_CARD",
    "Card",
    "Checkpoint",
    "CoarseEncoder",
    "CodeSizes",
    "Codes",
    "DetailDecoder",
    "DetailEncoder",
    "Networks",
    "ShapeEncoder",
    "build_backbone",
    "check_head",
    "convert_weights",
    "load_checkpoint",
    "random_checkpoint",
    "save_checkpoint",
]
