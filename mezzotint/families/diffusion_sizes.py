"""What a diffusion model does by default at a size: one table, and what cannot work at all.

A head of w channels says w numbers of a patch of P^2 C. Noise fills all of them, so a network that
predicts noise in any mixture must be able to say them all, and what it cannot say stays in samples:
as noise of the level that sampling began with, or of the data's spread. Clean images fill few of
them: half as many channels keep 0.97 of the finest detail of photographs (their principal
components; 2511.13720). Blocks at half resolution that say every number of a 2x2 square help both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mezzotint.errors import ConfigError
from mezzotint.families.diffusing import DiffusionConfig, default_patch
from mezzotint.nets.unet import REFINED

SHARE_OF_CLEAN = 0.5
OWN_WAY = frozenset({"process", "prediction", "backbone", "objective", "variance", "weighting"})
"""Options of which one alone says that somebody knows the way."""


@dataclass(frozen=True)
class Choice:
    """Options for sizes up to a limit.

    Attributes:
        longest: the longest side they are for, in pixels.
        space: ``pixels`` or ``latents``.
        options: of the model; what the user gives wins.
        why: one clause.
    """

    longest: int
    space: str
    options: Mapping[str, Any]
    why: str


_WHOLE: dict[str, Any] = {"prediction": "edm", "refiner": 32}
TABLE = (
    Choice(32, "pixels", {}, "each patch has fewer numbers than the network has channels"),
    Choice(
        80,
        "pixels",
        {**_WHOLE, "level_mean": 0.6, "level_std": 1.4},
        "what is too fine for the patches is taken off at half resolution, and more noise is drawn"
        " because neighbours share what they show",
    ),
    Choice(
        160,
        "pixels",
        {**_WHOLE, "level_mean": 1.0, "level_std": 1.4, "widths": (96, 128)},
        "what is too fine for patches is taken off at half resolution, wider cells hold the rest",
    ),
    Choice(1024, "latents", {}, "an autoencoder folds images first, as their pixels are too many"),
)
"""Sources: preconditioning 2206.00364; noise by size 2301.11093; latents 2112.10752."""


def choice_for(size: Sequence[int], space: str = "auto") -> Choice:
    """The row of the table for a size (height, width), among those of a space."""
    rows = [row for row in TABLE if space == "auto" or row.space.startswith(space)]
    return next((row for row in rows if max(size) <= row.longest), rows[-1])


def suited(size: Sequence[int], given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Options for a size among pixels; none where the user, or a preset, knows the way."""
    return {} if OWN_WAY & set(given) else choice_for(size, "pixels").options


def described(size: Sequence[int], choice: Choice) -> str:
    """Where a model walks at a size and why, in one line."""
    return f"diffusion of {size[1]}x{size[0]} among {choice.space}: {choice.why}"


def rows() -> list[dict[str, Any]]:
    """The whole table as plain data."""
    return [
        {"up to": row.longest, "among": row.space, "options": dict(row.options), "why": row.why}
        for row in TABLE
    ]


def numbers_needed(config: DiffusionConfig) -> int:
    """Channels the head must have to say of a patch what is asked of it.

    Predictions of noise in any mixture fill every direction, unless a refiner of full rank takes
    off what is fine; clean images fill half of them.
    """
    patch = config.patch or default_patch(config.size)
    whole = patch**2 * config.channels
    refined = config.refiner >= REFINED**2 * config.channels
    low = config.prediction == "clean" or refined
    return round(whole * SHARE_OF_CLEAN) if low else whole


def fitted(config: DiffusionConfig, given: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Options that let a network say what is asked of it, and a sentence; none where it can.

    Args:
        config: of a new model.
        given: what the user asked for; widths that are too narrow stay, with a warning.

    Raises:
        ConfigError: the widths asked for cannot say half of what is asked for.
    """
    needed, found = numbers_needed(config), config.widths[0]
    if config.backbone != "unet" or found >= needed:
        return {}, ""
    patch = config.patch or default_patch(config.size)
    whole = patch**2 * config.channels
    what = (
        f"{found} channels cannot say the {whole} numbers of a patch of {patch}x{patch} pixels that"
        f" prediction={config.prediction} asks for"
    )
    if "widths" not in given:
        widths = tuple(max(width, needed) for width in config.widths)
        return {"widths": widths}, f"{what}: the network is widened to {_shown(widths)}"
    if needed < whole:
        return {}, f"warning: {what}: samples will lack detail; widths={needed},... keep it"
    if found < needed / 2:
        fix = f"widths={needed},... or a smaller patch, or prediction=clean"
        raise ConfigError(f"{what}: samples would be noise", "widths", fix)
    return {}, f"warning: {what}: samples will be grainy; widths={needed},... would do"


def _shown(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
