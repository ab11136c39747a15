"""Which shapes and albedos are rendered together (Tran, Liu and Liu 2019, Eq. 15).

    L*_rec = L_rec(I^(S~, A~), I) + L_rec(I^(S~, A), I) + L_rec(I^(S, A~), I)

Never the true ones together: S would learn what works with A and A~ alike. A strongly regularised proxy leaves what
varies finely to the true element of the other kind.
"""

from __future__ import annotations

from typing import TypeVar

Shape = TypeVar("Shape")
Albedo = TypeVar("Albedo")


def pairings(
    true_shape: Shape, proxy_shape: Shape, true_albedo: Albedo, proxy_albedo: Albedo
) -> list[tuple[Shape, Albedo]]:
    """The three pairs of Eq. 15, or the only one where proxies are the true elements themselves."""
    if true_shape is proxy_shape and true_albedo is proxy_albedo:
        return [(true_shape, true_albedo)]
    return [(proxy_shape, proxy_albedo), (proxy_shape, true_albedo), (true_shape, proxy_albedo)]
