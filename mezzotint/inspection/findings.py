"""What an inspection gives: pictures, numbers, and settings it recommends."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mezzotint.inspection.latents import Latents


@dataclass(frozen=True)
class Findings:
    """Results of an inspection.

    Attributes:
        pictures: files written.
        numbers: name -> JSON-able value.
        recommended: sampling options that serve the model better than its present ones.
        latents: what was found of a model that encodes, for a page.
        saved: whether the model on disk has them as its own from here on.
    """

    pictures: tuple[Path, ...] = ()
    numbers: Mapping[str, Any] = field(default_factory=dict)
    recommended: Mapping[str, Any] = field(default_factory=dict)
    latents: Latents | None = None
    saved: bool = False

    def joined(self, other: "Findings") -> "Findings":
        """Both together."""
        return replace(
            self,
            pictures=self.pictures + other.pictures,
            numbers={**self.numbers, **other.numbers},
            latents=self.latents or other.latents,
            recommended={**self.recommended, **other.recommended},
        )
