"""Frozen networks whose features the losses compare: faces' identities, VGG."""
