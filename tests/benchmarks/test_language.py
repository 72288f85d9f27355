"""The figures of `benchmarks/language.py` on cases whose answer is known."""

import math

import pytest
import torch
from language import changed_bits, own_entropy, retrieval, unigram_bits


def test_retrieval_counts_ranks_among_different_captions():
    captions = ["a", "b", "a", "c"]
    perfect = torch.tensor([[float(one == other) for other in captions] for one in captions])
    figures = retrieval(perfect, captions)
    assert figures["R@1"] == figures["median rank"] == figures["cosine to its caption"] == 1
    assert figures["captions"] == 3 and figures["cosine to others"] == 0
    worst = retrieval(-perfect, captions)
    assert worst["R@1"] == 0 and worst["R@5"] == 1 and worst["median rank"] == 3


def test_changed_bits():
    one, other = [(torch.tensor([[0b1010]]), torch.tensor([[0]]))], [(torch.tensor([[0b1001]]), torch.tensor([[0]]))]
    assert changed_bits(one, other, 4) == [0.5, 0.0]


def test_code_models():
    codes = [(torch.tensor([0, 1, 2, 3]),), (torch.tensor([0, 1, 2, 3]),)]
    assert own_entropy(codes) == [pytest.approx(2)]
    assert unigram_bits(codes, codes, 4) == [pytest.approx(2)]
    assert unigram_bits([(torch.tensor([0, 0, 0]),)], [(torch.tensor([1]),)], 2) == [pytest.approx(math.log2(5))]
