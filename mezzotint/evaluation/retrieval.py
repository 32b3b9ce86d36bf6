"""Whether pictures can be told from their prompts: retrieval by a small CLIP, for any captions."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mezzotint.errors import MissingExtraError
from mezzotint.evaluation.subject import Subject
from mezzotint.evaluation.values import Evaluation, Value, estimated
from mezzotint.features.extractor import Pixels
from mezzotint.features.matching import CaptionScorer, open_caption_scorer
from mezzotint.metrics.diversity import proportion

NAMES = ("r_precision",)
AMONG, FEWEST = 100, 10
UNIT = "of prompts"


def retrieval_values(subject: Subject) -> Evaluation:
    """R-precision (1711.10485, section 4): how often the own prompt is nearest of up to 100.

    What tells is a matcher trained on the captions of the training side. Its share for the real
    pictures stands beside, which is what can be reached, and chance, which is what says nothing.
    """
    rows, texts = subject.asked
    kept = distinct(texts)
    if len(kept) < FEWEST:
        why = f"it takes {FEWEST} different captions of held-out images"
        return Evaluation({}, dict.fromkeys(NAMES, why))
    try:
        scorer = open_caption_scorer(subject.held_out, subject.show)
    except MissingExtraError as error:
        return Evaluation({}, dict.fromkeys(NAMES, f"{error.what}: {error.fix}"))
    if scorer is None:
        return Evaluation({}, dict.fromkeys(NAMES, "there is no caption to learn from"))
    among = min(AMONG, len(kept))
    kept = kept[: len(kept) - len(kept) % among]
    captions = [texts[at] for at in kept]
    real = subject.held_out.gather([rows[at] for at in kept])
    made, best = (hits(scorer, pixels, captions, among) for pixels in (subject.shown[kept], real))
    return Evaluation({"r_precision": _value(made, best, among, scorer)})


def distinct(captions: Sequence[str]) -> list[int]:
    """Where each caption occurs first."""
    first: dict[str, int] = {}
    for at, caption in enumerate(captions):
        first.setdefault(caption.strip().lower(), at)
    return list(first.values())


def hits(
    scorer: CaptionScorer, pixels: Pixels, captions: Sequence[str], among: int
) -> NDArray[np.bool_]:
    """Whether the caption of each image (n,) is the nearest of ``among``; n is a multiple of it."""
    found = []
    for at in range(0, len(captions), among):
        part = slice(at, at + among)
        table = scorer.similarities(pixels[part], captions[part])
        found.append(table.argmax(1) == np.arange(among))
    return np.concatenate(found)


def _value(
    ours: NDArray[np.bool_], real: NDArray[np.bool_], among: int, scorer: CaptionScorer
) -> Value:
    note = f"nearest of {among} prompts to a matcher trained on captions; chance {1 / among:.1%}"
    value = estimated(proportion(ours), len(ours), UNIT, note)
    name = f"matcher {scorer.sha256[:12]}"
    rule = f"antialiased bicubic to {scorer.pairs.side}x{scorer.pairs.side}"
    return replace(value, floor=float(real.mean()), features=name, resize=rule)
