"""The arithmetic of Winograd's convolutions with filters of three taps, along one axis.

F(m, 3) computes ``m`` neighbouring results of a filter from ``m + 2`` neighbouring data with as many products, where
the sums as they are written take ``3 m``: data and filter are transformed, multiplied element by element, and the
products transformed back (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", arXiv 1509.09308).
Along two axes each transform is applied to the rows of a tile, and then to the columns of what that gives.

The points are 0, 1, -1 and infinity for F(2, 3), and 2 and -2 as well for F(4, 3). What the rows of opposite points
have in common is computed once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

TAPS = 3
"""The taps of a filter along each axis."""
Transform = Callable[[Sequence[Any]], list[Any]]
"""From the values of a line to as many or fewer or more of the transformed line. Values are whatever adds up."""


def data_transform(tile: int) -> Transform:
    """From ``tile + 2`` data to as many factors. ``tile`` is 2 or 4, as for the others."""
    return _data_of_2 if tile == 2 else _data_of_4


def filter_transform(tile: int) -> Transform:
    """From the taps to ``tile + 2`` factors."""
    return _filter_of_2 if tile == 2 else _filter_of_4


def result_transform(tile: int) -> Transform:
    """From ``tile + 2`` sums of products to ``tile`` results."""
    return _results_of_2 if tile == 2 else _results_of_4


def _data_of_2(d: Sequence[Any]) -> list[Any]:
    return [d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]]


def _filter_of_2(g: Sequence[Any]) -> list[Any]:
    even, odd = (g[0] + g[2]) * 0.5, g[1] * 0.5
    return [g[0], even + odd, even - odd, g[2]]


def _results_of_2(s: Sequence[Any]) -> list[Any]:
    return [s[0] + s[1] + s[2], s[1] - s[2] - s[3]]


def _data_of_4(d: Sequence[Any]) -> list[Any]:
    even, odd = d[4] - d[2] * 4.0, d[3] - d[1] * 4.0
    even_of_2, odd_of_2 = d[4] - d[2], (d[3] - d[1]) * 2.0
    first, last = d[0] * 4.0 - d[2] * 5.0 + d[4], d[1] * 4.0 - d[3] * 5.0 + d[5]
    return [first, even + odd, even - odd, even_of_2 + odd_of_2, even_of_2 - odd_of_2, last]


def _filter_of_4(g: Sequence[Any]) -> list[Any]:
    even, odd = (g[0] + g[2]) * (-1 / 6), g[1] * (-1 / 6)
    even_of_2, odd_of_2 = g[0] * (1 / 24) + g[2] * (1 / 6), g[1] * (1 / 12)
    return [g[0] * 0.25, even + odd, even - odd, even_of_2 + odd_of_2, even_of_2 - odd_of_2, g[2]]


def _results_of_4(s: Sequence[Any]) -> list[Any]:
    even, odd = s[1] + s[2], s[1] - s[2]
    even_of_2, odd_of_2 = s[3] + s[4], s[3] - s[4]
    return [
        s[0] + even + even_of_2,
        odd + odd_of_2 * 2.0,
        even + even_of_2 * 4.0,
        odd + odd_of_2 * 8.0 + s[5],
    ]
