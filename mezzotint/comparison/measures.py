"""The numbers a comparison shows: what each means, and which way is better."""

from dataclasses import dataclass
from typing import Literal

Direction = Literal["lower", "higher", ""]


@dataclass(frozen=True)
class Measure:
    """A number as a reader meets it.

    Attributes:
        title: in words.
        meaning: one line for someone who has not met it.
        better: which way is better; empty where neither is, or where it has no interval.
    """

    title: str
    meaning: str
    better: Direction = ""


MAKING = {
    "frechet": Measure(
        "Fréchet distance", "how far the crowd of samples is from the crowd of real images", "lower"
    ),
    "kernel": Measure("kernel distance", "the same question, asked another way", "lower"),
    "precision": Measure("precision", "share of samples that look like real images", "higher"),
    "recall": Measure("recall", "share of real images that samples come near to", "higher"),
    "density": Measure("density", "how deep samples lie among real images; real ones have 1"),
    "coverage": Measure("coverage", "share of real images with a sample beside them", "higher"),
    "vendi": Measure("Vendi score", "number of really different samples; best near real images'"),
    "detail_finest": Measure(
        "finest detail",
        "energy of the finest octave, as a share of real images'; above 1 is noise, below it blur",
    ),
    "detail_kurtosis": Measure(
        "edges", "kurtosis of fine detail; best near real images', 3 is grain all over"
    ),
    "detail_quiet": Measure(
        "quiet places", "grey levels of grain on the calmest places; best near real images'"
    ),
    "classes_seen": Measure("classes shown", "share of the classes that samples show"),
    "duplicates": Measure("near doubles", "share of samples with a near double; real images 1%"),
    "memorisation": Measure(
        "distance to training images", "1 is that of unseen real images, near 0 is copying"
    ),
    "copied": Measure("copied", "share of samples nearer to a training image than is usual"),
}
REBUILDING = {
    "psnr": Measure("PSNR", "how exactly unseen images are rebuilt, in dB", "higher"),
    "ssim": Measure("SSIM", "how well their structure is kept, up to 1", "higher"),
    "perceptual": Measure(
        "feature error", "how far features move; 1 is the distance between two images", "lower"
    ),
    "rebuilt_detail_finest": Measure(
        "finest detail kept", "energy of the finest octave, as a share of the originals'"
    ),
    "rebuilt_detail_quiet": Measure(
        "quiet places", "grey levels of grain on the calmest places; best near the originals'"
    ),
    "bits_per_dim": Measure("bits per value", "bound on what an unseen image costs", "lower"),
}
COSTS = {
    "images_per_s": Measure("speed", "new images a second on this machine"),
    "parameters": Measure("parameters", "numbers that were learnt"),
}
GROUPS = {"New images": MAKING, "Rebuilt images": REBUILDING, "Cost": COSTS}
MEASURES = {name: each for group in GROUPS.values() for name, each in group.items()}
