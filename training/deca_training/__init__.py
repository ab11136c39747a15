"""The two-stage DECA trainer (in preparation)."""
