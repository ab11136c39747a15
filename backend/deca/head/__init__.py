"""Head models: arrays of FLAME's structure (`HeadModel`); `deca.head.layer` evaluates them in torch."""

from deca.head.model import HeadModel, Part, SurfacePoints, load_head
from deca.head.traits import Trait

__all__ = ["HeadModel", "Part", "SurfacePoints", "Trait", "load_head"]
