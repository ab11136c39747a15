"""deca: one photo to the coefficients of a rigged 3D head (DECA, Feng et al. 2021). Never imports Blender."""

__version__ = "0.1.0"
