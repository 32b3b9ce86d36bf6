"""Averages of any length from a few stored ones (2312.02696, section 3 and appendix C).

A profile is p(s) = (g + 1) s^g / t^(g + 1) for 0 <= s <= t, its integral 1: the weight an average
of exponent g stored at step t gives to the weights of step s.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mezzotint.training.averaging import profile_exponent

WIDTHS = (0.05, 0.10)  # sigma_rel of the two profiles stored (2312.02696, section 3.2)
WIDEST = 0.28  # above it no power function has the width
LENGTHS = (0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.10, 0.12, 0.15, 0.20, 0.25)
Numbers = NDArray[np.float64]


class Profile(NamedTuple):
    """An average stored at optimiser step ``step`` with a relative width."""

    step: int
    width: float


class Mixture(NamedTuple):
    """How to mix stored averages.

    Attributes:
        weights: one a stored average; they add up to 1.
        error: distance of the mixed profile from the one asked for, as a share of its length.
    """

    weights: list[float]
    error: float


def inner_product(first: Profile, second: Profile) -> float:
    """Integral of the product of two profiles (2312.02696, appendix C, algorithm 3).

    It is (g + 1) (h + 1) / (g + h + 1) (t / u)^h / u for t <= u.
    """
    short, long = sorted((first, second))
    g, h = profile_exponent(short.width), profile_exponent(long.width)
    ratio = math.pow(short.step / long.step, h)
    return (g + 1) * (h + 1) / (g + h + 1) * ratio / long.step


def mixture(stored: Sequence[Profile], wanted: Profile) -> Mixture:
    """The mixture of stored profiles nearest to one in the least-squares sense.

    2312.02696, equation 5 of appendix C, with the weights held to a sum of 1, so that a tensor that
    did not change in training is itself in every mixture.
    """
    gram = np.array([[inner_product(a, b) for b in stored] for a in stored])
    reach = np.array([inner_product(each, wanted) for each in stored])
    square = inner_product(wanted, wanted)
    weights = _constrained(gram / square, reach / square)
    left = 1 - 2 * weights @ reach / square + weights @ gram @ weights / square
    return Mixture([float(weight) for weight in weights], float(np.sqrt(max(0.0, left))))


def _constrained(gram: Numbers, reach: Numbers) -> Numbers:
    """Weights of sum 1 that minimise w G w - 2 w r, by a Lagrange multiplier."""
    count = len(reach)
    system = np.zeros((count + 1, count + 1))
    system[:count, :count] = gram
    system[count, :count] = system[:count, count] = 1
    found: Numbers = np.linalg.lstsq(system, np.append(reach, 1.0), rcond=None)[0]
    return found[:count]
