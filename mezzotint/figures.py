"""matplotlib figures that need no screen, written as pictures."""

import io
from pathlib import Path
from typing import Any

from mezzotint.storage.files import make_folder, replace_bytes


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
