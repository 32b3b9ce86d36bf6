"""What the training loop tells after each iteration."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Record:
    """One finished iteration.

    Attributes:
        images: images seen since the start of the run.
        step: iterations done.
        progress: share of the run that is done, 0 to 1.
        seconds: training time so far, over all resumes.
        losses: scalars of the players on the device; read them seldom, each read waits for it.
        rate: the learning rate multiplier of this step.
        stop: whether the run was asked to stop here.
    """

    images: int
    step: int
    progress: float
    seconds: float
    losses: dict[str, Tensor]
    rate: float
    stop: bool = False
