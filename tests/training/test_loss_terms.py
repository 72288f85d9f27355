"""The terms of the loss look at other frames in every step, and at the same ones when a step is repeated."""

import pytest
import torch
from tiny_runs import settings_for

from pyratok import PyraTokModel
from pyratok.training.loss_terms import loss_terms
from pyratok.training.objective import StepView


@pytest.mark.parametrize(
    "changes",
    [{"perceptual": "efficientnet-lite0", "perceptual_frames": 2}, {"drift": "efficientnet-lite0"}],
    ids=["perceptual", "drift"],
)
def test_the_step_decides_which_frames_a_term_looks_at(tiny_model: PyraTokModel, tmp_path, changes):
    ((_, term),) = loss_terms(settings_for(tmp_path, tmp_path, **changes), tiny_model).values()
    values = torch.rand(1, 17, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1

    def loss(seed: int) -> float:
        return float(term(StepView(tiny_model, output, values, (None,), None, seed)))

    with torch.no_grad():
        output = tiny_model(values, output_stage_features=True)
        losses = [loss(seed) for seed in range(8)]
        assert len(set(losses)) > 2
        assert losses == [loss(seed) for seed in range(8)]
