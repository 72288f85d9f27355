"""Words to masks."""

import shutil

import diffusers
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tiny_language import save_tiny_repository, tiny_pipeline

import pyratok
from pyratok import DenseCrfSettings, PyraTokSegmentationPipeline, read_video
from pyratok.modeling_pyratok.binary_codebook import codes_to_bits


@pytest.fixture
def pipeline() -> PyraTokSegmentationPipeline:
    return tiny_pipeline(PyraTokSegmentationPipeline)


@pytest.fixture
def frames(clip) -> np.ndarray:
    return read_video(clip)[0][:10, :50, :70].numpy()


def test_a_mask_for_each_content_word(pipeline, frames):
    output = pipeline(frames, "a dog and a ball")
    assert output.words == ("dog", "ball")
    assert output.masks.shape == output.scores.shape == (2, 10, 50, 70)
    assert output.masks.dtype == torch.bool and output.scores.dtype == torch.float32
    assert torch.equal(output.masks, output.scores >= output.thresholds[:, None, None, None])
    assert 0 < output.masks.float().mean() < 1
    masks, scores = pipeline(frames, "a dog and a ball", return_dict=False)
    assert torch.equal(masks, output.masks) and torch.equal(scores, output.scores)


def test_scores_are_cosines_of_level_four_with_the_word(pipeline, frames):
    maps = pipeline.maps(frames, "dog")
    codes = maps.tokens.video_codes[3]
    features = pipeline.alignment.features([None, None, None, codes_to_bits(codes, 16)])[0]
    cosines = F.cosine_similarity(features, pipeline.pooled_text(["dog"])[0], dim=-1)
    torch.testing.assert_close(maps.fit[0], cosines)
    scores = pipeline(frames, "dog").scores
    assert torch.equal(scores, maps.scores()) and maps.stride == (4, 16)
    torch.testing.assert_close(
        scores[0, :, 0, 0], cosines[[0, 1, 1, 1, 1, 2, 2, 2, 2, 3], 0, 0]
    )  # a corner lies in one place


def test_a_list_is_taken_as_it_stands(pipeline, frames):
    output = pipeline(frames, ["a dog", "the ball"])
    assert output.words == ("a dog", "the ball")
    alone = pipeline(frames, ["the ball"])
    torch.testing.assert_close(alone.scores[0], output.scores[1])


def test_tokens_are_enough(pipeline, clip, tmp_path):
    whole = pipeline(clip, "a dog", levels=(1, 2, 3, 4))
    tokens = pyratok.PyraTokReconstructionPipeline(pipeline.vq_model)(clip).tokens
    tokens.save(tmp_path / "clip.safetensors")
    for given in (tokens, tmp_path / "clip.safetensors"):
        assert torch.equal(pipeline(given, "a dog", levels=(1, 2, 3, 4)).scores, whole.scores)
    assert pipeline(tokens, "a dog", crf=True).masks.shape == whole.masks.shape
    assert torch.equal(pipeline(whole.tokens, "a dog", levels=(1, 2, 3, 4)).scores, whole.scores)  # its own go back in


def test_levels_matter_and_a_threshold_can_be_given(pipeline, frames):
    one, all_levels = (pipeline(frames, "dog", levels=levels) for levels in ((4,), (1, 2, 3, 4)))
    assert not torch.equal(one.scores, all_levels.scores)
    low = pipeline(frames, "dog", threshold=-1.0)
    assert low.masks.all() and not pipeline(frames, "dog", threshold=1.1).masks.any()


def test_pieces_are_those_of_the_whole(pipeline, frames):
    whole = pipeline(frames, "a dog and a ball", levels=(2, 4))
    maps = pipeline.maps(frames, "a dog and a ball", levels=(2, 4))
    for step in (1, 3, 16):
        masks, scores = zip(*pipeline.stream(maps, step), strict=True)
        assert torch.equal(torch.cat(masks, dim=1), whole.masks) and torch.equal(
            torch.cat(scores, dim=1), whole.scores
        )


def test_the_crf_moves_masks_to_edges(pipeline):
    """A bright square on dark ground: whatever the scores are, the CRF has to agree with its edge more than before."""
    video = np.full((5, 64, 64, 3), 20, np.uint8)
    video[:, 18:46, 20:44] = 230
    inside = torch.zeros(5, 64, 64, dtype=torch.bool)
    inside[:, 18:46, 20:44] = True
    maps = pipeline.maps(video, ["square"])
    cosines = F.avg_pool2d(inside[:2].float(), 16)[None]  # (1, 2, 4, 4): what places can know of it
    known = maps.__class__(maps.words, cosines, maps.stride, torch.tensor([0.5]), maps.tokens)
    pipeline.maps = lambda *_: known
    coarse, fine = (pipeline(video, ["square"], crf=crf) for crf in (False, DenseCrfSettings()))

    def agreement(masks: torch.Tensor) -> float:
        return float((masks[0] & inside).sum() / (masks[0] | inside).sum())

    assert agreement(fine.masks) > agreement(coarse.masks)
    assert fine.scores.min() >= 0 and fine.scores.max() <= 1 and torch.equal(fine.masks, fine.scores >= 0.5)


@pytest.mark.parametrize("size", [(1, 1, 1), (2, 3, 200), (6, 17, 33)])
def test_any_size(pipeline, size):
    video = np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8)
    for crf in (False, True):
        assert pipeline(video, "a dog", crf=crf).masks.shape == (1, *size)


def test_bad_input_is_named(pipeline, frames):
    for text, error, message in (
        ("", ValueError, "no word that names something"),
        ([], ValueError, "at least one text"),
        (["dog", " "], ValueError, "none that is empty"),
        (5, TypeError, "a string or a list of strings"),
    ):
        with pytest.raises(error, match=message):
            pipeline(frames, text)
    for levels in ((), (0,), (5,), (4, 4)):
        with pytest.raises(ValueError, match="level"):
            pipeline(frames, "dog", levels=levels)


def test_saved_and_loaded_by_name_or_class(pipeline, frames, tmp_path):
    save_tiny_repository(tmp_path / "saved")
    assert not (tmp_path / "saved/vq_model").exists() and (tmp_path / "saved/alignment/config.json").is_file()
    expected = pipeline(frames, "dog").scores
    for kind in (PyraTokSegmentationPipeline, diffusers.DiffusionPipeline):
        loaded = kind.from_pretrained(tmp_path / "saved")
        assert isinstance(loaded, PyraTokSegmentationPipeline)
        assert torch.equal(loaded(frames, "dog").scores, expected)


def test_a_variant_and_number_formats_by_part(pipeline, frames, tmp_path):
    pipeline.save_pretrained(tmp_path / "saved", variant="fp16")
    loaded = PyraTokSegmentationPipeline.from_pretrained(tmp_path / "saved", variant="fp16")
    assert torch.equal(loaded(frames, "dog").scores, pipeline(frames, "dog").scores)
    save_tiny_repository(tmp_path / "plain")
    half = PyraTokSegmentationPipeline.from_pretrained(tmp_path / "plain", dtype={"default": torch.bfloat16})
    assert half.alignment.dtype == half.vq_model.dtype == torch.bfloat16


@pytest.mark.parametrize("part", ["text_encoder", "tokenizer"])
def test_a_repository_without_a_part_says_which(tmp_path, part):
    shutil.rmtree(save_tiny_repository(tmp_path) / part)
    with pytest.raises(pyratok.PyraTokError, match=f"has no folder '{part}'"):
        PyraTokSegmentationPipeline.from_pretrained(tmp_path)


def test_where_all_scores_are_equal_nothing_stands_out(pipeline, frames):
    maps = pipeline.maps(frames, "dog")
    assert not pipeline(frames[:1, :1, :1], "dog").masks.any()  # one place
    assert torch.isfinite(maps.probabilities(maps.scores())).all()
    for crf in (False, True):
        assert not pipeline(np.zeros((1, 1, 1, 3), np.uint8), "dog", crf=crf).masks.any()


def test_a_repository_without_an_alignment_says_so(tmp_path, tiny_model):
    pyratok.PyraTokReconstructionPipeline(tiny_model).save_pretrained(tmp_path)
    with pytest.raises(pyratok.PyraTokError, match="has no text alignment, which compares tokens with text"):
        PyraTokSegmentationPipeline.from_pretrained(tmp_path)


def test_components_that_do_not_fit_are_refused(pipeline):
    other = pyratok.PyraTokTextAlignment(pyratok.PyraTokTextAlignmentConfig.tiny(text_hidden_size=10))
    with pytest.raises(ValueError, match="embeddings of 12 numbers, the alignment takes 10"):
        PyraTokSegmentationPipeline(pipeline.vq_model, other, pipeline.text_encoder, pipeline.tokenizer)
    strides = {"level_strides": ((2, 8), (4, 16), (4, 32), (4, 32))}
    other = pyratok.PyraTokTextAlignment(pyratok.PyraTokTextAlignmentConfig.tiny(**strides))
    with pytest.raises(ValueError, match="level_strides="):
        PyraTokSegmentationPipeline(pipeline.vq_model, other, pipeline.text_encoder, pipeline.tokenizer)
    other = pyratok.PyraTokTextAlignment(pyratok.PyraTokTextAlignmentConfig.tiny(codebook_bits=8))
    with pytest.raises(ValueError, match="codebook_bits=8"):
        PyraTokSegmentationPipeline(pipeline.vq_model, other, pipeline.text_encoder, pipeline.tokenizer)


def test_the_bundled_model(clip):
    output = PyraTokSegmentationPipeline.from_pretrained("pyratok")(clip, "city lights")
    assert output.words == ("city", "lights") and output.masks.any() and not output.masks.all()
