"""A session with the misbehaving backend."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deca_blender.client import Session

from .harness import fake_launch


@pytest.fixture
def session() -> Iterator[Session]:
    """A session with the misbehaving backend; must be closed within its grace."""
    session = Session(fake_launch)
    yield session
    session.close()
