"""What a baked wrinkle rig reads of a head: drivers that need no Python for the inputs that F_d sees.

They say the same as `core.wrinkles.seen_expression` and `axis_angle_of`, but for muted keys and constraints on bones.
Paths that begin with `key_blocks` are the shape keys'; `["name"]` is a value of the rig's own.
"""

from __future__ import annotations

from numpy.typing import NDArray

from .rig import DriverSpec, Term, corrective_key, expression_key, slider
from .wrinkle_rig import NUM_EXPRESSION, NamedDriver, sum_drivers

_SMALLEST_SINE = 1e-9


def input_names() -> list[str]:
    """Names of the inputs' values, in the order of `WrinkleRig`: expression, then the jaw's axis-angle."""
    return [f"expression_{index:02d}" for index in range(NUM_EXPRESSION)] + ["jaw_x", "jaw_y", "jaw_z"]


def input_drivers(arkit_names: tuple[str, ...], arkit_map_EA: NDArray) -> list[NamedDriver]:
    """Drivers of all inputs; they may read those before them.

    Args:
        arkit_names: Names of the ARKit shapes, in the map's order; may be empty.
        arkit_map_EA: The ARKit map's rows of the expression coefficients.
    """
    drivers: list[NamedDriver] = []
    for index, name in enumerate(input_names()[:NUM_EXPRESSION]):
        terms = [(1.0, "{}", slider(expression_key(index)))]
        if arkit_names:
            factors = arkit_map_EA[index].tolist()
            terms += [(factor, "{}", slider(key)) for factor, key in zip(factors, arkit_names, strict=True)]
        drivers += sum_drivers(name, terms)
    return drivers + _jaw_drivers()


def _jaw_drivers() -> list[NamedDriver]:
    """The jaw's axis-angle, from the driven pose correctives, which are the entries of R - I.

    v = (R21 - R12, R02 - R20, R10 - R01) / 2 = sin(angle) axis; cos(angle) = (trace R - 1) / 2.
    """

    def entry(name: str, row: int, column: int) -> Term:
        return Term(name, slider(corrective_key("jaw", row, column)))

    sines = [
        NamedDriver(f"jaw_sine_{axis}", DriverSpec("0.5*(a-b)", (entry("a", row, column), entry("b", column, row))))
        for axis, row, column in (("x", 2, 1), ("y", 0, 2), ("z", 1, 0))
    ]
    diagonal = tuple(entry(name, index, index) for index, name in enumerate("abc"))
    sine_terms = tuple(Term(name, _own(driver.name)) for name, driver in zip("xyz", sines, strict=True))
    sine = f"max(sqrt(x*x+y*y+z*z),{_SMALLEST_SINE})"
    return [
        *sines,
        NamedDriver("jaw_cosine", DriverSpec("1+0.5*(a+b+c)", diagonal)),
        NamedDriver("jaw_sine", DriverSpec(sine, sine_terms)),
        NamedDriver(
            # Blender may look at it before it has the sine; then that is zero.
            "jaw_ratio",
            DriverSpec(
                f"atan2(s,c)/max(s,{_SMALLEST_SINE})", (Term("s", _own("jaw_sine")), Term("c", _own("jaw_cosine")))
            ),
        ),
        *(
            NamedDriver(f"jaw_{axis}", DriverSpec("r*s", (Term("r", _own("jaw_ratio")), Term("s", _own(driver.name)))))
            for axis, driver in zip("xyz", sines, strict=True)
        ),
    ]


def _own(name: str) -> str:
    return f'["{name}"]'
