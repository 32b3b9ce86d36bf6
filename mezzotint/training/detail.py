"""Fine detail of previews: a word on the line of progress, numbers for the history."""

from functools import cached_property

import numpy as np

from mezzotint.data.dataset import Images
from mezzotint.metrics.detail import SMALLEST, Looks, look, quick_ratio
from mezzotint.metrics.intervals import Estimate
from mezzotint.training.previews import Pixels, Preview

REAL = 72  # held-out images that samples are compared with; twice as many as there are samples
FEWEST = 8


class Detail:
    """Compares what a model shows with held-out images.

    Args:
        held_out: images that the model is not trained on.
    """

    def __init__(self, held_out: Images) -> None:
        self._held_out = held_out
        self.newest: Estimate | None = None

    def look(self, found: Preview) -> dict[str, float]:
        """Numbers for the history: of samples, or of reconstructions where a model makes none.

        ``detail.finest`` with its 95% interval ``detail.low`` to ``detail.high``: energy of the
        finest octave, made to real; absent where the real images have none. ``detail.kurtosis`` and
        ``detail.quiet``: medians over the made images.
        """
        self.newest = None
        paired = found.samples is None
        made = found.rebuilt if found.samples is None else found.samples
        if made is None or min(made.shape[1:3]) < SMALLEST or len(self._held_out) < FEWEST:
            return {}
        seen = look(made)
        real = look(found.originals) if paired else self._real
        self.newest = quick_ratio(seen, real, paired)
        return {**_ends(self.newest), **_medians(seen)}

    @cached_property
    def _real(self) -> dict[str, Looks]:
        return look(self._pixels(REAL))

    def _pixels(self, count: int) -> Pixels:
        return self._held_out.gather(range(min(count, len(self._held_out))))

    def words(self) -> list[str]:
        """For a line of progress: ``detail 0.9 (0.5-1.6)``; nothing where nothing is known."""
        found = self.newest
        if found is None:
            return []
        return [f"detail {found.value:.2g} ({found.low:.2g}-{found.high:.2g})"]


def _ends(found: Estimate | None) -> dict[str, float]:
    if found is None:
        return {}
    return {"detail.finest": found.value, "detail.low": found.low, "detail.high": found.high}


def _medians(seen: dict[str, Looks]) -> dict[str, float]:
    """On white, where there are two grounds."""
    looks = next(iter(seen.values()))
    peaked = looks.kurtosis[np.isfinite(looks.kurtosis)]
    told = {"detail.kurtosis": float(np.median(peaked))} if len(peaked) else {}
    return {**told, "detail.quiet": float(np.median(looks.quiet))}
