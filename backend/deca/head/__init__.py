"""Head models: arrays of FLAME's structure (`HeadModel`); `deca.head.layer` evaluates them in torch."""

from deca.head.model import HeadModel, Part, SurfacePoints, load_head

__all__ = ["HeadModel", "Part", "SurfacePoints", "load_head"]
