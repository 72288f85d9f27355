"""The schedule of the learning rate."""

import pytest

from pyratok.training.learning_rate import learning_rate_share


def test_warm_up_and_half_a_cosine():
    shares = [learning_rate_share(step, max_steps=110, warmup_steps=10, final_share=0.1) for step in range(111)]
    assert shares[0] == pytest.approx(0.1) and shares[9] == shares[10] == 1.0
    assert shares[60] == pytest.approx(0.55) and shares[110] == pytest.approx(0.1)
    assert all(later <= earlier for earlier, later in zip(shares[10:], shares[11:], strict=False))


def test_no_warm_up():
    assert learning_rate_share(0, max_steps=1, warmup_steps=0, final_share=0.0) == 1.0
