"""Whether pictures show what their prompts say, for the set ``shapes``."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mezzotint.data.scenes import Facts, read
from mezzotint.evaluation.scenes import Pixels, Verdict, judge
from mezzotint.evaluation.subject import Subject
from mezzotint.evaluation.values import Evaluation, Value, estimated
from mezzotint.metrics.diversity import proportion

COUNTS = {1: "one", 2: "two", 3: "three"}
NAMES = ("shown", *(f"shown_{word}" for word in COUNTS.values()), "sizes_shown")
UNIT = "of prompts"


def agreement_values(subject: Subject) -> Evaluation:
    """Shares of held-out captions that a model's pictures show exactly, beside real pictures.

    ``shown``: everything a caption says; ``shown_one``, ``shown_two``, ``shown_three``: of captions
    of so many shapes, these in their colours and where they stand; ``sizes_shown``: of named sizes
    of single shapes.
    """
    readable = subject.held_out.spec == "shapes" and subject.family.shape[0] == 3
    facts = [read(caption) for caption in subject.asked.captions] if readable else []
    known = [at for at, found in enumerate(facts) if found]
    if not known:
        why = "pictures can be read for the set shapes alone"
        return Evaluation({}, dict.fromkeys(NAMES, why))
    wanted = [facts[at] or Facts(()) for at in known]
    real = subject.held_out.gather([subject.asked.rows[at] for at in known])
    ours = _verdicts(subject.shown[known], wanted)
    return Evaluation(_values(wanted, ours, _verdicts(real, wanted)))


def _verdicts(pixels: Pixels, wanted: Sequence[Facts]) -> list[Verdict]:
    return [judge(picture, facts) for picture, facts in zip(pixels, wanted, strict=True)]


def _values(
    wanted: Sequence[Facts], ours: Sequence[Verdict], real: Sequence[Verdict]
) -> dict[str, Value]:
    values = {"shown": _share([one.all for one in ours], [one.all for one in real])}
    for count, word in COUNTS.items():
        at = [i for i, facts in enumerate(wanted) if len(facts.things) == count]
        shown = [[side[i].things and side[i].stand for i in at] for side in (ours, real)]
        if at:
            values[f"shown_{word}"] = _share(*shown)
    sized = [i for i, facts in enumerate(wanted) if len(facts.things) == 1 and facts.things[0].size]
    if sized:
        values["sizes_shown"] = _share(*([side[i].size for i in sized] for side in (ours, real)))
    return values


def _share(ours: Sequence[bool], real: Sequence[bool]) -> Value:
    found = proportion(np.array(ours, dtype=np.bool_))
    value = estimated(found, len(ours), UNIT, "read off the pixels")
    return replace(value, floor=float(np.mean(real)))
