"""A model's teacher, which is no part of it."""

from typing import Generic, TypeVar

import torch
from torch import nn

from mezzotint.errors import UsageError

Model = TypeVar("Model", bound=nn.Module)


class Lesson(Generic[Model]):
    """Holds a teacher so that torch sees no submodule: it is neither saved nor trained."""

    def __init__(self) -> None:
        self._teacher: Model | None = None

    def by(self, teacher: Model) -> None:
        """Take a teacher."""
        self._teacher = teacher.eval().requires_grad_(False)

    def teacher(self, device: torch.device) -> Model:
        """The teacher, on a device.

        Raises:
            UsageError: there is none.
        """
        if self._teacher is None:
            raise UsageError(
                "a model of few steps learns from its teacher, and there is none here",
                where="objective=consistency",
                fix="mezzotint train diffusion DATA --distill, or mezzotint.distill(run, data)",
            )
        return self._teacher.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]
