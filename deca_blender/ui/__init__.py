"""Panels, menus and texts."""
