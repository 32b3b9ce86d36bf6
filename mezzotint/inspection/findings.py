"""What an inspection gives: pictures, numbers, and settings it recommends."""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mezzotint.storage.files import make_folder, replace_bytes


@dataclass(frozen=True)
class Findings:
    """Results of an inspection.

    Attributes:
        pictures: files written.
        numbers: name -> JSON-able value.
        recommended: options of the model that serve it better than its present ones.
    """

    pictures: tuple[Path, ...] = ()
    numbers: Mapping[str, Any] = field(default_factory=dict)
    recommended: Mapping[str, Any] = field(default_factory=dict)

    def joined(self, other: "Findings") -> "Findings":
        """Both together."""
        return Findings(
            self.pictures + other.pictures,
            {**self.numbers, **other.numbers},
            {**self.recommended, **other.recommended},
        )


def new_figure(width: float, height: float) -> Any:
    """A matplotlib figure that needs no screen."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Any, path: Path) -> Path:
    """Write a figure as PNG, whole or not at all.

    Raises:
        StorageError, CannotCreateError: it cannot be written.
    """
    buffer = io.BytesIO()
    figure.canvas.print_png(buffer)
    make_folder(path.parent)
    replace_bytes(path, buffer.getvalue())
    return path
