"""How a model is trained: its length in images or seconds, optimiser, averaging, precision."""

from dataclasses import dataclass
from typing import Literal

from mezzotint.config import option, parse_count, parse_seconds, validate


@dataclass(frozen=True)
class Recipe:
    """Options of training; the same names on the command line, in files and in Python."""

    images: int | None = option(None, "length in images seen", low=1)
    budget: float | None = option(None, "length in seconds of training, instead of images", low=0)
    batch: int = option(128, "images an optimiser step, over all processes", low=1, high=65536)
    micro_batch: int | None = option(None, "images a backward pass; none: the whole batch", low=1)
    seed: int = option(0, "seed of weights, data order and noise", low=0)
    optimizer: Literal["adam", "adamw", "muon"] = option("adam", "optimiser")
    lr: float = option(1e-3, "peak learning rate", low=0, high=10)
    betas: tuple[float, float] = option((0.9, 0.999), "Adam's betas", low=0, high=1)
    weight_decay: float = option(0.0, "weight decay (decoupled with adamw)", low=0, high=10)
    warmup: float = option(0.02, "share of the run over which the rate rises", low=0, high=1)
    decay: Literal["cosine", "linear", "none"] = option("cosine", "how the rate falls")
    max_grad_norm: float = option(0.0, "largest gradient norm; 0 clips nothing", low=0)
    ema: float = option(0.05, "averaging width relative to the run (2312.02696); 0: off", 0, 0.28)
    ema_snapshots: int = option(
        0, "averages kept on the way to choose the length from afterwards; 12 do; 0: none", 0, 64
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = option(
        "auto", "arithmetic of the networks"
    )
    compile: Literal["auto", "on", "off"] = option("auto", "torch.compile; auto: when it pays")
    record: bool = option(True, "on a GPU, record a step as a graph once and replay it")
    flip: bool = option(False, "mirror images at random; only where a mirrored one is as good")
    jitter: float | None = option(
        None, "largest random shift, share of a side; none: 1/16 for few images (diffusion)", 0, 0.5
    )
    log_every: int = option(25, "steps between lines of history.jsonl", low=1)
    previews: int = option(10, "sample grids over the run; 0: none", low=0, high=1000)
    checkpoint_seconds: float = option(60.0, "seconds between checkpoints", low=0)
    keep: int = option(2, "checkpoints kept", low=1)
    watch: bool = option(True, "look for collapse at every preview and go back (GANs)")
    tensorboard: bool = option(False, "also write TensorBoard event files (extra 'tensorboard')")

    def __post_init__(self) -> None:
        """Read lengths the way the command line writes them, then check every option."""
        if isinstance(self.images, str) and self.images.lower() != "none":
            object.__setattr__(self, "images", parse_count(self.images))
        if isinstance(self.budget, str) and self.budget.lower() != "none":
            object.__setattr__(self, "budget", parse_seconds(self.budget))
        validate(self)
