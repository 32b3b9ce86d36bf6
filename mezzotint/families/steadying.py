"""What a GAN does otherwise once its samples have been seen to collapse.

A critic without a penalty on its gradient leaves the generator nothing to follow between the images
(1801.04406, section 2); one with a penalty is held to twice of it, at each alarm.
"""

from dataclasses import dataclass

from mezzotint.families.contending import GANConfig


@dataclass(frozen=True)
class Care:
    """How the players train.

    Attributes:
        penalty: on the critic's gradient, as in :class:`GANConfig`.
        every: critic steps between penalties.
        weight: of the penalty.
        generator_steps: an iteration.
        words: what is otherwise than configured; empty where nothing is.
    """

    penalty: str
    every: int
    weight: float
    generator_steps: int
    words: str


def care_after(alarms: int, config: GANConfig, alone: bool) -> Care:
    """The care that so many alarms call for.

    Args:
        alarms: times that training went back.
        config: of the GAN.
        alone: whether the critic sees each image alone, as a penalty needs.
    """
    bare = config.penalty == "none"
    penalty = "r1r2" if bare and alone and alarms else config.penalty
    doubled = max(0, alarms - bare)
    every = 1 if bare else config.penalty_every  # so that a pass stays one that can be recorded
    steps = 1 if alarms else config.generator_steps
    words = [_penalty_words(bare, doubled)] if alarms and penalty != "none" else []
    words += ["one step of the generator at a time"] if steps < config.generator_steps else []
    return Care(penalty, every, config.weight * 2.0**doubled, steps, " and ".join(words))


def _penalty_words(bare: bool, doubled: int) -> str:
    times = f"{2**doubled} times the penalty" if doubled else ""
    added = "a penalty on the critic's gradient" if bare else ""
    return ", ".join(filter(None, (added, times)))
