"""P10: Frechet distance against scipy's sqrtm; precision, recall and coverage against prdc."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from side_by_side import Benchmark, Case, Facts, Figure, Measure, Side, arguments, run

from mezzotint.metrics.distances import frechet
from mezzotint.metrics.neighbours import prdc

NAMES = ("precision", "recall", "density", "coverage")
Maths = Callable[[np.ndarray, np.ndarray], Facts]
NOTES = """
Two sets of random features with correlated columns and a small shift, float32. The Frechet peer is
the usual one: `numpy.cov`, `scipy.linalg.sqrtm` of the product, real part. The other is
`prdc.compute_prdc` with k = 5. Rows in 1/GiB compare the most memory that a call adds to its
process (VmHWM over the resident size before it), so that 4 means a quarter.
"""


def features(count: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Real and made ones, (count, width) each."""
    random = np.random.default_rng(0)
    mix = random.normal(size=(width, width)) / np.sqrt(width)
    real, made = (random.normal(size=(count, width)) @ mix for _ in range(2))
    return real.astype(np.float32), (1.05 * made + 0.02).astype(np.float32)


def ours_frechet(real: np.ndarray, made: np.ndarray) -> Facts:
    """mezzotint.metrics."""
    return {"distance": frechet(real, made)}


def scipy_frechet(real: np.ndarray, made: np.ndarray) -> Facts:
    """The usual code of pytorch-fid and its kin."""
    from scipy.linalg import sqrtm

    one, two = (np.cov(part.astype(np.float64), rowvar=False) for part in (real, made))
    apart = real.mean(0, dtype=np.float64) - made.mean(0, dtype=np.float64)
    cross = np.trace(np.real(sqrtm(one @ two)))
    return {"distance": float(apart @ apart + np.trace(one) + np.trace(two) - 2 * cross)}


def ours_prdc(real: np.ndarray, made: np.ndarray) -> Facts:
    """mezzotint.metrics."""
    found = prdc(real, made, 5)
    return {name: float(getattr(found, name)) for name in NAMES}


def their_prdc(real: np.ndarray, made: np.ndarray) -> Facts:
    """The package of the metric's authors."""
    from prdc import compute_prdc

    found = compute_prdc(real_features=real, fake_features=made, nearest_k=5)
    return {name: float(found[name]) for name in NAMES}


MATHS: dict[str, Maths] = {
    "ours frechet": ours_frechet,
    "scipy": scipy_frechet,
    "ours prdc": ours_prdc,
    "prdc": their_prdc,
}


def side(maths: str, count: int, width: int, memory: bool) -> Measure:
    """Seconds of a call, or the GiB it adds."""
    real, made = features(count, width)

    def measure(turn: int) -> Figure:
        before, clock = _resident(), time.perf_counter()
        facts = MATHS[maths](real, made)
        seconds = time.perf_counter() - clock
        return Figure(1, _peak() - before if memory else seconds, facts)

    return measure


def _resident() -> float:
    """GiB in use; the peak starts again from here."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _peak() -> float:
    return _status("VmHWM")


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 2**20


def case(what: str, count: int, width: int, memory: bool, target: float) -> Case:
    """Ours and the peer on one size."""
    peer = {"frechet": "scipy", "prdc": "prdc"}[what]
    options = {"count": count, "width": width, "memory": memory}
    facts = ("distance",) if what == "frechet" else NAMES
    return Case(
        f"{what}, {count:,} x {width:,}",
        "1/GiB" if memory else "1/s",
        Side("mezzotint", side, {**options, "maths": f"ours {what}"}),
        [Side(peer, side, {**options, "maths": peer})],
        {peer: target},
        dict.fromkeys(facts, (1e-5, 1e-5)),
    )


def main() -> None:
    """Measure P10."""
    options = arguments(__doc__)
    count, width = (500, 64) if options.smoke else (10_000, 2_048)
    cases = [
        case("frechet", count, width, False, 6.0),
        case("prdc", count, min(width, 512), False, 4.0),
        case("prdc", count, min(width, 512), True, 4.0),
    ]
    title = "distances and coverage of features"
    run(Benchmark("P10", title, NOTES, ("scipy", "scikit-learn", "prdc")), cases, options)


if __name__ == "__main__":
    main()
