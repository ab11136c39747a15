"""Cameras, rasterisation and texture space."""
