"""Measures of heads as anthropologists take them, and what people measure.

`landmarks.py` finds the points on any neutral head, `measures.py` takes the measures between them, `population.py` has
the published figures. Lengths are millimetres, angles degrees.
"""
