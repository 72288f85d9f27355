"""Videos to class names, and features for a probe."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tiny_language import tiny_pipeline

from pyratok import PyraTokClassificationPipeline, PyraTokReconstructionPipeline, read_video

LABELS = ["a city at night", "a rabbit", "a dog"]


@pytest.fixture(scope="module")
def pipeline() -> PyraTokClassificationPipeline:
    return tiny_pipeline(PyraTokClassificationPipeline)


@pytest.fixture
def frames(clip) -> np.ndarray:
    return read_video(clip)[0][:9, :40, :40].numpy()


def test_scores_are_the_softmax_of_scaled_cosines(pipeline, frames):
    output = pipeline(frames, LABELS)
    seen = pipeline.alignment.embed_video(output.tokens.video_codes)
    cosines = F.cosine_similarity(seen, pipeline.pooled_text(LABELS), dim=-1)
    expected = (cosines * pipeline.alignment.log_scale.detach().exp()).softmax(0)
    torch.testing.assert_close(output.scores, expected)
    assert output.scores.sum() == pytest.approx(1) and output.label == LABELS[int(expected.argmax())]
    scores, label = pipeline(frames, LABELS, return_dict=False)
    assert torch.equal(scores, output.scores) and label == output.label and output.labels == tuple(LABELS)


def test_levels_templates_and_order(pipeline, frames):
    output = pipeline(frames, LABELS)
    turned = pipeline(frames, LABELS[::-1])
    torch.testing.assert_close(turned.scores.flip(0), output.scores)
    told = pipeline(frames, LABELS, template="a video of {}.")
    expected = pipeline(frames, [f"a video of {label}." for label in LABELS])
    assert torch.equal(told.scores, expected.scores) and told.labels == tuple(LABELS)
    assert not torch.equal(pipeline(frames, LABELS, levels=(3,)).scores, output.scores)
    assert pipeline(frames, ["one"]).scores.tolist() == [1]


def test_features_of_a_probe(pipeline, frames):
    features = pipeline.features(frames)
    width = pipeline.alignment.config.text_hidden_size
    assert features.shape == (3 * width,) and features.dtype == torch.float32
    mean, deviation, change = features.split(width)
    torch.testing.assert_close(
        F.normalize(mean, dim=0), pipeline.alignment.embed_video(pipeline(frames, LABELS).tokens.video_codes)[0]
    )
    assert (deviation >= 0).all() and deviation.any() and (change >= 0).all() and change.any()
    still = pipeline.features(frames[:1])
    assert not still.split(width)[2].any()  # one moment does not change
    tokens = PyraTokReconstructionPipeline(pipeline.vq_model)(frames).tokens
    assert torch.equal(pipeline.features(tokens), features)
    assert not torch.equal(pipeline.features(frames, levels=(1,)), features)


def test_bad_input_is_named(pipeline, frames):
    for labels, error, message in (
        ("a dog", TypeError, "labels are a list of strings, got one string"),
        ([], ValueError, "at least one"),
        (["a", ""], ValueError, "none that is empty"),
    ):
        with pytest.raises(error, match=message):
            pipeline(frames, labels)
    with pytest.raises(ValueError, match="a template has {}"):
        pipeline(frames, LABELS, template="a video")
    with pytest.raises(ValueError, match="level"):
        pipeline(frames, LABELS, levels=(7,))
