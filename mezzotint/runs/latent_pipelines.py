"""Latent diffusion as a folder that diffusers' ``LDMPipeline`` opens."""

import copy
from pathlib import Path
from typing import Any

import torch

from mezzotint.config import override
from mezzotint.errors import ConfigError
from mezzotint.families.diffusing import DiffusionConfig
from mezzotint.families.latent_diffusion import LatentDiffusion
from mezzotint.runs.pipelines import require_multiple, write_whole

SOLVERS: dict[str, tuple[str, dict[str, Any]]] = {
    "unipc": ("UniPCMultistepScheduler", {"solver_order": 2, "solver_type": "bh2"}),
}
"""Our solver -> the scheduler that does the same among flow's levels, and its arguments."""
PREDICTIONS = {"clean": "sample", "flow": "flow_prediction"}
CARD = """---
library_name: diffusers
pipeline_tag: unconditional-image-generation
---

# A latent diffusion model trained with mezzotint

```python
from diffusers import LDMPipeline

pipeline = LDMPipeline.from_pretrained("this-folder")
picture = pipeline(num_inference_steps={steps}).images[0]
```
{told}"""


def write_latent(
    model: LatentDiffusion,
    folder: Path,
    solver: str | None = None,
    label: str | int | None = None,
) -> str:
    """Write a model as an ``LDMPipeline``, whole or not at all.

    The pipeline cannot be asked for a class: that of ``label``, or none, is folded into the
    network, which adds its vector to that of the time.

    Args:
        model: the model.
        folder: to be made; it must not exist.
        solver: ``unipc``; None: the model's own.
        label: the class whose pictures the pipeline draws; None: none.

    Returns:
        The scheduler's name.

    Raises:
        ConfigError: the pipeline cannot sample as the model does; the message says what to change.
        UsageError: there is no such class.
        CannotCreateError, StorageError: the folder exists or cannot be written.
    """
    config = override(model.prior.config, {"solver": solver} if solver else {})
    _require_fitting(model, config)
    kind = _kind(model, label)
    name, arguments = SOLVERS[config.solver]
    told = "" if kind < 0 else f"\nIt draws the class '{model.config.classes[kind]}' alone.\n"

    def save(building: Path) -> None:
        import diffusers

        schedule = getattr(diffusers, name)(**arguments, **_flow_arguments(config))
        unet = only(model.prior.network.unet, kind, len(model.prior.config.classes))
        unet.register_to_config(sample_size=model.space.shape[1])
        pipeline = diffusers.LDMPipeline(model.coder.published(), unet, schedule)
        pipeline.save_pretrained(building)

    write_whole(folder, save, CARD.format(steps=config.steps, told=told))
    return name


def _flow_arguments(config: DiffusionConfig) -> dict[str, Any]:
    return {
        "use_flow_sigmas": True,
        "flow_shift": config.shift,
        "prediction_type": PREDICTIONS[config.prediction],
        "num_train_timesteps": 1000,
        "final_sigmas_type": "zero",
    }


def _require_fitting(model: LatentDiffusion, config: DiffusionConfig) -> None:
    """Check that an ``LDMPipeline`` can walk as a model does."""
    require_multiple(model.config.size, model.coder.coder.multiple)
    height, width = model.config.size
    wanted = {
        "size": (height == width, "a square --size"),
        "backbone": (config.backbone == "diffusers", "train it with backbone=diffusers"),
        "prediction": (config.prediction in PREDICTIONS, "prediction=clean or flow"),
        "spacing": (config.spacing == "leading", "spacing=leading"),
        "solver": (config.solver in SOLVERS, f"--solver {' or '.join(SOLVERS)}"),
        "guidance": (config.guidance == 1 or not config.kinds, "guidance=1; the pipeline has none"),
    }
    for name, (fits, fix) in wanted.items():
        if not fits:
            what = f"an LDMPipeline of diffusers has no {name}={getattr(model.config, name)}"
            raise ConfigError(what, "export", fix)


def _kind(model: LatentDiffusion, label: str | int | None) -> int:
    """What the network is told of a class, -1 for nothing.

    Raises:
        ConfigError: a class is several groups.
        UsageError: there is no such class.
    """
    if label is None:
        return -1
    if model.config.groups:
        what = "a class of this model is several groups, of which a pipeline draws one"
        raise ConfigError(what, "--label", "train it with groups=0, or leave the label out")
    (number,) = model.labels_of([0], label) or [-1]
    return number


@torch.no_grad()
def only(unet: Any, kind: int, kinds: int) -> Any:
    """A copy of a ``UNet2DModel`` that draws one kind of images and need not be told.

    Args:
        unet: the network.
        kind: the kind; -1 for what it draws when it is told nothing.
        kinds: how many it knows; 0 leaves it as it is.
    """
    found = copy.deepcopy(unet)
    if not kinds:
        return found
    vector = found.class_embedding.weight[kind if kind >= 0 else kinds]
    found.time_embedding.linear_2.bias.add_(vector)
    found.class_embedding = None
    found.register_to_config(num_class_embeds=None)
    return found
