"""What commands take: names they share, and the options of those that ``cli`` has no room for."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, UseAppendAction, arg

Assignments = UseAppendAction[tuple[str, ...]]
FamilyName = Annotated[Positional[str], arg(metavar="FAMILY")]
DataName = Annotated[Positional[str], arg(metavar="DATA")]
ModelName = Annotated[Positional[str], arg(metavar="RUN")]


@dataclass(frozen=True)
class Sample:
    """Make new images from a trained model."""

    model: ModelName
    """Run or model folder, a pipeline folder of diffusers, or owner/name of one in the cache of the
    hub."""
    allow_network: bool = False
    """Fetch owner/name from the hub first, unless the cache has it."""
    n: Annotated[int | None, arg(aliases=["-n"])] = None
    """How many; by default 64, 4 of a Stable Diffusion pipeline."""
    seed: int = 0
    """Image i has the seed SEED + i and depends on nothing else."""
    label: str | None = None
    """Class to make, by name or number; by default one drawn from each seed; none: no class."""
    prompt: str | None = None
    """What a text-to-image model is to show; by default a caption of its training images, drawn
    from each seed."""
    negative_prompt: str | None = None
    """What guidance leads away from."""
    solver: str | None = None
    """ddpm, ddpm-large, ddim, dpmpp-2m, unipc, unipc-3, heun, ipndm, euler, consistency; by default
    the model's own."""
    steps: int | None = None
    """Steps of the solver."""
    guidance: float | None = None
    """Classifier-free guidance u + w (c - u): 1 is off, larger keeps closer to the class or
    prompt."""
    psi: float | None = None
    """What a GAN's latents are multiplied by: below 1 fewer odd images, less variety."""
    truncation: float | None = None
    """Or keep them within so many standard deviations, each in its place; 0: everywhere."""
    start: Annotated[Path | None, arg(name="from", metavar="PICTURE")] = None
    """Start from this picture instead of noise, by --strength, or make parts anew, by --mask."""
    strength: float | None = None
    """Share of the noise put on the picture of --from: 1 forgets it, 0.2 barely changes it; by
    default 0.5, and 1 under --mask."""
    mask: Path | None = None
    """Picture that is white where the one of --from is made anew, black where it is kept."""
    trajectory: Path | None = None
    """Also write how samples come out of noise, as one PNG."""
    to_seed: int | None = None
    """Walk from the sample of --seed to that of this seed in n pictures."""
    size: str | None = None
    """Size of a Stable Diffusion pipeline's pictures: 512, or 768x512 (width x height)."""
    offload: Literal["model", "sequential"] | None = None
    """Where a pipeline does not fit on the GPU: its parts visit it in turn, or layer by layer."""
    tiling: bool = False
    """Let a pipeline decode its pictures in tiles, one by one."""
    batch: int = 64
    """Images at a time; changes no pixel."""
    out: Path = Path("samples.png")
    """.png: a grid; .npz: arrays images, labels, seeds; else a folder with a file an image."""


@dataclass(frozen=True)
class Compare:
    """Train families under one budget, split and seed, or take finished runs; write one report.

    For example: mezzotint compare photos/ --budget 10m

    The same command goes on with a comparison that was interrupted.
    """

    data: DataName
    """Anything train takes."""
    runs: Annotated[Positional[tuple[Path, ...]], arg(metavar="RUN")] = ()
    """Finished runs to compare, with --families beside what that trains."""
    families: str | None = None
    """Families to train, with commas; by default autoencoder,vae,gan,diffusion, or none beside
    RUNs."""
    budget: str = "10m"
    """Training time of each family: 90s, 10m, 1h30m."""
    out: Path | None = None
    """Folder of report.html, compare.json and a run a family; by default runs/compare-DATA."""
    size: str | None = None
    """Image size: 64, or 48x32 (width x height); by default read from the data."""
    channels: Literal[1, 3, 4] | None = None
    """Grey, RGB or RGBA; by default read from the data."""
    seed: int = 0
    """Seed of weights, data order and noise."""
    features: str = "data"
    """data: a small network trained on the training images; effnet-lite0: ImageNet; pixels."""
    samples: int | None = None
    """Images each model makes; by default 1000, or as many as there are held-out ones."""
    json: bool = False
    """Print what compare.json holds."""


@dataclass(frozen=True)
class Detect:
    """Find bad images with a model that was trained on good ones.

    For example: mezzotint train autoencoder good/ --preset detector

    Then: mezzotint detect runs/autoencoder-good new/
    """

    model: ModelName
    """Run or model folder."""
    data: DataName
    """Images to score; folders good/ and bad/, or those of MVTec AD, also give AUROC and so on."""
    false_alarms: float = 0.01
    """Promise: at most this share of images like the held-out good ones is called bad."""
    score: str | None = None
    """combined, reconstruction, latent, elbo, diffusion; by default the first that fits."""
    features: str = "own"
    """Look with the model's own encoder, or with effnet-lite0 (ImageNet)."""
    good: str | None = None
    """Good images the run was not trained on; by default those it held out."""
    tile: int | None = None
    """Scan pictures larger than the model at their own size, by overlapping tiles of this side (the
    model's), in bounded memory; by default as the run was trained. 0: shrink them."""
    out: Path | None = None
    """Folder of scores.csv, detection.json and pictures; by default RUN/detection."""
    json: bool = False
    """Print JSON instead of a table."""


@dataclass(frozen=True)
class Ema:
    """Choose afterwards how long a finished run's weights are averaged.

    For example: mezzotint ema runs/vae-photos photos/

    The run has to be trained with --set ema_snapshots=12.
    """

    run: ModelName
    """Run folder."""
    data: Annotated[Positional[str | None], arg(metavar="DATA")] = None
    """Images to compare lengths on; of a set with a held-out side, those are used."""
    length: float | None = None
    """Length of the average as a share of the run, up to 0.28; by default the one with the least
    loss on DATA."""
    out: Path | None = None
    """Folder for the model; by default the run's own model changes."""
    json: bool = False
    """Print JSON instead of a table."""


@dataclass(frozen=True)
class Export:
    """Write a model in the form another tool opens.

    For example: mezzotint export runs/diffusion-photos --format diffusers
    """

    model: ModelName
    """Run or model folder."""
    format: Literal["diffusers"] = "diffusers"
    """diffusers: a pipeline folder for DiffusionPipeline.from_pretrained; a model of pixels has to
    be trained with --set backbone=diffusers groups=0, one of latents is fit for it."""
    label: str | None = None
    """Class that the pipeline draws, of a model of latents; by default it is told nothing."""
    solver: str | None = None
    """How the pipeline samples: ddpm, ddpm-large, ddim, euler; by default as the model does if it
    can, else by ddim or euler."""
    out: Path | None = None
    """New folder; by default RUN-FORMAT."""


@dataclass(frozen=True)
class Serve:
    """Open a page on runs and models, and an HTTP port that the openai client can talk to.

    For example: mezzotint serve runs/ --data photos/

    The address is printed; docs/serving.md and /openapi.json say what can be asked there.
    """

    runs: Annotated[Positional[Path], arg(metavar="RUNS")]
    """A run or model folder, or a folder of them."""
    host: str = "127.0.0.1"
    """Address to listen on; any but loopback needs a token."""
    port: int = 8000
    """Port; 0 takes a free one."""
    token: str | None = None
    """What callers have to know, 32 letters or more; by default MEZZOTINT_TOKEN."""
    names: tuple[str, ...] = ()
    """Host names the server is reached by besides its address."""
    data: tuple[Path, ...] = ()
    """Folders and archives of images that training may be started on from the page."""
    device: str | None = None
    """cpu, cuda:0, ...; by default every GPU, or the CPU."""


@dataclass(frozen=True)
class Reconstruct:
    """Show a model's version of images it was not trained on.

    A GAN has no encoder: the latents whose image comes nearest are searched for, from several
    starts.
    """

    model: ModelName
    """Run or model folder."""
    data: DataName
    """Images, or one picture; of a set with a held-out side, those are used."""
    n: Annotated[int, arg(aliases=["-n"])] = 64
    """How many at the most."""
    noise: float | None = None
    """Damage the images with this strength first: the denoising demonstration."""
    seed: int = 0
    """Seed of the search."""
    steps: int = 200
    """Steps of the search."""
    starts: int = 4
    """Starts of the search; the best end counts."""
    out: Path = Path("reconstructions.png")
    """.png: originals above damaged above rebuilt; .npz: arrays; else a folder."""


@dataclass(frozen=True)
class Inspect:
    """Draw what a model has learnt; a diffusion model then samples by the settings found best.

    reconstructions.png, best to worst; of a model with latents: latents.html, a map to explore,
    latents.png, traversals.png, interpolation.png, outliers.png; for diffusion: losses.png by
    noise level, schedule.png, solvers.png with every solver and step count from the same seeds; of
    models that sample: interpolation.png, classes.png; of a GAN also truncation.png,
    neighbours.png with the training images nearest to samples, diversity.png.
    """

    model: ModelName
    """Run or model folder."""
    data: DataName
    """Images; of a set with a held-out side, those are used."""
    out: Path | None = None
    """Folder of the pictures; by default RUN/inspection."""
    maps: str | None = None
    """Maps of the latents: pca, tsne, umap, with commas; by default all that are installed."""
    points: int = 5000
    """Images on the maps at the most, up to 20,000; t-SNE takes minutes of so many."""
    json: bool = False
    """Print the numbers and the names of the pictures as JSON instead."""
