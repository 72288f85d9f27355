"""Texts to stretches of time."""

from fractions import Fraction

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_language import tiny_pipeline

from pyratok import PyraTokActionLocalizationPipeline, PyraTokReconstructionPipeline
from pyratok.modeling_pyratok.binary_codebook import codes_to_bits
from pyratok.pipelines.action_localization_pipeline import window_covers


@pytest.fixture(scope="module")
def pipeline() -> PyraTokActionLocalizationPipeline:
    return tiny_pipeline(PyraTokActionLocalizationPipeline)


@pytest.fixture(scope="module")
def film() -> np.ndarray:
    """Noise, then flat grey, then noise: 12, 20 and 13 frames."""
    random = np.random.default_rng(0)
    noise = random.integers(0, 255, (45, 32, 32, 3), np.uint8)
    noise[12:32] = 128
    return noise


def test_scores_are_the_windowed_cosines_of_level_one(pipeline, film):
    output = pipeline(film, ["a dog", "noise"], window=3)
    features = pipeline.alignment.features([codes_to_bits(output.tokens.video_codes[0], 16), None, None, None])
    over_time = features[0].mean(dim=(1, 2))  # (N, width)
    cosines = F.cosine_similarity(over_time[None], pipeline.pooled_text(["a dog", "noise"])[:, None], dim=-1)
    assert output.scores.shape == cosines.shape == (2, 12)
    smooth = [cosines[:, max(n - 1, 0) : n + 2].mean(dim=1) for n in range(12)]
    torch.testing.assert_close(output.scores, torch.stack(smooth, dim=1), atol=1e-5, rtol=1e-5)
    assert torch.allclose(pipeline(film, "noise", window=1).scores, cosines[1:], atol=1e-5)
    assert len(set(pipeline(film, "noise", window=99).scores[0].tolist())) == 1


def test_nothing_is_found_among_equal_scores_unless_a_threshold_says_so(pipeline, film):
    for window, covered in ((25, True), (23, True), (22, False)):  # of 12 features
        output = pipeline(film, ["a dog", "noise"], window=window)
        assert [not runs for runs in output.segments] == [covered] * 2
        assert output.thresholds.isinf().tolist() == [covered] * 2 and window_covers(window, 12) == covered
    assert pipeline(film[:1], "noise", window=1).segments == [[]]
    assert pipeline(film[:1], "noise", window=1, threshold=-1.0).segments[0][0][:2] == (0, pytest.approx(1 / 24))


def test_times_are_those_of_the_frames(pipeline, film):
    output = pipeline(film, "noise", fps=Fraction(10))
    assert output.times.tolist() == pytest.approx([0, *(0.1 * (1 + 4 * n) for n in range(11)), 4.5])
    assert pipeline(film[:2], "noise", fps=2).times.tolist() == [0, 0.5, 1]  # the last token ends with the video
    assert pipeline(film, "noise").times[-1] == pytest.approx(45 / 24)


def test_the_longest_run_above_the_threshold(pipeline, film):
    output = pipeline(film, "noise", window=1, max_segments=None)
    (scores,), limit = output.scores, float(output.thresholds[0])
    covered = torch.zeros(12, dtype=torch.bool)
    for start, end, score in output.segments[0]:
        inside = (output.times[:-1] >= start) & (output.times[1:] <= end)
        assert (scores[inside] >= limit).all()
        assert score == pytest.approx(float(scores[inside].mean()))
        covered |= inside
    assert torch.equal(covered, scores >= limit)
    lengths = [end - start for start, end, _ in output.segments[0]]
    assert lengths == sorted(lengths, reverse=True)
    assert pipeline(film, "noise", window=1).segments == [output.segments[0][:1]]


def test_flat_frames_and_noise_are_told_apart(pipeline, film):
    output = pipeline(film, "noise", window=1, max_segments=None)
    assert any(
        abs(time - 13 / 24) < 0.2 or abs(time - 33 / 24) < 0.2 for run in output.segments[0] for time in run[:2]
    )


def test_a_threshold_that_nothing_or_all_reaches(pipeline, film):
    assert pipeline(film, ["a", "b"], threshold=1.01).segments == [[], []]
    ((segment,),) = pipeline(film, "a", threshold=-1.01).segments
    assert segment[:2] == (0, pytest.approx(45 / 24))


@settings(max_examples=15, deadline=None)
@given(frames=st.integers(1, 20), window=st.integers(1, 30))
def test_any_length(pipeline, film, frames, window):
    output = pipeline(film[:frames], "noise", window=window)
    assert output.scores.shape[1] + 1 == len(output.times)
    assert bool(output.segments[0]) == (len(set(output.scores[0].tolist())) > 1)
    assert all(0 <= start < end <= frames / 24 + 1e-9 for start, end, _ in output.segments[0])


def test_tokens_are_enough(pipeline, film):
    tokens = PyraTokReconstructionPipeline(pipeline.vq_model)(film, fps=Fraction(10)).tokens
    one, other = pipeline(tokens, "noise", window=3), pipeline(film, "noise", window=3, fps=10)
    assert one.segments == other.segments and torch.equal(one.scores, other.scores)
    segments, scores = pipeline(tokens, "noise", window=3, return_dict=False)
    assert segments == one.segments and torch.equal(scores, one.scores)


def test_bad_input_is_named(pipeline, film):
    for changes, error, message in (
        ({"text": ""}, ValueError, "none that is empty"),
        ({"text": [1]}, TypeError, "a string or a list"),
        ({"level": 9}, ValueError, "level"),
        ({"window": 0}, ValueError, "window is a whole number from 1 up, got 0"),
        ({"max_segments": 0}, ValueError, "max_segments"),
    ):
        with pytest.raises(error, match=message):
            pipeline(film, **{"text": "noise", **changes})
