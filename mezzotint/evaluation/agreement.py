"""Whether pictures show what their prompts say, for the set ``shapes``."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mezzotint.data.scenes import Facts, read
from mezzotint.evaluation.scenes import Pixels, Verdict, judge
from mezzotint.evaluation.subject import BATCH, SEED, Subject, drawn_rows
from mezzotint.evaluation.values import Evaluation, Value, estimated
from mezzotint.families.capabilities import Prompts
from mezzotint.images import to_uint8
from mezzotint.metrics.diversity import proportion
from mezzotint.seeds import image_seeds

MADE = 300  # pictures where the user names no number
COUNTS = {1: "one", 2: "two", 3: "three"}
NAMES = ("shown", *(f"shown_{word}" for word in COUNTS.values()), "sizes_shown")
UNIT = "of prompts"


def agreement_values(subject: Subject) -> Evaluation:
    """Shares of held-out captions that a model's pictures show exactly, beside real pictures.

    ``shown``: everything a caption says; ``shown_one``, ``shown_two``, ``shown_three``: of captions
    of so many shapes, these in their colours and where they stand; ``sizes_shown``: of named sizes
    of single shapes.
    """
    captions = subject.held_out.captions_of(range(len(subject.held_out)))
    facts = None if captions is None else [read(caption or "") for caption in captions]
    if subject.held_out.spec != "shapes" or not facts or subject.family.shape[0] != 3:
        why = "pictures can be read for the set shapes alone"
        return Evaluation({}, dict.fromkeys(NAMES, why))
    assert captions is not None  # noqa: S101 - there are facts
    rows = [row for row in drawn_rows(len(facts), subject.samples or MADE) if facts[row]]
    made = _made(subject, [captions[row] or "" for row in rows])
    wanted = [facts[row] or Facts(()) for row in rows]
    ours, real = (_verdicts(pixels, wanted) for pixels in (made, subject.held_out.gather(rows)))
    return Evaluation(_values(wanted, ours, real))


def _made(subject: Subject, prompts: Sequence[str]) -> Pixels:
    assert isinstance(subject.family, Prompts)  # noqa: S101 - the table of measures asks for it
    parts = []
    for at in range(0, len(prompts), BATCH):
        texts = list(prompts[at : at + BATCH])
        seeds = image_seeds(SEED + at, len(texts))
        made = subject.family.sample(seeds, prompt=texts, **subject.sampling)  # type: ignore[operator]
        parts.append(to_uint8(made))
        subject.show.update(at + len(texts), len(prompts), note="pictures for prompts")
    return np.concatenate(parts)


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
