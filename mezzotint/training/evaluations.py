"""What a run looks at now and then: pictures, held-out losses, the collapse watch, the best yet."""

import time
from dataclasses import dataclass, field

from mezzotint.data.dataset import Images
from mezzotint.errors import DataError, MezzotintError, RefusedError, StorageError
from mezzotint.families.base import Family
from mezzotint.progress import Progress
from mezzotint.runs import best
from mezzotint.runs.best import Best
from mezzotint.runs.folder import RunFolder
from mezzotint.storage import faults
from mezzotint.storage.weights import first_non_finite, load_into
from mezzotint.training.averaging import Average
from mezzotint.training.detail import Detail
from mezzotint.training.models import settle
from mezzotint.training.previews import draw_previews, preview, validation_losses
from mezzotint.training.recipe import Recipe
from mezzotint.training.records import Record
from mezzotint.training.watching import Health, Watch

WORSE = 0.1  # of the coverage; less may be chance, and no reason to undo training
SHARE = 0.1  # of a time budget for looks; a short run of a slow sampler has fewer of them


@dataclass
class Evaluations:
    """Looks at the averaged model at moments spread evenly over a run.

    Attributes:
        family: the model that is trained.
        held_out: images it does not train on.
        folder: of the run.
        average: the weights to look at.
        watch: the collapse watch.
        recipe: ``previews`` are the looks in a whole run, 0 only the one at the end, without
            pictures.
        show: where warnings go.
        done: looks so far.
        spent: seconds that looks took in this process.
        detail: the measure of fine detail in previews.
    """

    family: Family
    held_out: Images
    folder: RunFolder
    average: Average
    watch: Watch
    recipe: Recipe
    show: Progress
    done: int = 0
    spent: float = 0.0
    best: Best | None = field(init=False)
    detail: Detail = field(init=False)

    def __post_init__(self) -> None:
        self.detail = Detail(self.held_out)
        self.best = best.kept(self.folder.averages) if self.watch.active else None

    def due(self, record: Record) -> bool:
        """Whether to look after this iteration; always at the end of the run."""
        reached = record.progress * self.recipe.previews >= self.done + 1
        return record.progress >= 1 or (reached and self._affordable(record.seconds))

    def _affordable(self, elapsed: float) -> bool:
        """Whether looks have left the time to training; the collapse watch needs all of its own."""
        return self.recipe.budget is None or self.watch.active or self.spent <= SHARE * elapsed

    def count(self, progress: float) -> None:
        """The looks until this share of the run are done."""
        self.done = int(progress * self.recipe.previews)

    def look(self, record: Record) -> dict[str, float]:
        """Validation numbers and pictures of the averaged model; a failed picture costs a warning.

        Raises:
            StorageError, CannotCreateError: the best averages cannot be written.
        """
        self.watch.health = Health.UNCLEAR
        if first_non_finite(self.average.tensors) is not None:
            return {}  # the step after this, or the checkpoint, will find out and roll back
        started = time.perf_counter()
        with self.average.applied():
            settle(self.family)
            found = self._draw(record.images) if self.recipe.previews else {}
            losses = validation_losses(self.family, self.held_out)
            seen = self.watch.look(self.family, record.step, self.show)
            self.family.train()
        self._keep_the_best(record.images)
        self.spent += time.perf_counter() - started
        return {**losses, **found, **seen}

    def words(self) -> list[str]:
        """What the newest look saw, for a line of progress."""
        return [*self.detail.words(), *self.watch.words()]

    def _draw(self, images: int) -> dict[str, float]:
        """Write what the model shows, and measure its detail."""
        try:
            found = preview(self.family, self.held_out)
        except DataError as error:
            return self._warn(error)
        try:
            draw_previews(found, self.folder.samples, images)
            faults.point("sample.done")
        except (StorageError, DataError) as error:
            self._warn(error)
        return self.detail.look(found)

    def _warn(self, error: MezzotintError) -> dict[str, float]:
        self.show.say(f"warning: a preview was not written: {error.what}")
        return {}

    def _keep_the_best(self, images: int) -> None:
        score = self.watch.diversity
        if score is None or self.watch.health is Health.COLLAPSED:
            return
        if self.best is None or score > self.best.score:
            self.best = Best(score, images)
            best.keep(self.folder.averages, self.best, self.average.tensors)
            faults.point("best.done")

    def outdone(self) -> Best | None:
        """The best averages, where those of the end show clearly less."""
        ended = self.watch.diversity or 0.0
        return self.best if self.best and self.best.score > ended + WORSE else None

    def put_back(self) -> Best | None:
        """Put the best averages into the family; None, and a warning, where they are damaged."""
        folder = self.folder.averages
        try:
            load_into(self.family, best.averages(folder), folder / best.NAME)
        except (DataError, RefusedError) as error:
            self.show.say(f"warning: {error.what}: {error.where}; the model is that of the end")
            return None
        found = best.kept(folder)
        if found:
            self.show.say(
                f"at {found.images:,} images samples covered {found.score:.2f} of what real ones do"
                f", at the end {self.watch.diversity or 0:.2f}: the earlier weights are kept"
            )
        return found
