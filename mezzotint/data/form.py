"""The form images are packed in: what the user asked for, and what the data suggests."""

import re
from dataclasses import dataclass
from typing import TypeAlias, get_args

from mezzotint.data.dataset import Story
from mezzotint.data.survey import Survey
from mezzotint.data.work import Recipe
from mezzotint.errors import UsageError, nearest
from mezzotint.imaging.colour import Channels, Colour
from mezzotint.imaging.resize import How

SizeLike: TypeAlias = int | str | tuple[int, int]
LEAST_SIDE, MOST_SIDE = 8, 1024
KEPT_LEAST, KEPT_MOST = 16, 128
SQUARE_STEP, SQUARE_MOST = 8, 64


@dataclass(frozen=True)
class Wanted:
    """What the user asked for; None where the data shall decide.

    Attributes:
        size: height and width in pixels.
        channels: 1, 3 or 4.
        fit: crop, pad or stretch.
        background: RGB.
        most: the longest side that the data may decide on; None: what suits any model.
    """

    size: tuple[int, int] | None
    channels: Channels | None
    fit: How
    background: Colour
    most: int | None = None


def wanted(
    size: SizeLike | None,
    channels: int | None,
    fit: str,
    background: str,
    most: int | None = None,
) -> Wanted:
    """Check what the user asked for.

    Raises:
        UsageError: a value that does not make sense.
    """
    if channels not in (None, 1, 3, 4):
        raise UsageError(f"channels={channels}", fix="1 for grey, 3 for RGB, 4 for RGBA")
    how = next((choice for choice in get_args(How) if choice == fit), None)
    if how is None:
        raise UsageError(f"unknown fit '{fit}'", fix=nearest(fit, get_args(How)))
    pair = None if size is None else parse_size(size)
    return Wanted(pair, channels, how, _colour(background), most)  # type: ignore[arg-type]


def parse_size(size: SizeLike) -> tuple[int, int]:
    """Height and width from 64, ``"64"``, ``"80x64"`` (width x height) or (height, width).

    Raises:
        UsageError: not of that form, or a side outside 8..1024.
    """
    height, width = _sides(size)
    if not all(LEAST_SIDE <= side <= MOST_SIDE for side in (height, width)):
        raise UsageError(
            f"a size of {width}x{height} pixels",
            fix=f"each side is from {LEAST_SIDE} to {MOST_SIDE} pixels",
        )
    return height, width


def _sides(size: SizeLike) -> tuple[int, int]:
    if isinstance(size, str):
        match = re.fullmatch(r"(\d{1,6})(?:x(\d{1,6}))?", size.strip().lower())
        if match is None:
            raise _not_a_size(size)
        return int(match[2] or match[1]), int(match[1])
    if isinstance(size, int) and not isinstance(size, bool):
        return size, size
    if isinstance(size, tuple) and len(size) == 2 and all(isinstance(side, int) for side in size):
        return size
    raise _not_a_size(size)


def _not_a_size(size: object) -> UsageError:
    return UsageError(
        f"'{size}' is not a size", fix="give 64, '80x64' (width x height) or (height, width)"
    )


def _colour(name: str) -> Colour:
    from PIL import ImageColor

    try:
        red, green, blue = ImageColor.getcolor(name, "RGB")[:3]  # type: ignore[index]
    except (ValueError, AttributeError) as error:
        raise UsageError(
            f"unknown colour '{name}'", fix="a name such as 'white' or a code such as '#ffcc00'"
        ) from error
    return red, green, blue


def settle(want: Wanted, survey: Survey) -> Recipe:
    """Complete what the user asked for by what the data suggests."""
    size = want.size or natural_size(survey, want.most)
    channels: Channels = want.channels or (1 if survey.grey else 3)
    return Recipe(size, channels, want.fit, want.background)


def natural_size(survey: Survey, most: int | None = None) -> tuple[int, int]:
    """The size to pack at when none is asked for.

    Images of one size with both sides in 16..128 keep it; smaller ones are enlarged by the least
    whole number that brings the shorter side to 16. All others become squares of the median
    shorter side, rounded down to a multiple of 8 and brought into 16..64.

    With ``most`` images of one size keep it up to that, larger ones keep their aspect and get a
    longer side of ``most``, and squares may be as large.
    """
    if survey.uniform is not None:
        short = min(survey.uniform)
        times = -(-KEPT_LEAST // short) if short < KEPT_LEAST else 1
        height, width = survey.uniform[0] * times, survey.uniform[1] * times
        if max(height, width) <= (most or KEPT_MOST):
            return height, width
        if most is not None:
            return _within(most, height, width)
    side = survey.short // SQUARE_STEP * SQUARE_STEP
    side = min(max(side, KEPT_LEAST), most or SQUARE_MOST)
    return side, side


def _within(most: int, height: int, width: int) -> tuple[int, int]:
    """A size of this aspect whose longer side is ``most``, in steps of 8, no side below 16."""
    scale = most / max(height, width)
    sides = [
        max(KEPT_LEAST, round(side * scale / SQUARE_STEP) * SQUARE_STEP) for side in (height, width)
    ]
    return sides[0], sides[1]


def story(want: Wanted, recipe: Recipe, survey: Survey) -> Story:
    """Why the pack looks the way it does."""
    return Story(_size_story(want, recipe, survey), _channels_story(want, recipe, survey))


def _size_story(want: Wanted, recipe: Recipe, survey: Survey) -> str:
    if survey.uniform == recipe.size:
        return "as they are"
    origin = f"from {_range(survey)}"
    if survey.uniform is None or _aspect(survey.uniform) != _aspect(recipe.size):
        origin += {"crop": ", cropped", "pad": ", padded", "stretch": ", stretched"}[recipe.fit]
    return origin if want.size else f"{origin}; --size sets another"


def _range(survey: Survey) -> str:
    low, high = survey.smallest, survey.largest
    first = f"{low[1]}x{low[0]}"
    return first if survey.uniform else f"{first} to {high[1]}x{high[0]}"


def _aspect(size: tuple[int, int]) -> float:
    return size[0] / size[1]


def _channels_story(want: Wanted, recipe: Recipe, survey: Survey) -> str:
    parts = []
    if want.channels is None and survey.grey:
        parts.append("every image is grey")
    if survey.grey and recipe.channels != 1:
        parts.append("repeated from grey")
    if not survey.grey and recipe.channels == 1:
        parts.append("colour turned to grey")
    if survey.alpha and recipe.channels != 4:
        ground = "white" if recipe.background == (255, 255, 255) else str(recipe.background)
        parts.append(
            f"transparency of {survey.alpha:,} images flattened on {ground}; channels=4 keeps it"
        )
    return "; ".join(parts)
