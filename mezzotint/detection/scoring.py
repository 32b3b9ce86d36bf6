"""Scores and heat maps of images: parts on one scale, which held-out good images set."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from mezzotint.detection.looking import Ground, looks
from mezzotint.detection.parts import PARTS, Rate, Rated, kind_weights
from mezzotint.errors import DataError
from mezzotint.features.extractor import Pixels
from mezzotint.progress import Progress

LEAST_SPREAD = 1e-12
Numbers = NDArray[np.float64]
Maps = NDArray[np.float32] | list[NDArray[np.float16]]


@dataclass(frozen=True)
class Scale:
    """Mean and spread of a part on good images: of its scores and of its map's pixels."""

    score: tuple[float, float]
    pixel: tuple[float, float]


@dataclass(frozen=True)
class Scored:
    """What is said of n images.

    Attributes:
        scores: (n,), joined from the parts; about 0 is usual for a good image.
        parts: name -> (n,).
        maps: (n, H, W) float32, or one (H, W) float16 a picture where they differ in size; None
            where no part has a map.
    """

    scores: Numbers
    parts: dict[str, Numbers]
    maps: Maps | None


class Scorer:
    """Parts made ready, and their scales.

    Args:
        ground: the model and good images to fit densities to.
        names: keys of ``PARTS``.
        scale_on: uint8 (m, H, W, C) good images, neither trained on nor used for a threshold.
        show: where progress goes.
    """

    def __init__(self, ground: Ground, names: list[str], scale_on: Pixels, show: Progress) -> None:
        self.ground = ground
        with torch.inference_mode():
            self._rates: dict[str, Rate] = {n: PARTS[n].prepare(ground) for n in names}
            found = list(self._rated(scale_on, show, "to set scales"))
            self.weights = kind_weights(ground, self._rates, scale_on)
        self.scales = {name: scale_of(_joined([part[name] for part in found])) for name in names}

    @torch.inference_mode()
    def score(self, pixels: Pixels, show: Progress, note: str = "") -> Scored:
        """Scores of uint8 (n, H, W, C) images.

        Raises:
            DataError: the model gives numbers that are not finite.
        """
        parts: dict[str, list[Numbers]] = {name: [] for name in self._rates}
        maps = []
        for found in self._rated(pixels, show, note):
            for name, rated in found.items():
                parts[name].append(_standard(rated.scores, self.scales[name].score))
            maps += self._heat(found)
        whole = {name: np.concatenate(values) for name, values in parts.items()}
        return Scored(combined(whole, self.weights), whole, np.concatenate(maps) if maps else None)

    def _heat(self, found: dict[str, Rated]) -> list[NDArray[np.float32]]:
        """The mean of the parts' maps (N, H, W), or nothing where no part has one."""
        maps = [
            _standard(rated.maps, self.scales[name].pixel)
            for name, rated in found.items()
            if rated.maps is not None
        ]
        return [np.mean(maps, axis=0).astype(np.float32)] if maps else []

    def _rated(self, pixels: Pixels, show: Progress, note: str) -> Iterator[dict[str, Rated]]:
        done = 0
        for look in looks(self.ground, pixels):
            yield {name: _finite(rate(look), name) for name, rate in self._rates.items()}
            done += len(look.images)
            show.update(done, len(pixels), note=f"scoring {note}".strip())


def combined(parts: Mapping[str, Numbers], weights: Mapping[str, float]) -> Numbers:
    """The score (n,) of parts (n,) on one scale.

    The mean of the parts without a weight; where there are others, the weighted mean of that and
    of them through asinh, which bounds what one part that is far off can say against the rest.
    """
    rest = np.mean([values for name, values in parts.items() if name not in weights], axis=0)
    if not any(weights.values()):
        return np.asarray(rest)
    total = np.arcsinh(rest)
    for name, weight in weights.items():
        total = total + weight * np.arcsinh(parts[name])
    return np.asarray(total / (1 + sum(weights.values())))


def scale_of(rated: Rated) -> Scale:
    """The scale that these images set."""
    maps = rated.scores if rated.maps is None else rated.maps
    return Scale(_moments(rated.scores), _moments(maps))


def _moments(values: torch.Tensor) -> tuple[float, float]:
    numbers = values.double()
    return float(numbers.mean()), float(numbers.std(correction=0).clamp_min(LEAST_SPREAD))


def _standard(values: torch.Tensor, moments: tuple[float, float]) -> Numbers:
    return np.asarray((values.double().numpy() - moments[0]) / moments[1])


def _joined(parts: list[Rated]) -> Rated:
    maps = [part.maps for part in parts if part.maps is not None]
    return Rated(torch.cat([part.scores for part in parts]), torch.cat(maps) if maps else None)


def _finite(rated: Rated, name: str) -> Rated:
    if not torch.isfinite(rated.scores).all():
        raise DataError(
            f"the model gives numbers that are not finite ({name})",
            "scoring",
            "use another score, or an earlier checkpoint of the run",
        )
    return rated
