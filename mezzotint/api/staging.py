"""Families that stand on another one: it is trained first, or taken from a run."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mezzotint.data.dataset import Images
from mezzotint.errors import UsageError
from mezzotint.families.base import Family
from mezzotint.families.capabilities import Founded
from mezzotint.families.coder_text import coder_text
from mezzotint.images import to_float, to_uint8
from mezzotint.metrics.linear_code import image_psnr, patch_pca_psnr
from mezzotint.progress import Progress
from mezzotint.runs.loading import load_model
from mezzotint.training.plans import Plan, shortened
from mezzotint.training.recipe import Recipe

PASSED_ON = "seed precision compile flip checkpoint_seconds keep tensorboard record log_every"
AHEAD = 2.0  # dB before the best linear code: what a network is for
JUDGED, LINEAR = 64, 300  # images judged; images the linear code is found on
LONGER = 3
Train = Callable[..., Any]


@dataclass
class Part:
    """Progress of one stage as a part of the whole.

    Attributes:
        show: of the whole.
        start, end: where the stage lies in it, 0 to 1.
        name: of the stage.
        after: seconds of work that come after it, where that is known.
        said: lines that need not be said again.
    """

    show: Progress
    start: float
    end: float
    name: str
    after: float = 0.0
    said: frozenset[str] = frozenset()

    def update(self, done: float, total: float, note: str = "", seconds_left: float = 0) -> None:
        """Show how far the whole is."""
        share = self.start + (self.end - self.start) * min(1.0, done / max(total, 1e-9))
        self.show.update(share, 1.0, f"{self.name}: {note}", seconds_left + self.after)

    def say(self, text: str) -> None:
        """Pass a line on."""
        if text not in self.said:
            self.show.say(text)


def needs_foundation(plan: Plan) -> bool:
    """Whether a model of another family has to be there before this one is built."""
    return plan.instance is None and issubclass(plan.kind, Founded)


def foundation(
    plan: Plan, data: Any, folder: Path, show: Progress, train: Train
) -> tuple[Plan, Family, Progress]:
    """Train the model that a plan's stands on, or take it from a run.

    Args:
        plan: of a family that is :class:`Founded`.
        data: the images.
        folder: of the run; the first stage is the run ``autoencoder`` inside it.
        show: of the whole.
        train: trains a family; as :func:`mezzotint.api.runs.train`.

    Returns:
        The plan of what is left, the trained model, and the progress of what is left.

    Raises:
        UsageError: the run is one of another family, or not finished.
    """
    kind: Any = plan.kind
    base = kind.foundation()
    settled = kind.config_class(**{"size": data.size, "channels": data.channels, **plan.model})
    if settled.autoencoder:
        found = _finished(Path(settled.autoencoder), base)
        return _standing(plan, found), found, show
    share = settled.share
    rest = plan.shorter(1 - share)
    said = frozenset(data.describe())
    first = Part(show, 0.0, share, base, rest.recipe.budget or 0.0, said)
    preset, chosen = kind.stage(settled)
    options = {**chosen, **_passed_on(plan.recipe, share)}
    found = train(base, data, folder / "autoencoder", preset, first, **options).model
    for line in coder_verdict(found, data, plan.recipe):
        show.say(line)
    return _standing(rest, found), found, Part(show, share, 1.0, plan.kind.kind)


def coder_verdict(coder: Any, data: Images, recipe: Recipe) -> list[str]:
    """How an autoencoder does beside the best linear code of patches, and what follows; lines.

    Args:
        coder: a KL-VAE.
        data: the images.
        recipe: of the whole run.
    """
    held = data.held_out
    if not len(held):
        return []
    pixels = held.gather(range(min(JUDGED, len(held))))
    train = data.train.gather(np.linspace(0, len(data.train) - 1, LINEAR).astype(int))
    side, kept = coder.coder.multiple, coder.latent_shape[0]
    made = to_uint8(coder.reconstruct(to_float(pixels)))
    ours, linear = image_psnr(made, pixels), patch_pca_psnr(train, pixels, side, kept)
    line = (
        f"the autoencoder rebuilds held-out images to {ours:.1f} dB, the best linear code of"
        f" {kept} numbers for {side}x{side} pixels to {linear:.1f} dB"
    )
    if ours >= linear + AHEAD:
        return [line]
    return [
        line,
        f"warning: it is to be {AHEAD:g} dB ahead; {_length(recipe)} is short for {data.size[1]}"
        f"x{data.size[0]} pixels. To do: give {_longer(recipe)}, a smaller --size, or"
        " --set autoencoder=RUN of a kl-vae trained for longer",
    ]


def _length(recipe: Recipe) -> str:
    """The length of a run in words."""
    if recipe.budget is not None:
        return f"a budget of {recipe.budget / 60:.0f} minutes"
    return f"a run of {recipe.images:,} images"


def _longer(recipe: Recipe) -> str:
    """What a run of three times the length is asked for by."""
    if recipe.budget is not None:
        return f"--budget {max(1, round(LONGER * recipe.budget / 60))}m"
    return f"--images {LONGER * (recipe.images or 0)}"


def adopt(model: Family, base: Family) -> None:
    """Let a model stand on a trained one."""
    if isinstance(model, Founded):
        model.adopt(base)


def _finished(path: Path, kind: str) -> Family:
    model = load_model(path)
    if model.kind != kind:
        raise UsageError(f"this is a {model.kind}", str(path), f"name a run of {kind}")
    return model


def _standing(plan: Plan, found: Family) -> Plan:
    return replace(plan, model={**plan.model, "coder": coder_text(found.config)})


def _passed_on(recipe: Recipe, share: float) -> dict[str, Any]:
    part = shortened(recipe, share)
    length = {"budget": part.budget} if part.budget is not None else {"images": part.images}
    return {**length, **{name: getattr(recipe, name) for name in PASSED_ON.split()}}
