"""Muon: orthogonal steps for the kernels of convolutions, AdamW for the rest."""

import pytest
import torch
from torch import nn

from pyratok.training.objective import Objective
from pyratok.training.optimizers import UPDATE_SIZE, Muon, new_optimizer, orthogonalized
from pyratok.training.settings import SettingsError, TrainingSettings


@pytest.mark.parametrize("shape", [(40, 300), (300, 40), (64, 64)])
def test_singular_values_become_about_one_and_the_vectors_stay(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    result = orthogonalized(matrix).float()
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    inner = left.T @ result @ right.T
    diagonal, clear = inner.diagonal(), values > 0.1 * values.max()
    assert diagonal[clear].min() > 0.6 and diagonal[clear].max() < 1.3
    assert (inner - diagonal.diag()).abs().max() < 0.05


def two_layers() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv3d(8, 40, 3, bias=False), nn.Flatten(), nn.Linear(40, 60))


def gradients(model: nn.Module) -> None:
    torch.manual_seed(1)
    model(torch.randn(200, 8, 3, 3, 3)).square().mean().backward()


def test_a_step_has_the_size_of_the_learning_rate_and_the_rest_steps_as_adamw():
    model, other = two_layers(), two_layers()
    conv, rest = [model[0].weight], list(model[2].parameters())
    muon = Muon([{"params": conv, "weight_decay": 0.0, "orthogonal": True}, {"params": rest}], 1e-2, (0.9, 0.99))
    adamw = torch.optim.AdamW(other[2].parameters(), lr=1e-2, betas=(0.9, 0.99), fused=True)
    before = model[0].weight.detach().clone()
    gradients(model)
    gradients(other)
    muon.step()
    adamw.step()
    change = model[0].weight.detach() - before
    assert float(change.square().mean().sqrt()) == pytest.approx(UPDATE_SIZE * 1e-2, rel=0.25)
    assert float((change * model[0].weight.grad).sum()) < 0
    for ours, theirs in zip(model[2].parameters(), other[2].parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_the_memory_layout_of_a_kernel_does_not_matter():
    plain, last = two_layers(), two_layers()
    last[0].weight.data = last[0].weight.data.contiguous(memory_format=torch.channels_last_3d)
    for model in (plain, last):
        optimizer = Muon([{"params": [model[0].weight], "orthogonal": True}], 1e-2, (0.9, 0.99))
        gradients(model)
        optimizer.step()
    torch.testing.assert_close(plain[0].weight, last[0].weight, atol=1e-5, rtol=1e-3)


def test_which_weights_step_how():
    wide, lora, scale = (
        nn.Parameter(torch.zeros(shape)) for shape in ((64, 8, 3, 3, 3), (16, 8, 3, 3, 3), (64, 1, 1, 1))
    )
    module, linear = nn.Module(), nn.Linear(100, 64)
    module.wide, module.lora, module.scale, module.linear = wide, lora, scale, linear
    frozen = module.frozen = nn.Parameter(torch.zeros(64, 8, 3, 3), requires_grad=False)
    settings = TrainingSettings(output_folder="out", data="data", model_config={}, optimizer="muon")
    groups = new_optimizer(Objective(module, {}), settings).param_groups
    orthogonal, decayed, rest = (group["params"] for group in groups)
    assert [id(weight) for weight in orthogonal] == [id(wide)]
    assert {id(weight) for weight in decayed} == {id(lora), id(scale), id(linear.weight)}
    assert [id(weight) for weight in rest] == [id(linear.bias)]
    assert id(frozen) not in map(id, [*orthogonal, *decayed, *rest])


def test_the_tokenizer_gets_its_share_of_the_learning_rate():
    tokenizer, term = two_layers(), nn.Linear(4, 4)
    objective = Objective(tokenizer, {"term": (1.0, term)})
    settings = TrainingSettings(
        output_folder="out", data="data", model_config={}, learning_rate=0.1, tokenizer_learning_rate_share=0.2
    )
    rates = {id(w): group["lr"] for group in new_optimizer(objective, settings).param_groups for w in group["params"]}
    assert all(rates.pop(id(weight)) == pytest.approx(0.02) for weight in tokenizer.parameters())
    assert all(rates.pop(id(weight)) == pytest.approx(0.1) for weight in term.parameters())
    assert not rates


def test_a_run_in_which_nothing_learns_is_refused():
    settings = TrainingSettings(output_folder="out", data="data", model_config={})
    with pytest.raises(SettingsError, match="nothing learns"):
        new_optimizer(Objective(two_layers().requires_grad_(False), {}), settings)
