"""Pictures of what a model has learnt, by its capabilities: the table below has them all."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mezzotint.data.dataset import Images
from mezzotint.families.base import Family
from mezzotint.families.capabilities import (
    Denoises,
    Encodes,
    Generates,
    Interpolates,
    Labels,
    Reconstructs,
)
from mezzotint.inspection.findings import Findings
from mezzotint.inspection.generating import (
    draw_classes,
    draw_neighbours,
    draw_truncation,
    draw_walks,
)
from mezzotint.inspection.levels import draw_losses, draw_schedule
from mezzotint.inspection.mapping import POINTS, draw_latents
from mezzotint.inspection.rebuilding import draw_ranked
from mezzotint.inspection.solving import draw_solvers
from mezzotint.progress import Progress
from mezzotint.training.curves import draw_diversity

Inspector = Callable[[Family, Images, Path, Progress], Findings]
INSPECTORS: tuple[tuple[type, Inspector], ...] = (
    (Reconstructs, draw_ranked),
    (Denoises, draw_schedule),
    (Denoises, draw_losses),
    (Denoises, draw_solvers),
    (Interpolates, draw_walks),
    (Labels, draw_classes),
    (Generates, draw_truncation),
    (Generates, draw_neighbours),
)


def inspect(
    family: Family,
    images: Images,
    folder: Path,
    show: Progress,
    maps: Sequence[str] | None = None,
    points: int = POINTS,
    history: Sequence[Mapping[str, Any]] = (),
) -> Findings:
    """Draw everything the family's capabilities allow.

    Args:
        family: the model.
        images: held-out images.
        folder: where the pictures go.
        show: where progress goes.
        maps: of the latents of a family that encodes; None: all that are installed.
        points: images on a map at the most.
        history: lines of ``history.jsonl``, of a run that was watched.

    Raises:
        StorageError, CannotCreateError: a picture cannot be written.
    """
    found = Findings()
    for capability, inspector in INSPECTORS:
        if isinstance(family, capability):
            found = found.joined(inspector(family, images, folder, show))
    if isinstance(family, Encodes):
        found = found.joined(draw_latents(family, images, folder, show, maps, points))
    course = draw_diversity(folder / "diversity.png", history)
    return found.joined(Findings((course,))) if course else found
