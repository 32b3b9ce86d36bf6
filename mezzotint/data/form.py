"""The form images are packed in: what the user asked for, and what the data suggests."""

import re
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias, get_args

from mezzotint.data.dataset import Story
from mezzotint.data.survey import Survey
from mezzotint.data.work import Recipe
from mezzotint.errors import UsageError, nearest
from mezzotint.imaging.colour import Channels, Colour
from mezzotint.imaging.resize import How

SizeLike: TypeAlias = int | str | tuple[int, int]
LEAST_SIDE, MOST_SIDE = 8, 1024
KEPT_LEAST, KEPT_MOST = 16, 128
SQUARE_STEP, LARGE_STEP, SQUARE_MOST = 8, 32, 64
KEPT_AREA = 1.25  # images of one size are kept up to so many times the area of the largest square
CUT = 0.5  # share of each picture that a crop has to keep, or it is said


class Limit(NamedTuple):
    """The most pixels a side to take unasked.

    Attributes:
        side: pixels.
        why: what sets it and what a larger one would take, in words.
        whole: larger pictures of one size keep their aspect instead of becoming squares.
    """

    side: int
    why: str
    whole: bool = False


@dataclass(frozen=True)
class Wanted:
    """What the user asked for; None where the data shall decide.

    Attributes:
        size: height and width in pixels.
        channels: 1, 3 or 4.
        fit: crop, pad or stretch.
        background: RGB.
    """

    size: tuple[int, int] | None
    channels: Channels | None
    fit: How
    background: Colour


def wanted(size: SizeLike | None, channels: int | None, fit: str, background: str) -> Wanted:
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
    return Wanted(pair, channels, how, _colour(background))  # type: ignore[arg-type]


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


def settle(want: Wanted, survey: Survey, limit: Limit | None = None) -> Recipe:
    """Complete what the user asked for by what the data suggests."""
    size = want.size or natural_size(survey, limit)
    channels: Channels = want.channels or (1 if survey.grey else 3)
    return Recipe(size, channels, want.fit, want.background)


def natural_size(survey: Survey, limit: Limit | None = None) -> tuple[int, int]:
    """The size to pack at when none is asked for.

    Images of one size with both sides in 16..128 keep it, or those of about the area of the limit;
    smaller ones are enlarged by the least whole number that brings the shorter side to 16. All
    others become squares of the median shorter side, rounded down to a multiple of 8, above 64 of
    32, and brought into 16..64 or up to the limit.
    """
    most = SQUARE_MOST if limit is None else limit.side
    if survey.uniform is not None:
        short = min(survey.uniform)
        times = -(-KEPT_LEAST // short) if short < KEPT_LEAST else 1
        height, width = survey.uniform[0] * times, survey.uniform[1] * times
        small = max(height, width) <= KEPT_MOST if limit is None else _within(height, width, most)
        if small:
            return height, width
        if limit is not None and limit.whole:
            return _shrunk(most, height, width)
    short = min(survey.short, most)
    step = SQUARE_STEP if short <= SQUARE_MOST else LARGE_STEP
    side = max(short // step * step, KEPT_LEAST)
    return side, side


def _within(height: int, width: int, most: int) -> bool:
    """Whether a picture costs about what a square of ``most`` pixels costs, or less."""
    return height * width <= KEPT_AREA * most * most and max(height, width) <= 2 * most


def _shrunk(most: int, height: int, width: int) -> tuple[int, int]:
    """A size of this aspect whose longer side is ``most``, in steps of 8, no side below 16."""
    scale = most / max(height, width)
    sides = [
        max(KEPT_LEAST, round(side * scale / SQUARE_STEP) * SQUARE_STEP) for side in (height, width)
    ]
    return sides[0], sides[1]


def story(want: Wanted, recipe: Recipe, survey: Survey, limit: Limit | None = None) -> Story:
    """Why the pack looks the way it does."""
    size = _size_story(want, recipe, survey, limit)
    return Story(size, _channels_story(want, recipe, survey), _cautions(recipe, survey))


def _size_story(want: Wanted, recipe: Recipe, survey: Survey, limit: Limit | None) -> str:
    if survey.uniform == recipe.size:
        return "as they are"
    origin = f"from {_range(survey)}"
    if survey.uniform is None or _aspect(survey.uniform) != _aspect(recipe.size):
        origin += {"crop": ", cropped", "pad": ", padded", "stretch": ", stretched"}[recipe.fit]
    if want.size:
        return origin
    bound = limit is not None and survey.short > limit.side
    why = f"; {limit.why}" if limit is not None and bound else ""
    return f"{origin}{why}; --size sets another"


def _cautions(recipe: Recipe, survey: Survey) -> tuple[str, ...]:
    """What is lost of pictures of another form than most, or was never in them."""
    found = []
    if survey.uniform is not None and recipe.fit == "crop":
        kept = _kept(survey.uniform, recipe.size)
        if kept < CUT:
            whole = _whole(survey.uniform, min(recipe.size))
            found.append(
                f"the crop keeps {kept:.0%} of each picture, its middle;"
                f" --size {whole[1]}x{whole[0]} keeps all of it"
            )
    least = min(survey.smallest)
    if survey.uniform is None and 2 * least <= min(recipe.size):
        height, width = survey.smallest
        found.append(
            f"the smallest picture has {width}x{height} pixels and is enlarged:"
            " it stays blurred; 'mezzotint data check' lists such pictures"
        )
    return tuple(found)


def _whole(size: tuple[int, int], short: int) -> tuple[int, int]:
    """Height and width of the aspect of ``size`` with a shorter side of about ``short``."""
    scale = min(short / min(size), MOST_SIDE / max(size))
    height, width = (max(LEAST_SIDE, round(side * scale)) for side in size)
    return height, width


def _kept(size: tuple[int, int], wanted: tuple[int, int]) -> float:
    """Share of a picture that a centred crop of another aspect keeps."""
    first, second = _aspect(size), _aspect(wanted)
    return min(first, second) / max(first, second)


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
