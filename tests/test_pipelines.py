"""Pipeline folders of diffusers: the same picture both ways, and nothing hostile gets in."""

import json
import shutil
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers.pipelines.ddim import pipeline_ddim
from diffusers.pipelines.ddpm import pipeline_ddpm
from diffusers.schedulers import scheduling_ddpm

import mezzotint as mz
from mezzotint import cli
from mezzotint.errors import CannotCreateError, ConfigError, MezzotintError, UsageError
from mezzotint.families.diffusion import Diffusion
from mezzotint.images import to_uint8
from mezzotint.noise import Flow
from mezzotint.runs.forms import model_form
from mezzotint.runs.pipelines import WEIGHTS, _new, read_pipeline, write_pipeline
from mezzotint.seeds import ImageNoise
from mezzotint.storage.weights import load_tensors, save_tensors

SEEDS = (5, 6)
SMALL: dict[str, Any] = {"size": (16, 24), "channels": 3, "widths": (8, 16), "steps": 10}
TABLE = {**SMALL, "backbone": "diffusers", "process": "linear", "prediction": "eps"}
CASES: dict[str, dict[str, Any]] = {
    "ddpm": {"solver": "ddpm", "spacing": "leading"},
    "ddpm-large": {"solver": "ddpm-large", "spacing": "leading"},
    "ddpm-trailing": {"solver": "ddpm", "clip": "none"},
    "ddpm-dynamic": {"solver": "ddpm", "clip": "dynamic"},
    "ddim": {"solver": "ddim"},
    "ddim-leading-v": {"solver": "ddim", "spacing": "leading", "prediction": "v"},
    "ddim-unclipped": {
        "solver": "ddim",
        "clip": "none",
        "process": "cosine",
        "prediction": "clean",
    },
    "zero-snr": {"solver": "ddim", "zero_snr": True, "prediction": "v"},
    "short-table": {"solver": "ddpm", "timesteps": 100, "process": "cosine"},
    "flow": {"process": "flow", "prediction": "flow", "solver": "euler", "spacing": "linspace"},
}
CASES["flow"]["clip"] = "none"
CASES["learned"] = {"solver": "ddpm", "variance": "learned", "spacing": "leading"}
CASES["flow-shift"] = {**CASES["flow"], "shift": 3.0}


def model_of(**options: Any) -> Diffusion:
    torch.manual_seed(0)
    made = Diffusion(**{**TABLE, **options}).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return made


def pictures(folder: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> torch.Tensor:
    """What diffusers draws from the noise of our seeds, in [-1, 1]."""
    noise = ImageNoise(SEEDS)

    def same(shape: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        return noise.randn(*shape[1:])

    for module in (pipeline_ddim, pipeline_ddpm, scheduling_ddpm):
        monkeypatch.setattr(module, "randn_tensor", same)
    pipeline = diffusers.DiffusionPipeline.from_pretrained(str(folder))
    pipeline.set_progress_bar_config(disable=True)
    if isinstance(pipeline, diffusers.DDIMPipeline):
        options |= {"use_clipped_model_output": True}
    made = pipeline(len(SEEDS), num_inference_steps=10, output_type="np", **options).images
    return torch.from_numpy(np.asarray(made)).permute(0, 3, 1, 2) * 2 - 1


@pytest.mark.parametrize("case", CASES)
def test_the_same_noise_gives_the_same_picture(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of(**CASES[case])
    folder = tmp_path / "pipeline"
    write_pipeline(model, folder)
    theirs = pictures(folder, monkeypatch)
    ours = model.sample(SEEDS)
    assert float(ours.std()) > 0.1
    torch.testing.assert_close(theirs, ours, atol=1e-4, rtol=0)
    back = mz.load(folder)
    assert model_form(folder) == (Diffusion, back.config)
    assert isinstance(back, Diffusion)
    torch.testing.assert_close(back.sample(SEEDS, steps=10), ours, atol=1e-5, rtol=0)


def test_default_models_export_by_the_first_order_solver(tmp_path: Path) -> None:
    model = model_of(process="flow", prediction="flow")
    assert model.config.solver == "unipc"
    found = mz.export(model, tmp_path / "made")
    assert "FlowMatchEuler" in found.note
    with pytest.raises(ConfigError, match="by unipc"):
        mz.export(model, tmp_path / "other", solver="unipc")
    with pytest.raises(CannotCreateError, match="something already"):
        mz.export(model, tmp_path / "made")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"classes": ("a", "b")}, "classes= groups=0"),
        ({"groups": 4}, "classes= groups=0"),
        ({"backbone": "unet"}, "backbone=diffusers"),
        ({"size": (15, 24)}, "2 divides"),
        ({"process": "exploding", "prediction": "edm"}, "process=flow"),
        ({"process": "flow", "prediction": "v"}, "process=flow"),
        ({"process": "linear", "timesteps": 20}, "timesteps=21"),
        ({"solver": "ddpm-large", "spacing": "trailing"}, "spacing=leading"),
    ],
)
def test_what_is_no_pipeline_says_what_to_train(
    options: dict[str, Any], words: str, tmp_path: Path
) -> None:
    given = {"solver": options.get("solver")} if "solver" in options else {}
    with pytest.raises(ConfigError) as caught:
        mz.export(model_of(**options), tmp_path / "made", **given)
    assert words in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_other_families_and_formats_are_usage_errors(tmp_path: Path) -> None:
    vae = mz.VAE(size=16, widths=(4, 8), latent=2)
    with pytest.raises(UsageError, match="no pipeline"):
        mz.export(vae, tmp_path / "made")
    with pytest.raises(UsageError, match="no format"):
        mz.export(vae, tmp_path / "made", format="diffuser")
    with pytest.raises(UsageError, match="no name"):
        mz.export(vae)


def theirs(folder: Path, **unet: Any) -> Path:
    """A pipeline made by diffusers with what our options cannot describe."""
    arguments = {
        "sample_size": 16,
        "block_out_channels": (8, 8, 16),
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "resnet_time_scale_shift": "scale_shift",
        "freq_shift": 1,
        "flip_sin_to_cos": False,
        **unet,
    }
    torch.manual_seed(1)
    network = diffusers.UNet2DModel(**arguments)
    diffusers.DDPMPipeline(network, diffusers.DDPMScheduler()).save_pretrained(folder)
    return folder


def test_a_pipeline_of_diffusers_loads_and_trains_further(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = theirs(tmp_path / "ddpm")
    model = mz.load(folder)
    expected = pictures(folder, monkeypatch)
    torch.testing.assert_close(model.sample(SEEDS, steps=10), expected, atol=1e-4, rtol=0)
    model.save_pretrained(tmp_path / "ours")
    again = mz.load(tmp_path / "ours")
    assert torch.equal(again.sample(SEEDS, steps=3), model.sample(SEEDS, steps=3))
    data = mz.load_images("digits", size=16, channels=3)
    options = {"images": 96, "batch": 32, "previews": 0}
    run = mz.train("diffusion", data, tmp_path / "run", start=folder, **options)
    loaded = mz.load(tmp_path / "run")
    before, after = model.state_dict(), loaded.state_dict()
    assert all(torch.equal(after[name], each) for name, each in run.model.state_dict().items())
    moved = max(float((after[name] - before[name]).abs().max()) for name in before)
    assert 0 < moved < 3e-3
    mz.export(run.model, tmp_path / "exported")
    theirs_again = pictures(tmp_path / "exported", monkeypatch)
    torch.testing.assert_close(theirs_again, loaded.sample(SEEDS, steps=10), atol=1e-4, rtol=0)


def test_training_further_wants_the_family_of_the_model(tmp_path: Path) -> None:
    folder = theirs(tmp_path / "ddpm")
    with pytest.raises(UsageError, match="this is a diffusion"):
        mz.train("vae", "digits", tmp_path / "run", start=folder)
    with pytest.raises(UsageError, match="two models"):
        mz.train(model_of(), "digits", tmp_path / "run", start=folder)


def test_old_names_of_attention_are_understood(tmp_path: Path) -> None:
    folder = theirs(tmp_path / "ddpm")
    expected = mz.load(folder).sample(SEEDS, steps=2)
    pairs = (("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn"))
    tensors = load_tensors(folder / WEIGHTS)
    for new, old in pairs:
        tensors = {name.replace(f".{new}.", f".{old}."): each for name, each in tensors.items()}
    assert any("query" in name for name in tensors)
    save_tensors(folder / WEIGHTS, tensors)
    assert torch.equal(mz.load(folder).sample(SEEDS, steps=2), expected)
    assert _new("down_blocks.0.resnets.0.key.weight") == "down_blocks.0.resnets.0.key.weight"


def edited(folder: Path, file: str, **values: Any) -> None:
    path = folder / file
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


HOSTILE: list[tuple[str, str, dict[str, Any]]] = [
    ("another pipeline", "model_index.json", {"_class_name": "StableDiffusionPipeline"}),
    ("another pipeline", "model_index.json", {"_class_name": ["pipeline", "Mine"]}),
    ("other parts", "model_index.json", {"unet": ["unet.py", "UNet2DModel"]}),
    ("other parts", "model_index.json", {"scheduler": ["evil", "DDPMScheduler"]}),
    ("other parts", "model_index.json", {"vae": ["diffusers", "AutoencoderKL"]}),
    ("not known", "model_index.json", {"scheduler": ["diffusers", "PNDMScheduler"]}),
    ("trained_betas", "scheduler/scheduler_config.json", {"trained_betas": [0.1]}),
    ("beta_end", "scheduler/scheduler_config.json", {"beta_end": 0.5}),
    ("beta_end", "scheduler/scheduler_config.json", {"beta_end": "much"}),
    ("not known", "scheduler/scheduler_config.json", {"beta_schedule": "sigmoid"}),
    ("out of range", "scheduler/scheduler_config.json", {"num_train_timesteps": 10**9}),
    ("not known", "scheduler/scheduler_config.json", {"variance_type": "learned"}),
    ("out of range", "unet/config.json", {"layers_per_block": 10**9}),
    ("out of range", "unet/config.json", {"block_out_channels": [8, 8, 10**9]}),
    ("do not match", "unet/config.json", {"block_out_channels": [8] * 40}),
    ("not known", "unet/config.json", {"down_block_types": ["os.system"] * 3}),
    ("unknown option", "unet/config.json", {"auto_map": "x.py"}),
    ("no sample_size", "unet/config.json", {"sample_size": None}),
    ("tensors do not fit", "unet/config.json", {"block_out_channels": [8, 8, 4096]}),
    ("cannot be", "unet/config.json", {"num_class_embeds": 10}),
    ("builds no such", "unet/config.json", {"norm_num_groups": 7}),
]


@pytest.mark.parametrize(("words", "file", "values"), HOSTILE)
def test_hostile_pipelines_are_errors(
    words: str, file: str, values: dict[str, Any], tmp_path: Path
) -> None:
    folder = theirs(tmp_path / "ddpm")
    edited(folder, file, **values)
    with pytest.raises(MezzotintError, match=words):
        read_pipeline(folder)


@pytest.mark.parametrize("name", ["unet", "unet/config.json", "scheduler", WEIGHTS])
def test_links_out_of_the_folder_are_refused(name: str, tmp_path: Path) -> None:
    folder = theirs(tmp_path / "ddpm")
    (folder / name).rename(tmp_path / "outside")
    (folder / name).symlink_to(tmp_path / "outside")
    with pytest.raises(MezzotintError, match="out of its folder"):
        read_pipeline(folder)


def test_pickles_and_broken_weights_are_errors(tmp_path: Path) -> None:
    folder = theirs(tmp_path / "ddpm")
    weights = folder / WEIGHTS
    content = weights.read_bytes()
    weights.write_bytes(content[:-4])
    with pytest.raises(MezzotintError, match="damaged"):
        read_pipeline(folder)
    shutil.move(weights, weights.with_suffix(".bin"))
    with pytest.raises(MezzotintError, match="pickle"):
        read_pipeline(folder)


def test_linspace_levels_of_a_flow_are_those_of_diffusers() -> None:
    for shift in (1.0, 3.0):
        scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=shift)
        scheduler.set_timesteps(12)
        levels = Flow(shift=shift).levels(12, "linspace")
        np.testing.assert_allclose([level.sigma for level in levels], scheduler.sigmas, atol=1e-6)


def test_without_diffusers_the_error_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    model = model_of(solver="ddim")
    monkeypatch.setitem(sys.modules, "diffusers", None)
    monkeypatch.delitem(sys.modules, "mezzotint.nets.diffusers_unet", raising=False)
    monkeypatch.setitem(sys.modules, "mezzotint.nets.diffusers_unet", None)
    with pytest.raises(MezzotintError, match="pip install"):
        mz.export(model, tmp_path / "made")
    with pytest.raises(MezzotintError, match="pip install"):
        Diffusion(**TABLE)
    assert list(tmp_path.iterdir()) == []


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def call(*words: object) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main([str(word) for word in words])
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out + err

    folder, back = theirs(tmp_path / "ddpm"), tmp_path / "run-diffusers"
    options = ["--images", 64, "--batch", 32, "--set", "previews=0", "--quiet"]
    words = ["train", "diffusion", "digits", "--from", folder, "--out", tmp_path / "run", *options]
    assert call(*words) == (0, "")
    assert call(*words) == (0, "")  # it is finished
    code, told = call("export", tmp_path / "run", "--solver", "ddim")
    assert (code, told) == (0, f"exported: {back} (DDIMPipeline with DDIMScheduler)\n")
    drawn = tmp_path / "drawn.npz"
    assert call("sample", back, "-n", 2, "--steps", 3, "--seed", 5, "--out", drawn)[0] == 0
    expected = to_uint8(mz.load(tmp_path / "run").sample(SEEDS, steps=3, solver="ddim"))
    assert np.abs(np.load(drawn)["images"].astype(int) - expected).max() <= 1
    code, told = call("info", back, "--json")
    assert (code, json.loads(told)["is"]) == (0, "pipeline")
    code, told = call("export", tmp_path / "run", "--solver", "heun", "--out", tmp_path / "other")
    assert code == 78
    assert "--solver ddpm or ddpm-large or ddim or euler" in told
