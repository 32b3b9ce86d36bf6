"""Which solver, in how many steps, gives what many steps of a good one would give."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from mezzotint.data.dataset import Images
from mezzotint.families.base import Family
from mezzotint.families.capabilities import Denoises
from mezzotint.images import rows_grid, save_image, to_uint8
from mezzotint.inspection.findings import Findings
from mezzotint.progress import Progress
from mezzotint.seeds import image_seeds
from mezzotint.similarity import psnr

REFERENCE_STEPS = 100
SOLVERS = ("ddim", "dpmpp-2m", "unipc", "unipc-3", "ipndm", "heun")
STEPS = (4, 6, 8, 10, 15, 20, 30)
FEW_STEPS = (1, 2, 4, 8)
GUIDANCE = (1.0, 1.5, 2.0, 3.0, 5.0, 8.0)
COMPARED, SHOWN = 16, 8
SPACING = "trailing"  # the others start a few steps below pure noise
ENOUGH_DB = 40.0  # at 38 dB the Frechet distance to real images still differed


class Setting(NamedTuple):
    """A solver and its steps, the network calls they cost, and the distance to the reference."""

    solver: str
    steps: int
    calls: int
    decibels: float


def calls_of(solver: str, steps: int) -> int:
    """Network calls of a solver: heun looks twice at every level but the last."""
    return 2 * steps - 1 if solver == "heun" else steps


def recommend(settings: list[Setting], enough: float = ENOUGH_DB) -> Setting:
    """The cheapest setting whose images are within ``enough`` dB of the reference's.

    Of equally cheap ones the nearest; the nearest of all where none is near enough.
    """
    near = [setting for setting in settings if setting.decibels >= enough]
    if not near:
        return max(settings, key=lambda setting: setting.decibels)
    return min(near, key=lambda setting: (setting.calls, -setting.decibels))


def draw_solvers(family: Family, images: Images, folder: Path, show: Progress) -> Findings:
    """``solvers.png``: the same seeds by every solver and step count, and by guidance weight.

    Deterministic solvers walk the same curve, so their distance to many steps of Heun's method is
    their error; a guidance weight changes the curve, so those rows are for the eye.
    """
    if not isinstance(family, Denoises):
        raise TypeError(f"{family.kind} does not denoise")
    if family.config.objective == "consistency":
        return draw_few_steps(family, folder)
    many = min(REFERENCE_STEPS, _most_steps(family))
    reference = _made(family, {"solver": "heun", "steps": many})
    rows, settings = {f"heun {many}": reference}, list[Setting]()
    pairs = [(s, n) for s in SOLVERS for n in STEPS if n <= many]
    for done, (solver, steps) in enumerate(pairs):
        made = _made(family, {"solver": solver, "steps": steps})
        near = float(psnr(made / 2 + 0.5, reference / 2 + 0.5).mean())
        settings.append(Setting(solver, steps, calls_of(solver, steps), near))
        rows[f"{solver} {steps}: {near:.0f} dB"] = made
        show.update(done + 1, len(pairs), note=f"{solver}, {steps} steps")
    best = recommend(settings)
    chosen = {"solver": best.solver, "steps": best.steps, "spacing": SPACING}
    if family.config.kinds:
        rows |= {f"guidance {w:g}": _made(family, {**chosen, "guidance": w}) for w in GUIDANCE}
    picture = _sheet(rows, family, folder, f"{best.solver} {best.steps}:")
    numbers = {"solvers": [setting._asdict() for setting in settings]}
    return Findings((picture,), numbers, chosen)


def draw_few_steps(family: Family, folder: Path) -> Findings:
    """``solvers.png`` of a model that samples in a step or two: no other solver fits it."""
    rows = {f"{n} steps": _made(family, {"steps": n}) for n in FEW_STEPS}
    return Findings((_sheet(rows, family, folder),))


def _most_steps(family: Any) -> int:
    table = getattr(family.process, "cumprod", None)
    return 10**9 if table is None else len(table)


def _made(family: Any, settings: dict[str, Any]) -> Tensor:
    made: Tensor = family.sample(image_seeds(0, COMPARED), **{"spacing": SPACING, **settings})
    return made


def _sheet(rows: dict[str, Tensor], family: Family, folder: Path, chosen: str = " ") -> Path:
    series = [to_uint8(made[:SHOWN]) for made in rows.values()]
    captions = [f"> {name}" if name.startswith(chosen) else name for name in rows]
    scale = max(1, round(40 / max(family.shape[1:])))
    sheet = rows_grid(series, columns=SHOWN, captions=captions, scale=scale)
    return save_image(folder / "solvers.png", np.ascontiguousarray(sheet), {"model": family.kind})
