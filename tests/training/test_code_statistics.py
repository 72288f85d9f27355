"""Use and balance of codes, against values worked out by hand."""

import math

import pytest
import torch

from pyratok.training.code_statistics import CodeStatistics


def test_summary():
    statistics = CodeStatistics(codebook_bits=2)
    statistics.add((torch.tensor([[[[0, 1]]]]), None))
    statistics.add((torch.tensor([[[[1, 1, 1, 1, 0, 0]]]]), torch.tensor([[[[3]]]])))
    values = statistics.summary()
    assert values["code_use_1"] == 2 / 4
    entropy = -(3 / 8) * math.log2(3 / 8) - (5 / 8) * math.log2(5 / 8)
    assert values["code_entropy_1"] == pytest.approx(entropy)
    assert values["bit_balance_1"] == pytest.approx((2 * 3 / 8 + 0) / 2)
    assert values["constant_bits_1"] == 1
    assert values["code_use_2"] == 1.0  # one token, one code
    assert values["code_entropy_2"] == 0
    assert statistics.summary() == {}
