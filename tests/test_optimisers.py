"""Optimisers against torch's own, and state that survives a file."""

import pytest
import torch
from torch import nn

from mezzotint.storage.weights import load_tensors, save_tensors
from mezzotint.training.muon import Muon, as_matrix, like_weight, orthogonalise
from mezzotint.training.optimisers import OPTIMISERS, build, load_state, named_state, set_rate
from mezzotint.training.recipe import Recipe


def network() -> nn.Module:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 6, 3), nn.Flatten(), nn.Linear(6 * 16, 5), nn.Linear(5, 1))
    return net.to(memory_format=torch.channels_last)


def run(net, optimiser, steps):
    for step in steps:
        torch.manual_seed(step)
        optimiser.zero_grad()
        net(torch.randn(4, 2, 6, 6)).square().mean().backward()
        optimiser.step()


@pytest.mark.parametrize("shape", [(1, 5, 5), (2, 8, 3), (3, 3, 20)])
def test_orthogonalise_is_the_polar_factor_up_to_its_tolerance(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(4))
    matrix[0] *= 100  # each on its own scale
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    values = torch.linalg.svdvals(orthogonalise(matrix, steps=8))
    assert 0.6 < float(values.min()) <= float(values.max()) < 1.3
    cosine = torch.cosine_similarity(orthogonalise(matrix).flatten(1), (u @ v).flatten(1), 1)
    assert float(cosine.min()) > 0.97


def test_matrix_form_is_undone():
    weight = torch.randn(4, 3, 2, 5)
    assert torch.equal(like_weight(as_matrix(weight), weight), weight)
    kernel = weight.contiguous(memory_format=torch.channels_last)
    assert as_matrix(kernel).data_ptr() == kernel.data_ptr()


def test_muon_matches_torch_on_matrices():
    first = nn.Parameter(torch.randn(6, 9, generator=torch.Generator().manual_seed(1)))
    second = nn.Parameter(first.detach().clone())
    ours = Muon([first], lr=0.01, momentum=0.95)
    theirs = torch.optim.Muon(
        [second], lr=0.01, momentum=0.95, weight_decay=0.0, adjust_lr_fn="match_rms_adamw"
    )
    for step in range(5):
        gradient = torch.randn(6, 9, generator=torch.Generator().manual_seed(step + 10))
        first.grad, second.grad = gradient.clone(), gradient.clone()
        ours.step()
        theirs.step()
    # torch iterates in bfloat16
    torch.testing.assert_close(first, second, atol=2e-3, rtol=0)


def test_muon_treats_weights_of_one_shape_each_by_itself():
    together, apart = (
        nn.Sequential(nn.Flatten(), nn.Linear(72, 9), nn.Linear(9, 9), nn.Linear(9, 9))
        for _ in range(2)
    )
    apart.load_state_dict(together.state_dict())
    run(together, Muon(together.parameters(), lr=0.01), range(3))
    ones = [Muon([parameter], lr=0.01) for parameter in apart.parameters()]
    for step in range(3):
        run(apart, torch.optim.SGD(apart.parameters(), lr=0.0), [step])
        for one in ones:
            one.step()
    for first, second in zip(together.parameters(), apart.parameters(), strict=True):
        torch.testing.assert_close(first, second, atol=1e-5, rtol=0)


def test_muon_gives_vectors_to_adam():
    bias = nn.Parameter(torch.zeros(7))
    twin = nn.Parameter(torch.zeros(7))
    ours, theirs = Muon([bias], lr=0.1), torch.optim.Adam([twin], lr=0.03)
    set_rate(ours, 0.1)
    for step in range(4):
        gradient = torch.randn(7, generator=torch.Generator().manual_seed(step))
        bias.grad, twin.grad = gradient.clone(), gradient.clone()
        ours.step()
        theirs.step()
    torch.testing.assert_close(bias, twin)


@pytest.mark.parametrize("name", OPTIMISERS)
def test_state_survives_a_file_bit_for_bit(name, tmp_path):
    recipe = Recipe(images=1, optimizer=name, lr=0.01, weight_decay=0.01)
    whole = network()
    optimiser = build(list(whole.parameters()), recipe)
    run(whole, optimiser, range(3))
    half = network()
    half.load_state_dict(whole.state_dict())
    save_tensors(tmp_path / "state.safetensors", named_state(optimiser))
    again = build(list(half.parameters()), recipe)
    load_state(again, load_tensors(tmp_path / "state.safetensors"))
    run(whole, optimiser, range(3, 7))
    run(half, again, range(3, 7))
    for one, other in zip(whole.parameters(), half.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_fused_matches_the_plain_loop(name):
    recipe = Recipe(images=1, optimizer=name, lr=0.01)
    ours, theirs = network(), network()
    plain = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[name]
    run(ours, build(list(ours.parameters()), recipe), range(5))
    run(theirs, plain(theirs.parameters(), lr=0.01, weight_decay=0, fused=False), range(5))
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one, other)
