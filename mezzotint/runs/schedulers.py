"""diffusers' schedulers and our options, one as the other: no code of either is run."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from mezzotint.config import coerce, shown
from mezzotint.errors import ConfigError
from mezzotint.families.diffusing import DiffusionConfig

MOST = 100_000
UNBOUNDED = 1e6  # for diffusers, 1 makes a dynamic threshold a static one
BETAS = {"linear": "linear", "cosine": "squaredcos_cap_v2"}
PREDICTIONS = {"eps": "epsilon", "v": "v_prediction", "clean": "sample"}
VARIANCES = {"ddpm": "fixed_small", "ddpm-large": "fixed_large"}
LEARNED = "learned_range"
SAME_VARIANCES = {"fixed_small_log": "fixed_small", "fixed_large_log": "fixed_large"}


class Scheduler(NamedTuple):
    """A scheduler of diffusers by name and arguments, and the pipeline it goes with."""

    pipeline: str
    name: str
    arguments: dict[str, Any]


def _process_arguments(config: DiffusionConfig) -> dict[str, Any]:
    scale = 1000 / config.timesteps
    return {
        "num_train_timesteps": config.timesteps,
        "beta_start": 1e-4 * scale,
        "beta_end": min(2e-2 * scale, 0.999),
        "beta_schedule": BETAS[config.process],
        "prediction_type": PREDICTIONS[config.prediction],
        "timestep_spacing": config.spacing,
        "rescale_betas_zero_snr": config.zero_snr,
        "clip_sample": config.clip == "static",
        "thresholding": config.clip == "dynamic",
        "sample_max_value": UNBOUNDED if config.clip == "dynamic" else 1.0,
    }


def _ddpm(config: DiffusionConfig) -> Scheduler:
    learned = config.variance == "learned" and config.solver == "ddpm"
    named = LEARNED if learned else VARIANCES[config.solver]
    arguments = {**_process_arguments(config), "variance_type": named}
    return Scheduler("DDPMPipeline", "DDPMScheduler", arguments)


def _ddim(config: DiffusionConfig) -> Scheduler:
    return Scheduler("DDIMPipeline", "DDIMScheduler", _process_arguments(config))


def _flow(config: DiffusionConfig) -> Scheduler:
    arguments = {"num_train_timesteps": 1000, "shift": config.shift}
    return Scheduler("DDPMPipeline", "FlowMatchEulerDiscreteScheduler", arguments)


_TABLES = ("linear", "cosine")
WRITERS: dict[tuple[str, str], Callable[[DiffusionConfig], Scheduler]] = {
    **{(process, solver): _ddpm for process in _TABLES for solver in VARIANCES},
    **{(process, solver): _ddim for process in _TABLES for solver in ("ddim", "euler")},
    ("flow", "euler"): _flow,
    ("flow", "ddim"): _flow,
}
"""(process, solver) -> the scheduler that does the same."""
NEAREST = {"linear": "ddim", "cosine": "ddim", "flow": "euler"}


def nearest_solver(config: DiffusionConfig) -> str:
    """What a pipeline samples by where diffusers has none of the model's own solver."""
    if config.variance == "learned":
        return "ddpm"
    return NEAREST.get(config.process, config.solver)


def scheduler_of(config: DiffusionConfig) -> Scheduler:
    """The scheduler that samples as a configuration does.

    Raises:
        ConfigError: diffusers has none, or an image pipeline of diffusers cannot use it.
    """
    fitting = ("flow",) if config.process == "flow" else tuple(PREDICTIONS)
    if config.process not in NEAREST or config.prediction not in fitting:
        raise ConfigError(
            f"no pipeline of diffusers samples {config.process} with {config.prediction}",
            where="export",
            fix="train with process=linear and prediction=eps or v, or process=flow",
        )
    if (config.process, config.solver) not in WRITERS:
        raise ConfigError(
            f"no image pipeline of diffusers samples {config.process} by {config.solver}",
            where="export",
            fix="--solver " + " or ".join(s for p, s in WRITERS if p == config.process),
        )
    if config.process == "linear" and config.timesteps <= 20:
        what = f"diffusers has other betas for {config.timesteps} levels"
        raise ConfigError(what, "export", "train with timesteps=21 or more")
    if config.variance == "learned" and config.solver != "ddpm":
        what = f"diffusers cannot sample a model with a learnt variance by {config.solver}"
        raise ConfigError(what, "export", "--solver ddpm")
    if config.solver == "ddpm-large" and config.spacing != "leading":
        what = "diffusers adds noise to the image itself with the large variance"
        raise ConfigError(what, "export", "spacing=leading or --solver ddpm")
    return WRITERS[config.process, config.solver](config)


_TABLE_FIXED: dict[str, Any] = {"trained_betas": None, "steps_offset": 0, "set_alpha_to_one": True}
_FLOW_FIXED: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "use_dynamic_shifting": False,
    "invert_sigmas": False,
    "shift_terminal": None,
    "use_karras_sigmas": False,
    "use_exponential_sigmas": False,
    "use_beta_sigmas": False,
    "stochastic_sampling": False,
}


def _table_options(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    _require(values, _TABLE_FIXED, where)
    timesteps = coerce(values.get("num_train_timesteps", 1000), int, "num_train_timesteps")
    if not 1 < timesteps <= MOST:
        raise ConfigError(f"{shown(timesteps)} levels are out of range", where, f"2 to {MOST:,}")
    process = _key(BETAS, values.get("beta_schedule", "linear"), where)
    if process == "linear":
        scale = 1000 / timesteps
        ends = {"beta_start": 1e-4 * scale, "beta_end": min(2e-2 * scale, 0.999)}
        _require({**{"beta_start": 1e-4, "beta_end": 2e-2}, **values}, ends, where)
    return {
        "process": process,
        "timesteps": timesteps,
        "prediction": _key(PREDICTIONS, values.get("prediction_type", "epsilon"), where),
        "spacing": values.get("timestep_spacing", "leading"),
        "zero_snr": values.get("rescale_betas_zero_snr", False),
        "clip": _clip(values, where),
    }


def _clip(values: Mapping[str, Any], where: str) -> str:
    """How pixels are kept; a dynamic threshold with the limit 1 is static."""
    if values.get("thresholding", False):
        if values.get("sample_max_value", 1.0) == 1:
            return "static"
        wanted = {"dynamic_thresholding_ratio": 0.995, "sample_max_value": UNBOUNDED}
        _require(values, wanted, where)
        return "dynamic"
    if not values.get("clip_sample", True):
        return "none"
    _require(values, {"clip_sample_range": 1.0}, where)
    return "static"


def _ddpm_options(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    named = str(values.get("variance_type", "fixed_small"))
    options = _table_options(values, where)
    if named == LEARNED:
        learned = {"variance": "learned", "solver": "ddpm"}
        return {**options, **learned, "steps": options["timesteps"]}
    solver = _key(VARIANCES, SAME_VARIANCES.get(named, named), where)
    return {**options, "solver": solver, "steps": options["timesteps"]}


def _ddim_options(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    options = _table_options(values, where)
    return {**options, "solver": "ddim", "steps": min(50, options["timesteps"])}


def _flow_options(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    _require(values, _FLOW_FIXED, where)
    options = {"process": "flow", "prediction": "flow", "shift": values.get("shift", 1.0)}
    return {**options, "spacing": "linspace", "clip": "none", "solver": "euler", "steps": 50}


READERS: dict[str, Callable[[Mapping[str, Any], str], dict[str, Any]]] = {
    "DDPMScheduler": _ddpm_options,
    "DDIMScheduler": _ddim_options,
    "FlowMatchEulerDiscreteScheduler": _flow_options,
}


def options_of(pipeline: str, name: str, values: Any, where: str) -> dict[str, Any]:
    """Options of a diffusion model that samples as a scheduler does.

    Args:
        pipeline: its pipeline; a DDIMPipeline samples by DDIM whatever the scheduler's name.
        name: the scheduler's class.
        values: what its ``scheduler_config.json`` holds.
        where: the file, for messages.

    Raises:
        ConfigError: there is no such model here.
    """
    if name not in READERS or not isinstance(values, Mapping):
        fix = "the schedulers known here: " + ", ".join(READERS)
        raise ConfigError(f"the scheduler {shown(name)} is not known", where, fix)
    by_ddim = pipeline == "DDIMPipeline" and name == "DDPMScheduler"
    return READERS["DDIMScheduler" if by_ddim else name](values, where)


def _key(table: Mapping[str, str], value: Any, where: str) -> str:
    for ours, theirs in table.items():
        if theirs == value:
            return ours
    raise ConfigError(
        f"{shown(value)} is not known here", where, "one of " + ", ".join(table.values())
    )


def _require(values: Mapping[str, Any], fixed: Mapping[str, Any], where: str) -> None:
    for name, wanted in fixed.items():
        found = values.get(name, wanted)
        number = isinstance(wanted, float) and isinstance(found, int | float)
        if not (abs(found - wanted) <= 1e-6 * wanted if number else found == wanted):
            fix = f"mezzotint samples with {name}={wanted} only"
            raise ConfigError(f"{name}={shown(found)} of the scheduler", where, fix)
