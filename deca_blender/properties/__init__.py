"""Property groups: what an object remembers."""
