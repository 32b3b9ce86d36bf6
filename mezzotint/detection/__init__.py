"""Bad images by a model of good ones: scores, heat maps and a threshold with a promise."""

from pathlib import Path
from typing import Any

from mezzotint.data.wholes import Wholes, require_tiles
from mezzotint.detection.goods import (
    Goods,
    digest,
    drawn,
    share_out,
    share_out_wholes,
    whole_digests,
)
from mezzotint.detection.layouts import Tested, open_tested
from mezzotint.detection.looking import Ground, Network
from mezzotint.detection.measuring import measured
from mezzotint.detection.parts import SCORES, parts_of
from mezzotint.detection.results import Detection, csv_text, tabulated
from mezzotint.detection.scoring import Numbers, Scored, Scorer
from mezzotint.detection.tiled import TiledScorer
from mezzotint.families.base import Family
from mezzotint.metrics.conformal import conformal_threshold, p_values
from mezzotint.progress import Progress
from mezzotint.storage.files import make_folder, replace_bytes, replace_json

__all__ = [
    "SCORES",
    "Detection",
    "Goods",
    "Ground",
    "Network",
    "Scorer",
    "Tested",
    "TiledScorer",
    "detect",
    "drawn",
    "open_tested",
    "parts_of",
    "share_out",
    "share_out_wholes",
    "tabulated",
    "whole_digests",
    "write",
]

SIZE_FACTOR = 2  # in pixels, between pictures that count as of one size


def detect(
    family: Family,
    network: Network,
    tested: Tested,
    goods: Goods[Any],
    score: tuple[str, list[str]],
    features: str,
    rate: float,
    show: Progress,
    tile: int | None = None,
    keep: Path | None = None,
) -> Detection:
    """Score images and judge them by the scores of held-out good ones.

    Args:
        family: the model.
        network: gives the maps of the parts that need some.
        tested: the images.
        goods: good images by duty.
        score: its name and its parts.
        features: name of the network.
        rate: the false-alarm rate to promise.
        show: where progress goes.
        tile: side of the tiles that pictures of their own size are scanned by; None: ``tested`` and
            ``goods`` hold images of the model's size.
        keep: folder for the maps of such pictures; None keeps them in memory.

    Raises:
        DataError: the model gives numbers that are not finite.
        StorageError, CannotCreateError: a map cannot be written.
    """
    ground = Ground(family, network, goods.fitting)
    if tile is None:
        held_out, scored = _scored_whole(ground, score[1], tested, goods, show)
    else:
        held_out, scored = _scored_by_tiles(ground, score[1], tested, goods, show, tile, keep)
    limit = conformal_threshold(held_out, rate)
    threshold = limit if limit < float("inf") else None
    flagged = None if threshold is None else scored.scores > threshold
    numbers, why = measured(tested, scored, flagged)
    return Detection(
        names=tested.names,
        kinds=tested.kinds,
        scores=scored.scores,
        parts=scored.parts,
        p_values=p_values(held_out, scored.scores),
        threshold=threshold,
        rate=rate,
        calibrated_on=len(held_out),
        score=score[0],
        features=features,
        seen=tuple(goods.digests.get(one, "") for one in _digests(tested)),
        bad=tested.bad,
        maps=scored.maps,
        measures=numbers,
        left_out=why,
        tile=tile,
        warnings=size_warnings(tested, goods),
    )


def _scored_whole(
    ground: Ground, names: list[str], tested: Tested, goods: Goods[Any], show: Progress
) -> tuple[Numbers, Scored]:
    """Scores of the good images that set the threshold, and what is said of the tested ones."""
    images = tested.packed
    scorer = Scorer(ground, names, goods.scaling, show)
    held_out = scorer.score(goods.calibrating, show, "held-out good images").scores
    return held_out, scorer.score(images.gather(range(len(images))), show)


def _scored_by_tiles(
    ground: Ground, names: list[str], tested: Tested, goods: Goods[Any], show: Progress,
    tile: int, keep: Path | None,
) -> tuple[Numbers, Scored]:  # fmt: skip
    images = tested.wholes
    require_tiles(images, tile)
    scorer = TiledScorer(ground, names, goods.scaling, tile, show)
    note = "held-out good pictures"
    held_out = scorer.score(goods.calibrating, show, note, with_maps=False).scores
    return held_out, scorer.score(images, show, keep=keep)


def _digests(tested: Tested) -> list[bytes]:
    if isinstance(tested.images, Wholes):
        return whole_digests(tested.images)
    return [digest(image) for image in tested.images.gather(range(len(tested.images)))]


def size_warnings(tested: Tested, goods: Goods[Any]) -> tuple[str, ...]:
    """A sentence where pictures differ in size from those that set the threshold.

    The hottest place of a larger picture is hotter by chance alone.
    """
    if not isinstance(tested.images, Wholes) or not isinstance(goods.calibrating, Wholes):
        return ()
    known = [height * width for height, width in goods.calibrating.sizes]
    low, high = min(known) / SIZE_FACTOR, max(known) * SIZE_FACTOR
    other = sum(not low <= height * width <= high for height, width in tested.images.sizes)
    if not other and max(known) <= SIZE_FACTOR * min(known):
        return ()
    told = "the good ones that set the threshold differ in size among themselves"
    if other:
        told = (
            f"{other:,} differ by more than a factor of 2 from the good ones that set the threshold"
        )
    return (
        f"sizes: {told}; larger pictures score higher by chance, so the promise is for pictures as"
        " large as those alone; to do: one folder a size, with --good of that size",
    )


def write(found: Detection, folder: Path) -> None:
    """``scores.csv`` and ``detection.json``.

    Raises:
        StorageError, CannotCreateError: they cannot be written.
    """
    make_folder(folder)
    replace_bytes(folder / "scores.csv", csv_text(found).encode())
    replace_json(folder / "detection.json", found.as_dict())
