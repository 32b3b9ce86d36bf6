"""P6: the importance-weighted bound of log p(x) with K = 1000, on the same weights."""

import tempfile
from pathlib import Path

import torch
from side_by_side import Benchmark, Case, Figure, Measure, Side, arguments, run, timed

K = 1000
CHECKED = 8
NOTES = """
Images a second of the importance-weighted bound with K = 1000. Every round takes the next images
of the held-out side, the same on both sides, so the five rounds cover five times as many images as
one; the peer would need minutes for all at once. Weights: trained by mezzotint, loaded by both. The
peer is pythae's `VAE.get_nll(data, n_samples=1000, batch_size=...)` at its default of 100 and with
1000. Its "nll" is the mean of log p(x), not of -log p(x): the sign is taken as it comes. "the same
result" compares the mean bound in nats twice: over 8 images with the very same noise on both sides,
which has to agree within 0.05, and over all rounds with independent noise, where both are Monte
Carlo estimates of one number with a standard error near 0.05 and have to agree within 0.2.
"""


def ours(weights: str, kind: str, images: int) -> Measure:
    """VAE.bound as `mezzotint evaluate` calls it."""
    from vae_sides import GlobalDraws, held_out, load_ours

    from mezzotint.evaluation.likeness import PART
    from mezzotint.seeds import ImageNoise

    model = load_ours(weights, kind)
    torch.manual_seed(0)
    checked = model.bound(held_out(0, CHECKED) * 2 - 1, GlobalDraws(CHECKED), K)["iw_bound"]
    same_noise = {"same noise": float(checked.mean())}

    def measure(turn: int) -> Figure:
        pictures = held_out(turn * images, images) * 2 - 1
        seeds = range(turn * images, (turn + 1) * images)

        def bound() -> dict[str, float]:
            parts = [
                model.bound(part, ImageNoise(seeds[at : at + PART], purpose="bound"), K)["iw_bound"]
                for at, part in zip(range(0, images, PART), pictures.split(PART), strict=True)
            ]
            return {"own noise": float(torch.cat(parts).mean()), **same_noise}

        return timed(images, bound)

    return measure


def pythae(weights: str, kind: str, images: int, batch: int) -> Measure:
    """pythae's get_nll."""
    from vae_sides import held_out, load_pythae

    model = load_pythae(weights, kind)

    def bound(pictures: torch.Tensor, seed: int) -> float:
        torch.manual_seed(seed)
        return float(model.get_nll(pictures, n_samples=K, batch_size=batch))

    same_noise = {"same noise": bound(held_out(0, CHECKED), 0)}

    def measure(turn: int) -> Figure:
        pictures = held_out(turn * images, images)
        return timed(images, lambda: {"own noise": bound(pictures, turn + 1), **same_noise})

    return measure


def case(kind: str, weights: Path, images: int, target: float) -> Case:
    """Both batch sizes of the peer on one network."""
    options = {"weights": str(weights), "kind": kind, "images": images}
    peers = [
        Side(f"pythae, batch_size={size}", pythae, {**options, "batch": size})
        for size in (100, 1000)
    ]
    targets = {peer.name: target for peer in peers}
    mine = Side("mezzotint", ours, options)
    name = f"{kind}, {images} images a round"
    tolerance = {"same noise": (0.05, 0.0), "own noise": (0.2, 0.0)}
    return Case(name, "images/s", mine, peers, targets, tolerance)


def main() -> None:
    """Measure P6."""
    from vae_sides import trained_weights

    options = arguments(__doc__)
    torch.set_num_threads(options.threads)
    images, seen = (20, 12_800) if options.smoke else (200, 120_000)
    with tempfile.TemporaryDirectory() as home:
        weights = trained_weights(Path(home) / "mlp", "mlp", seen)
        benchmark = Benchmark("P6", "importance-weighted bound", NOTES, ("pythae",))
        run(benchmark, [case("mlp", weights, images, 3.0)], options)


if __name__ == "__main__":
    main()
