"""Bad images by a model of good ones: scores, heat maps and a threshold with a promise."""

from pathlib import Path

from mezzotint.detection.goods import Goods, digest, share_out
from mezzotint.detection.layouts import Tested, open_tested
from mezzotint.detection.looking import Ground, Network
from mezzotint.detection.measuring import measured
from mezzotint.detection.parts import SCORES, parts_of
from mezzotint.detection.results import Detection, csv_text, tabulated
from mezzotint.detection.scoring import Scorer
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
    "detect",
    "open_tested",
    "parts_of",
    "share_out",
    "tabulated",
    "write",
]


def detect(
    family: Family,
    network: Network,
    tested: Tested,
    goods: Goods,
    score: tuple[str, list[str]],
    features: str,
    rate: float,
    show: Progress,
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

    Raises:
        DataError: the model gives numbers that are not finite.
    """
    scorer = Scorer(Ground(family, network, goods.fitting), score[1], goods.scaling, show)
    held_out = scorer.score(goods.calibrating, show, "held-out good images").scores
    pixels = tested.images.gather(range(len(tested.images)))
    scored = scorer.score(pixels, show)
    limit = conformal_threshold(held_out, rate)
    threshold = limit if limit < float("inf") else None
    flagged = None if threshold is None else scored.scores > threshold
    numbers, why = measured(tested, scored, flagged)
    return Detection(
        names=tested.images.names_of(range(len(pixels))),
        kinds=tested.kinds,
        scores=scored.scores,
        parts=scored.parts,
        p_values=p_values(held_out, scored.scores),
        threshold=threshold,
        rate=rate,
        calibrated_on=len(held_out),
        score=score[0],
        features=features,
        seen=tuple(goods.digests.get(digest(image), "") for image in pixels),
        bad=tested.bad,
        maps=scored.maps,
        measures=numbers,
        left_out=why,
    )


def write(found: Detection, folder: Path) -> None:
    """``scores.csv`` and ``detection.json``.

    Raises:
        StorageError, CannotCreateError: they cannot be written.
    """
    make_folder(folder)
    replace_bytes(folder / "scores.csv", csv_text(found).encode())
    replace_json(folder / "detection.json", found.as_dict())
