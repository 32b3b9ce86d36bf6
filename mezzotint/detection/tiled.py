"""Scores and heat maps of pictures larger than the model, from scans of their tiles."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from mezzotint.data.wholes import Wholes
from mezzotint.detection.looking import Ground
from mezzotint.detection.parts import KINDS, PARTS, Rate
from mezzotint.detection.scanning import Scanned, Strip, scan
from mezzotint.detection.scoring import LEAST_SPREAD, Numbers, Scale, Scored, combined
from mezzotint.errors import DataError
from mezzotint.progress import Progress
from mezzotint.storage.files import make_folder

HALF_MOST = 65504.0


class TiledScorer:
    """Parts made ready, and their scales for whole pictures scored by tiles.

    Args:
        ground: the model and tiles of good pictures to fit densities to.
        names: keys of ``PARTS``.
        scale_on: good pictures, neither trained on nor used for a threshold.
        tile: side of a tile: the model's.
        show: where progress goes.
    """

    def __init__(
        self, ground: Ground, names: list[str], scale_on: Wholes, tile: int, show: Progress
    ) -> None:
        self.ground, self.tile = ground, tile
        names = [name for name in names if name not in KINDS]  # a tile shows any part of a picture
        with torch.inference_mode():
            self._rates: dict[str, Rate] = {n: PARTS[n].prepare(ground) for n in names}
        found = []
        for at in range(len(scale_on)):
            found.append(scan(self._rates, ground, scale_on.pixels(at), tile))
            show.update(at + 1, len(scale_on), note="scoring to set scales")
        self.scales = {name: _scale(name, found) for name in names}

    def score(
        self, pictures: Wholes, show: Progress, note: str = "", keep: Path | None = None,
        with_maps: bool = True,
    ) -> Scored:  # fmt: skip
        """Scores of pictures, one after the other.

        Args:
            pictures: none smaller than a tile.
            show, note: where progress goes, and of what.
            keep: a folder that the maps are written to, ``00000.npy`` and so on, float16; without
                one they stay in memory.
            with_maps: whether maps are wanted at all.

        Raises:
            DataError: a picture cannot be read any more, or the model gives numbers that are not
                finite.
            StorageError, CannotCreateError: a map cannot be written.
        """
        found, maps = [], []
        for at in range(len(pictures)):
            heat = self._canvas(pictures.sizes[at], at, keep) if with_maps else None
            found.append(self._scan(pictures.pixels(at), heat, pictures.names[at]))
            if heat is not None and found[-1].moments:
                maps.append(heat)
            show.update(at + 1, len(pictures), note=f"scoring {note}".strip())
        parts = {name: self._standard(name, found) for name in self._rates}
        scores = combined(parts, {})
        return Scored(scores, parts, maps if maps else None)

    def _scan(self, picture: NDArray[np.uint8], heat: NDArray[np.float16] | None,
              name: str) -> Scanned:  # fmt: skip
        def write(rows: slice, strip: Strip) -> None:
            if heat is not None:
                heat[rows] = self._mean(strip)

        found = scan(self._rates, self.ground, picture, self.tile, write)
        wrong = [part for part, value in found.scores.items() if not np.isfinite(value)]
        if wrong:
            raise DataError(
                f"the model gives numbers that are not finite ({wrong[0]})", name,
                "use another score, or an earlier checkpoint of the run",
            )  # fmt: skip
        return found

    def _mean(self, strip: Strip) -> NDArray[np.float16]:
        """The mean of the parts' maps on one scale."""
        total = np.zeros(next(iter(strip.values())).shape, dtype=np.float32)
        for name, values in strip.items():
            mean, spread = self.scales[name].pixel
            total += (values - mean) / spread
        return np.asarray(np.clip(total / len(strip), -HALF_MOST, HALF_MOST), dtype=np.float16)

    def _standard(self, name: str, found: list[Scanned]) -> Numbers:
        mean, spread = self.scales[name].score
        return np.asarray([(one.scores[name] - mean) / spread for one in found])

    def _canvas(self, size: tuple[int, int], at: int, keep: Path | None) -> NDArray[np.float16]:
        if keep is None:
            return np.zeros(size, dtype=np.float16)
        path = make_folder(keep) / f"{at:05d}.npy"
        return np.lib.format.open_memmap(path, "w+", np.float16, size)


def _scale(name: str, found: list[Scanned]) -> Scale:
    """What pictures say of a part: mean and spread of its scores and of its map's pixels."""
    scores = np.array([one.scores[name] for one in found])
    score = float(scores.mean()), max(float(scores.std()), LEAST_SPREAD)
    if name not in found[0].moments:
        return Scale(score, score)
    pixels, total, squares = (
        sum(column) for column in zip(*(one.moments[name] for one in found), strict=True)
    )
    mean = total / pixels
    spread = max(squares / pixels - mean * mean, LEAST_SPREAD**2) ** 0.5
    return Scale(score, (mean, spread))
