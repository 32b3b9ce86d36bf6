"""The diffusion family: its loss, its labels, its ways of sampling."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import mezzotint as mz
from mezzotint.errors import ConfigError, UsageError
from mezzotint.families.base import Batch
from mezzotint.families.conditions import class_numbers, make_conditions
from mezzotint.families.consistency import bounds, jump_error, small_steps
from mezzotint.families.diffusing import default_patch
from mezzotint.families.diffusion import Diffusion
from mezzotint.families.making import ROWS
from mezzotint.noise import Exploding, Flow, Level, slerp
from mezzotint.predictions import PREDICTIONS
from mezzotint.seeds import BatchNoise, ImageNoise
from mezzotint.solvers import SOLVERS

TINY = {"size": (16, 16), "widths": (8, 16), "blocks": 1, "steps": 4}


def tiny(**options) -> Diffusion:
    torch.manual_seed(0)
    return Diffusion(**{**TINY, **options}).eval()


class Constant(nn.Module):
    """Knows the one image there is: the exact network of a data set of one."""

    def __init__(self, image: Tensor, model: Diffusion | None = None) -> None:
        super().__init__()
        self.image = nn.Parameter(image)

    def forward(self, noisy: Tensor, time: Tensor, label: Tensor | None = None) -> Tensor:
        return self.image.expand(len(noisy), -1, -1, -1)


class Counting(nn.Module):
    """Gives zeros and counts rows and calls."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.calls: list[int] = []

    def forward(self, noisy: Tensor, time: Tensor, label: Tensor | None = None) -> Tensor:
        self.calls.append(len(noisy))
        return noisy * self.weight


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("process", ["flow", "exploding", "linear", "cosine"])
def test_every_solver_finds_the_only_image(solver, process):
    image = torch.linspace(-0.9, 0.9, 256).view(1, 1, 16, 16)
    model = Diffusion(
        **TINY, process=process, prediction="clean", network=Constant(image), clip="none"
    )
    made = model.sample(range(3), solver=solver, steps=6)
    torch.testing.assert_close(made, image.expand(3, -1, -1, -1), atol=1e-2, rtol=0)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_loss_of_the_exact_prediction_is_zero(prediction):
    image = (torch.rand(1, 1, 16, 16) * 2 - 1).expand(5, -1, -1, -1)
    model = tiny(process="cosine", prediction=prediction, data_std=0.4)
    noise = torch.randn(5, 1, 16, 16)
    levels = model.process.draw(torch.linspace(0.05, 0.9, 5))
    target = PREDICTIONS[prediction].target(
        image, noise, levels.alpha, levels.sigma, model.config.data_std
    )
    model.network = Constant(target)
    model.network.forward = lambda noisy, time, label=None: target
    error = model.squared_error(image, noise, levels, None)
    assert float(error.max()) < 1e-10
    level = Level(float(levels.alpha[2]), float(levels.sigma[2]), float(levels.time[2]))
    noisy = levels.alpha * image + levels.sigma * noise
    clean = model.denoise(noisy, level)[2]
    torch.testing.assert_close(clean, image[2], atol=1e-3, rtol=0)


def test_eps_loss_of_a_silent_network_is_the_variance_of_noise():
    model = Diffusion(**TINY, process="linear", prediction="eps", network=Counting())
    batch = Batch(torch.zeros(64, 1, 16, 16), BatchNoise((0,), 64))
    assert float(model.loss(batch)["loss"].detach()) == pytest.approx(1, abs=0.03)


def test_min_snr_weights_enter_the_loss():
    plain, weighted = tiny(process="cosine"), tiny(process="cosine", weighting="min-snr")
    batch = lambda: Batch(torch.zeros(8, 1, 16, 16), BatchNoise((0,), 8))  # noqa: E731
    first, second = (float(m.loss(batch())["loss"].detach()) for m in (plain, weighted))
    assert math.isfinite(second)
    assert first != second


def test_guidance_costs_two_rows_and_weight_one_costs_one():
    network = Counting()
    model = Diffusion(**TINY, classes=("a", "b"), network=network)
    model.sample(range(ROWS), label="a", guidance=1, steps=3)
    assert network.calls == [ROWS] * 3
    network.calls.clear()
    model.sample(range(ROWS), label="a", guidance=3, steps=3)
    assert network.calls == [ROWS, ROWS] * 3
    network.calls.clear()
    model.sample(range(ROWS), label="a", guidance=3, steps=3, guidance_high=1.0)
    assert set(network.calls) == {ROWS}
    assert 3 < len(network.calls) < 6  # some steps are guided, some are not


def test_labels_are_hidden_at_the_asked_rate():
    model = tiny(classes=("a", "b"), label_dropout=0.25)
    batch = Batch(torch.zeros(4000, 1, 1, 1), BatchNoise((0,), 4000), torch.ones(4000).long())
    shown = model.shown(batch)
    assert float((shown == -1).float().mean()) == pytest.approx(0.25, abs=0.03)


def test_class_names_numbers_and_mistakes():
    classes = ("boots", "bags")
    assert class_numbers([0, 1], "bags", classes) == [1, 1]
    assert class_numbers([0, 1], 0, classes) == [0, 0]
    assert class_numbers([0, 1], ["bags", "none"], classes) == [1, -1]
    assert class_numbers(range(50), None, classes) == class_numbers(range(50), None, classes)
    assert set(class_numbers(range(50), None, classes)) == {0, 1}
    assert class_numbers([0], None, ()) is None
    with pytest.raises(UsageError, match="bags"):
        class_numbers([0], "bgas", classes)
    with pytest.raises(UsageError, match="without classes"):
        class_numbers([0], "bags", ())
    with pytest.raises(UsageError, match="3 labels"):
        class_numbers([0], [0, 0, 1], classes)


def test_a_class_name_that_is_a_number_wins_over_the_position():
    assert class_numbers([0], "1", ("1", "0")) == [0]


def test_masked_pixels_are_kept_exactly():
    model = tiny()
    image = torch.rand(1, 1, 16, 16) * 2 - 1
    mask = torch.zeros(1, 1, 16, 16)
    mask[..., 8:] = 1
    made = model.sample(range(3), image=image, mask=mask)
    torch.testing.assert_close(
        made[..., :8], image[..., :8].expand(3, -1, -1, -1), atol=1e-6, rtol=0
    )
    assert not torch.equal(made[0, ..., 8:], made[1, ..., 8:])


def test_strength_says_how_far_from_the_picture():
    model = tiny(steps=10)
    image = torch.rand(1, 1, 16, 16) * 2 - 1
    near, far = (model.sample([0], image=image, strength=s) for s in (0.1, 1.0))
    assert (near - image).square().mean() < (far - image).square().mean()
    torch.testing.assert_close(far, model.sample([0]))


def test_a_picture_alone_is_changed_by_half():
    model = tiny(steps=10)
    image = torch.rand(1, 1, 16, 16) * 2 - 1
    half = model.sample([0], image=image, strength=0.5)
    assert torch.equal(model.sample([0], image=image), half)
    assert not torch.equal(half, model.sample([0]))
    noisy, _ = model.film([0], image=image)
    torch.testing.assert_close(noisy[:, -1], half, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("strength", [0, -1, 1.5, math.nan])
def test_wrong_strengths_are_errors(strength):
    with pytest.raises(UsageError, match="strength"):
        make_conditions((1, 4, 4), None, 1, torch.zeros(1, 1, 4, 4), strength=strength)


def test_a_mask_needs_an_image_of_its_shape():
    with pytest.raises(UsageError, match="need an image"):
        make_conditions((1, 4, 4), None, 1, mask=torch.zeros(1, 1, 4, 4))
    with pytest.raises(UsageError, match="shape"):
        make_conditions((1, 4, 4), None, 1, torch.zeros(1, 3, 4, 4))


def test_film_ends_in_the_sample():
    model = tiny(steps=7)
    noisy, clean = model.film([3, 4], frames=4)
    assert noisy.shape == clean.shape == (2, 4, 1, 16, 16)
    torch.testing.assert_close(noisy[:, -1], model.sample([3, 4]), atol=1e-5, rtol=1e-4)


def test_walk_between_seeds_starts_and_ends_there():
    model = tiny()
    walk = model.interpolate(5, 9, 4)
    torch.testing.assert_close(walk[:1], model.sample([5]), atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(walk[-1:], model.sample([9]), atol=1e-4, rtol=1e-3)


def test_slerp_keeps_the_length_of_noise():
    first, second = torch.randn(1, 4000), torch.randn(1, 4000)
    middle = slerp(first, second, torch.tensor([[0.5]]))
    assert float(middle.norm() / first.norm()) == pytest.approx(1, abs=0.05)


def test_sampling_reports_each_step():
    seen: list[tuple[int, int]] = []
    tiny().sample(range(ROWS + 4), steps=3, watch=lambda done, total: seen.append((done, total)))
    assert seen == [(at, 6) for at in range(1, 7)]


def test_other_solvers_give_other_pictures_and_unknown_ones_an_error():
    model = tiny()
    assert not torch.equal(model.sample([0], solver="ddpm"), model.sample([0], solver="ddim"))
    with pytest.raises(ConfigError, match="unipc"):
        model.sample([0], solver="unipcc")


def test_more_steps_than_levels_is_an_error():
    with pytest.raises(ConfigError, match="1000 at the most"):
        tiny(process="linear").sample([0], steps=1001)


def test_the_first_step_of_a_flow_is_guided_too():
    network = Counting()
    model = Diffusion(**TINY, classes=("a", "b"), network=network)
    model.sample([0], label="a", guidance=2, steps=1)
    assert network.calls == [ROWS, ROWS]


@pytest.mark.parametrize(("side", "patch"), [(16, 1), (28, 2), (32, 2), (64, 4), (100, 8)])
def test_patches_leave_a_grid_of_about_sixteen(side, patch):
    assert default_patch((side, side // 2)) == patch


def test_zero_snr_with_eps_is_an_error():
    with pytest.raises(ConfigError, match="prediction=v"):
        tiny(process="linear", prediction="eps", zero_snr=True)
    made = tiny(process="linear", prediction="v", zero_snr=True).sample([0, 1])
    assert torch.isfinite(made).all()


def test_network_sees_unit_variance_inputs_under_edm():
    model = tiny(process="exploding", prediction="edm", data_std=0.5)
    images = 0.5 * torch.randn(4000, 1, 1, 1)
    levels = model.process.draw(torch.rand(4000))
    noisy = images + levels.sigma * torch.randn(4000, 1, 1, 1)
    scale = model.prediction.input_scale(levels.alpha, levels.sigma, 0.5)
    assert float((noisy * scale).std()) == pytest.approx(1, abs=0.05)


def test_diffusers_network_stands_in():
    model = tiny(backbone="diffusers", classes=("a", "b"), size=(16, 20))
    made = model.sample(range(2), label="b")
    assert made.shape == (2, 1, 16, 20)
    assert torch.isfinite(made).all()


def test_data_std_is_measured_from_the_data():
    from mezzotint.training.plans import make_plan

    data = mz.load_images("digits", size=16)
    model = make_plan("diffusion", None, {"images": 1}).build(data)
    pixels = data.train.gather(np.arange(len(data.train))).astype(np.float64) / 127.5 - 1
    assert model.config.data_std == pytest.approx(pixels.std(), rel=0.02)
    assert model.config.classes == data.classes


def test_every_row_draws_its_own_noise():
    noise = ImageNoise([1, 1, 2])
    first, second, third = noise.randn(3)
    assert torch.equal(first, second)
    assert not torch.equal(first, third)


def test_previews_take_few_steps_whatever_the_model_takes():
    assert tiny(steps=1000, solver="ddpm", process="linear").preview["steps"] == 10
    assert tiny(steps=10).preview == {}


def test_classic_is_the_published_process():
    """2006.11239, section 4: linear betas over 1000 steps, eps, ancestral sampling."""
    preset = Diffusion.presets["classic"]
    config = Diffusion.config_class(
        **{k: v for k, v in preset.items() if k in Diffusion.config_class.__dataclass_fields__}
    )
    assert (config.process, config.timesteps, config.prediction) == ("linear", 1000, "eps")
    assert (config.solver, config.steps, config.weighting) == ("ddpm", 1000, "none")
    levels = Diffusion(config, network=Counting()).process.levels(1000, config.spacing)
    assert [int(level.time) for level in levels[:-1]] == list(range(999, -1, -1))


def test_student_is_a_copy_that_samples_in_two_steps():
    teacher = tiny()
    student, options = teacher.student()
    assert options["lr"] > 0
    for mine, theirs in zip(student.parameters(), teacher.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    assert (student.config.objective, student.config.steps) == ("consistency", 2)
    assert student.sample([0, 1]).shape == (2, 1, 16, 16)
    assert student.state_dict().keys() == teacher.state_dict().keys()
    loss = student.train().loss(Batch(torch.zeros(8, 1, 16, 16), BatchNoise((0,), 8)))["loss"]
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in student.parameters() if p.grad is not None)
    assert all(p.grad is None for p in teacher.parameters())


def test_a_table_of_levels_cannot_teach():
    """Students jump between levels, of which a table has too few."""
    with pytest.raises(UsageError, match="cannot be distilled"):
        tiny(process="linear", prediction="eps").student()


def test_a_student_without_a_teacher_says_where_to_get_one():
    with pytest.raises(UsageError, match="--distill"):
        tiny(objective="consistency").loss(Batch(torch.zeros(2, 1, 16, 16), BatchNoise((0,), 2)))


STD = 0.6  # of Gaussian data, whose path is known: points keep their share of the spread


def spread_at(place):
    return ((1 - place).square() * STD**2 + place.square()).sqrt()


def exact_teacher(noisy, levels):
    return noisy * levels.alpha * STD**2 / (levels.alpha.square() * STD**2 + levels.sigma.square())


def exact_student(process, segments):
    """The image that the straight line to the end of the path's segment points at."""
    lows = torch.tensor([low for low, _ in reversed(bounds(process, segments))])

    def predict(noisy, levels):
        scale = levels.alpha + levels.sigma
        place, point = levels.sigma / scale, noisy / scale
        low = lows[(torch.bucketize(place - 1e-5, lows) - 1).clamp(min=0)]
        end = point * spread_at(low) / spread_at(place)
        return point - place * (point - end) / (place - low)

    return predict


@pytest.mark.parametrize("segments", [1, 2, 4])
@pytest.mark.parametrize("process", [Flow(), Exploding()])
def test_jumps_along_a_known_path_agree_the_better_the_smaller_the_steps(process, segments):
    images = STD * torch.randn((4096, 1, 2, 2), generator=torch.Generator().manual_seed(0))

    def error(progress):
        batch = Batch(images, BatchNoise((0,), 4096), progress=progress)
        student = exact_student(process, segments)
        return float(jump_error(student, exact_teacher, process, segments, batch).mean())

    coarse, fine = error(0.0), error(1.0)
    assert fine < coarse / 2
    assert fine < 0.01
    wrong = jump_error(exact_teacher, exact_teacher, process, segments,
                       Batch(images, BatchNoise((0,), 4096), progress=1.0))  # fmt: skip
    assert float(wrong.mean()) > 3 * fine


def test_small_steps_grow_in_number():
    assert [small_steps(progress) for progress in (0.0, 0.5, 1.0)] == [4, 8, 16]


def test_segments_end_where_a_sampler_stands():
    assert bounds(Flow(), 2) == [(0.5, 1.0), (0.0, 0.5)]
    assert bounds(Exploding(), 3)[0][1] == pytest.approx(80 / 81)


def test_a_run_is_distilled(tmp_path):
    data = mz.load_images("digits", size=16)
    options = {"widths": (8, 16), "blocks": 1, "previews": 1, "batch": 32}
    run = mz.train("diffusion", data, out=tmp_path / "t", images=256, **options)
    student = mz.distill(run, data, images=128, batch=32, previews=1)
    assert student.path == tmp_path / "t-distilled"
    assert mz.load(student.path).config.solver == "ddim"
    with pytest.raises(UsageError, match="images or budget"):
        mz.distill(run.path / "model", data)
    vae = mz.train("vae", data, out=tmp_path / "v", images=64, widths=(8, 16))
    with pytest.raises(UsageError, match="cannot be distilled"):
        mz.distill(vae, data)


def test_a_network_of_ones_own_is_copied_into_the_student():
    teacher = Diffusion(**TINY, network=Counting())
    student, _ = teacher.student()
    assert isinstance(student.network, Counting)
    assert student.network is not teacher.network


def test_evaluation_measures_the_denoising_error(tmp_path):
    model = Diffusion(**TINY, process="linear", prediction="eps", network=Counting())
    data = mz.load_images("digits", size=16)
    found = mz.evaluate(model, data)["denoising_error"]
    assert found.value == pytest.approx(1, abs=0.05)  # a silent network: the variance of noise
    assert found.low < found.value < found.high
    assert found.n == len(data.held_out)
