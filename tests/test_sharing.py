"""Walks of different images share forward passes and stay the images they are alone."""

import pytest
import torch

from mezzotint import stepping
from mezzotint.families.diffusion import Diffusion
from mezzotint.families.making import ROWS
from mezzotint.families.walking import Look, looked
from mezzotint.solvers import SOLVERS
from mezzotint.stepping import Step

ASKED = (
    {"label": "a", "guidance": 1.0},
    {"label": "b", "guidance": 3.0, "steps": 7},
    {"label": None, "guidance": 2.5, "guidance_rescale": 0.7},
    {"label": "none", "clip": "dynamic"},
    {"label": "a", "guidance": 4.0, "guidance_low": 0.3, "guidance_high": 2.0},
)
PROCESSES = ("flow", "exploding", "linear")


def model_of(**options) -> Diffusion:
    torch.manual_seed(0)
    options = {"size": (12, 12), "widths": (8, 16), "steps": 4, "classes": ("a", "b"), **options}
    model = Diffusion(**options).eval()
    for parameter in model.parameters():  # some layers begin at zero
        torch.nn.init.normal_(parameter, std=0.1)
    return model


def split(look: Look) -> list[Look]:
    return [
        Look(look.noisy[at : at + 1], look.level, None if look.told is None else look.told[[at]])
        for at in range(len(look.noisy))
    ]


@torch.inference_mode()
def together(model: Diffusion, asked: list[dict]) -> list[torch.Tensor]:
    """Every image of its own request; one joins at every turn, and passes are filled in turn."""
    walks = {at: model.looking(**given) for at, given in enumerate(asked)}
    waiting, rows, answers, last = list(walks), [], {}, {}
    while waiting or rows:
        if waiting:
            advance(walks, waiting.pop(0), None, rows, answers, last)
        part, rows = rows[:ROWS], rows[ROWS:]
        made = looked(model.seen, [row for _, row in part], ROWS)
        for (at, _), answer in zip(part, made, strict=True):
            answers[at].append(answer)
        for at in dict.fromkeys(at for at, _ in part):
            if all(at != other for other, _ in rows):
                advance(walks, at, stepping.together(answers[at]), rows, answers, last)
    return [last[at].clamp(-1, 1) for at in walks]


def advance(walks, at, reply, rows, answers, last):
    event = next_of(walks[at], reply)
    while isinstance(event, Step):
        last[at], event = event.noisy, next_of(walks[at], None)
    if event is not None:
        answers[at] = []
        rows += [(at, row) for row in split(event)]


def next_of(walk, reply):
    try:
        return walk.send(reply)
    except StopIteration:
        return None


@pytest.mark.parametrize("solver", SOLVERS)
def test_pictures_are_the_same_bytes_whoever_shares_the_passes(solver):
    for process in PROCESSES:
        model = model_of(process=process)
        asked = [{**one, "seed": seed, "solver": solver} for seed, one in enumerate(ASKED * 5)]
        for given, picture in zip(asked, together(model, asked), strict=True):
            alone = model.sample([given["seed"]], **{k: given[k] for k in given if k != "seed"})
            assert torch.equal(picture, alone), (process, given)


@pytest.mark.parametrize("options", [{"classes": ()}, {"groups": 4, "classes": ()}, {"groups": 4}])
def test_models_told_nothing_or_groups_share_too(options):
    model = model_of(**options)
    if model.told.groups is not None:
        model.told.groups.share.fill_(0.25)
    asked = [{"seed": seed, "steps": 3 + seed % 3, "guidance": 1 + seed % 2} for seed in range(20)]
    for given, picture in zip(asked, together(model, asked), strict=True):
        alone = model.sample([given["seed"]], steps=given["steps"], guidance=given["guidance"])
        assert torch.equal(picture, alone)


def test_a_pass_has_one_size_however_few_ask():
    seen = []

    def clean(noisy, levels, told):
        seen.append((noisy.shape, levels.alpha.shape, levels.time.shape, told.shape))
        return stepping.Denoised(noisy)

    look = next(model_of().looking(3, "a"))
    assert torch.equal(looked(clean, [look], ROWS)[0].clean, look.noisy)
    assert seen == [((ROWS, 1, 12, 12), (ROWS, 1, 1, 1), (ROWS,), (ROWS,))]


def test_a_walk_asks_two_rows_only_where_it_guides():
    model = model_of()
    walk = model.looking(0, "a", guidance=3.0, guidance_low=0.5, guidance_high=2.0)
    sizes, event = [], next(walk)
    while event is not None:
        sizes += [] if isinstance(event, Step) else [(len(event.noisy), event.level)]
        event = next_of(walk, None if isinstance(event, Step) else stepping.Denoised(event.noisy))
    assert {rows for rows, _ in sizes} == {1, 2}
    for rows, level in sizes:
        assert (rows == 2) == (0.5 < level.sigma / max(level.alpha, 1e-6) <= 2.0)
