"""Models side by side: measured alike, ranked only where the intervals allow it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mezzotint.comparison.measures import MEASURES
from mezzotint.comparison.ranking import Rank
from mezzotint.comparison.trials import Trial
from mezzotint.comparison.words import headline, ranks, sentences
from mezzotint.evaluation import Evaluation

__all__ = ["SCHEMA", "Comparison", "Trial"]

SCHEMA = 1


@dataclass(frozen=True)
class Comparison:
    """Models and what was found about them.

    Attributes:
        trials: one a model, in the order they were named.
        real: uint8 (n, H, W, C) held-out images to look at beside samples.
        looked_at: uint8 (m, H, W, C) the ones that were rebuilt.
        data: what was compared on: spec, fingerprint, facts.
        how: how it was made: budget, seed, extractor, versions, machine.
        cautions: what was not the same for all, whole sentences.
    """

    trials: Sequence[Trial]
    real: NDArray[np.uint8]
    looked_at: NDArray[np.uint8]
    data: Mapping[str, Any]
    how: Mapping[str, Any]
    cautions: Sequence[str] = ()

    @cached_property
    def found(self) -> dict[str, Evaluation]:
        """Model -> its numbers."""
        return {trial.contender.name: trial.found for trial in self.trials}

    @cached_property
    def ranks(self) -> dict[str, Rank]:
        """Number -> who is best, if anyone."""
        return ranks(self.found)

    @cached_property
    def headline(self) -> list[str]:
        """The whole in a few sentences."""
        return headline(self.found)

    @cached_property
    def words(self) -> dict[str, list[tuple[str, str]]]:
        """Model -> what it is good for, as (kind, sentence)."""
        return {name: sentences(name, self.found) for name in self.found}

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it, without pictures."""
        return {
            "schema": SCHEMA,
            "headline": list(self.headline),
            "data": dict(self.data),
            "how": dict(self.how),
            "cautions": list(self.cautions),
            "models": [
                {**trial.as_dict(), "good_for": [text for _, text in self.words[name]]}
                for name, trial in zip(self.found, self.trials, strict=True)
            ],
            "ranks": {n: {**asdict(self.ranks[n]), "better": MEASURES[n].better} for n in MEASURES},
        }
