"""Muon: momentum whose matrices are orthogonalised before they are applied (Jordan et al. 2024)."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.adam import adam

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
REST_RATE = 0.3


def orthogonalise(matrix: Tensor, steps: int = 5) -> Tensor:
    """Replace the singular values of a matrix by about 1 (Newton-Schulz, Jordan et al. 2024).

    Every iterate is a polynomial of the Gram matrix times the input, so only the polynomial is
    iterated: the products of an m x n matrix fall from two a step to two in all.

    Args:
        matrix: (m, n).
        steps: iterations; five bring the singular values into [0.7, 1.2].
    """
    a, b, c = COEFFICIENTS
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    gram = x @ x.T
    scale = 1 / (gram.diagonal().sum().sqrt() + 1e-7)
    gram = gram * scale.square()
    whole: Tensor | None = None
    for step in range(steps):
        part = torch.addmm(gram, gram, gram, beta=b, alpha=c)
        part.diagonal().add_(a)
        whole = part if whole is None else part @ whole
        if step + 1 < steps:
            gram = part @ gram @ part
    x = x if whole is None else (whole * scale) @ x
    return x.T if tall else x


def as_matrix(tensor: Tensor) -> Tensor:
    """A weight as (rows, all else); kernels in channels-last order, which is a view of theirs."""
    if tensor.dim() == 4:
        tensor = tensor.permute(0, 2, 3, 1)
    return tensor.reshape(tensor.shape[0], -1)


def like_weight(matrix: Tensor, weight: Tensor) -> Tensor:
    """Undo :func:`as_matrix` for the shape of ``weight``."""
    if weight.dim() != 4:
        return matrix.view(weight.shape)
    rows, inner, height, width = weight.shape
    return matrix.view(rows, height, width, inner).permute(0, 3, 1, 2)


def is_matrix(parameter: Tensor) -> bool:
    """Whether orthogonalising makes sense: not for vectors, nor kernels with one channel."""
    return parameter.dim() >= 2 and min(parameter.shape[:2]) > 1


class Muon(Optimizer):
    """Muon for matrices and kernels, Adam at 0.3 of the rate for all else.

    Updates are scaled by 0.2 sqrt(max(m, n)), so that their size is that of Adam's
    (2502.16982, section 2.2).

    Args:
        parameters: what is optimised.
        lr: rate of the matrices.
        betas: of Adam.
        momentum: of the matrices, Nesterov's form.
        weight_decay: decoupled, of the matrices.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        momentum: float = 0.95,
        weight_decay: float = 0.0,
    ) -> None:
        every = list(parameters)
        kinds = {True: 1.0, False: REST_RATE}
        groups = [
            {"params": [p for p in every if is_matrix(p) == kind], "rate_scale": scale}
            for kind, scale in kinds.items()
        ]
        defaults = {"lr": lr, "betas": betas, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__([group for group in groups if group["params"]], defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            present = [p for p in group["params"] if p.grad is not None]
            (self._step_matrices if group["rate_scale"] == 1.0 else self._step_rest)(group, present)

    def _step_matrices(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        for parameter in parameters:
            gradient = parameter.grad
            if gradient is None:
                continue
            state = self.state[parameter]
            if not state:
                state["momentum"] = torch.zeros_like(parameter)
            average = state["momentum"].lerp_(gradient, 1 - group["momentum"])
            matrix = as_matrix(gradient.lerp(average, group["momentum"]))
            scale = 0.2 * math.sqrt(max(matrix.shape))
            if group["weight_decay"]:
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
            direction = like_weight(orthogonalise(matrix), parameter)
            parameter.add_(direction, alpha=-group["lr"] * scale)

    def _step_rest(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        states = [self.state[parameter] for parameter in parameters]
        for parameter, state in zip(parameters, states, strict=True):
            if not state:
                state["step"] = torch.tensor(0.0)
                state["exp_avg"] = torch.zeros_like(parameter)
                state["exp_avg_sq"] = torch.zeros_like(parameter)
        first, second = group["betas"]
        adam(
            parameters,
            [p.grad for p in parameters if p.grad is not None],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            [state["step"] for state in states],
            fused=True,
            amsgrad=False,
            beta1=first,
            beta2=second,
            lr=group["lr"],
            weight_decay=0.0,
            eps=1e-8,
            maximize=False,
        )
