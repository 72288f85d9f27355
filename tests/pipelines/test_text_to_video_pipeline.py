"""`PyraTokTextToVideoPipeline`: what diffusers' common pipeline tests ask of a pipeline, and what is its own."""

import logging

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny_text import byte_tokenizer, save_text_encoder, tiny_text_model

import pyratok
from pyratok import PyraTokPrior, PyraTokPriorConfig, PyraTokTextToVideoPipeline
from pyratok.modeling_pyratok.packed_weights import PackedWeightsConfig, pack_weights
from pyratok.pipelines.text_to_video_loading import load_text_to_video

SIZE = {"num_frames": 5, "height": 32, "width": 40}


@pytest.fixture
def pipeline(tiny_model) -> PyraTokTextToVideoPipeline:
    torch.manual_seed(0)
    prior = PyraTokPrior(PyraTokPriorConfig.tiny()).eval()
    for layer in (prior.from_text, *prior.head.from_hidden, *prior.head.to_logits):
        torch.nn.init.normal_(layer.weight)  # else text makes no difference to a prior that was not trained
    pipeline = PyraTokTextToVideoPipeline(tiny_model, prior, tiny_text_model(), byte_tokenizer())
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def seeded(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def test_frames_are_the_decoded_tokens(pipeline):
    output = pipeline("a rabbit", **SIZE, generator=seeded(0)[0], output_type="pt")
    assert output.frames.shape == (1, 5, 3, 32, 40)
    tokens = output.tokens
    assert tokens.caption == "a rabbit" and tokens.video_size == (5, 32, 40) and tokens.fps == 24
    decoded = pipeline.vq_model.decode(tokens.video_codes, video_size=tokens.video_size).video_values
    assert torch.equal((decoded + 1) / 2, output.frames)
    tokens.check_fits(pipeline.vq_model)


def test_output_types(pipeline):
    kinds = {
        kind: pipeline("a", **SIZE, generator=seeded(0)[0], output_type=kind).frames for kind in ("pt", "np", "pil")
    }
    assert np.array_equal(kinds["np"], kinds["pt"].permute(0, 1, 3, 4, 2).numpy())
    assert isinstance(kinds["pil"][0][4], Image.Image)
    frames, tokens = pipeline("a", **SIZE, generator=seeded(0)[0], return_dict=False)
    assert np.array_equal(frames, kinds["np"]) and tokens.num_tokens
    codes = pipeline("a", **SIZE, generator=seeded(0)[0], output_type="codes").frames
    assert all(torch.equal(*pair) for pair in zip(codes, tokens.video_codes, strict=True))


def test_a_batch_is_its_prompts(pipeline):
    prompts = ["a rabbit", "something else that is longer", ""]
    together = pipeline(prompts, **SIZE, generator=seeded(0, 1, 2))
    assert [tokens.caption for tokens in together.tokens] == prompts
    for row, (prompt, generator) in enumerate(zip(prompts, seeded(0, 1, 2), strict=True)):
        alone = pipeline(prompt, **SIZE, generator=[generator])
        assert all(map(torch.equal, together.tokens[row].video_codes, alone.tokens.video_codes)), prompt
        np.testing.assert_allclose(together.frames[row], alone.frames[0], atol=1e-4)


def test_several_videos_of_a_prompt(pipeline):
    output = pipeline("a", **SIZE, num_videos_per_prompt=2, generator=seeded(0, 1))
    assert len(output.tokens) == 2 and output.frames.shape[0] == 2
    assert not np.array_equal(output.frames[0], output.frames[1])


def test_seeds_prompts_and_guidance_count(pipeline):
    def codes(prompt="a rabbit", seed=0, **options):
        return pipeline(prompt, **SIZE, generator=seeded(seed)[0], output_type="codes", **options).frames[0]

    assert torch.equal(codes(), codes())
    assert not torch.equal(codes(), codes(seed=1))
    assert not torch.equal(codes(), codes("a car on a road"))
    assert not torch.equal(codes(guidance_scale=1.0), codes(guidance_scale=5.0))
    assert torch.equal(codes("", guidance_scale=1.0), codes(" ", guidance_scale=5.0))


def test_embedded_prompts(pipeline):
    encoder = pyratok.TextEncoder(pipeline.text_encoder, pipeline.tokenizer)
    text = encoder(["a rabbit"])
    one = pipeline("a rabbit", **SIZE, generator=seeded(0)[0])
    other = pipeline(prompt_embeds=text.embeds, prompt_mask=text.mask, **SIZE, generator=seeded(0)[0])
    assert np.array_equal(one.frames, other.frames) and other.tokens[0].caption is None


def test_callbacks_see_each_level_coarse_to_fine(pipeline):
    seen = []

    def callback(pipe, step, level, given):
        present = [codes is not None for codes in given["video_codes"]]
        picture = pipe.decode_preview(given["video_codes"], (5, 32, 40), "pt")
        seen.append((step, level, present, tuple(picture.shape)))
        return given

    pipeline("a", **SIZE, generator=seeded(0)[0], callback_on_step_end=callback)
    assert [entry[:2] for entry in seen] == [(0, 4), (1, 3), (2, 2), (3, 1)]
    assert seen[0][2] == [False, False, False, True] and seen[3][2] == [True] * 4
    assert all(entry[3] == (1, 5, 3, 32, 40) for entry in seen)


@pytest.mark.parametrize("frames", [1, 5, 7])
def test_a_given_beginning_is_kept(pipeline, frames):
    video = torch.rand(frames, 3, 24, 40, generator=torch.Generator().manual_seed(0))
    output = pipeline(["a", "b"], num_frames=9, video=video, generator=seeded(0, 1), output_type="pt")
    kept = 1 + (frames - 1) // 4 * 4
    assert output.frames.shape == (2, 9, 3, 24, 40)
    text = pyratok.TextEncoder(pipeline.text_encoder, pipeline.tokenizer)(["a", "b"])
    for row, tokens in enumerate(output.tokens):
        given = text.embeds[row : row + 1], text.mask[row : row + 1]
        expected = pipeline.vq_model.encode(video[None, :kept] * 2 - 1, *given).video_codes
        assert all(
            torch.equal(mine[:, : len(its[0])], its) for mine, its in zip(tokens.video_codes, expected, strict=True)
        )
        alone = pipeline.vq_model.decode(expected, video_size=(kept, 24, 40)).video_values
        torch.testing.assert_close(output.frames[row, :kept], ((alone + 1) / 2)[0], atol=1e-4, rtol=0)


def test_save_and_load(pipeline, tmp_path):
    expected = pipeline("a rabbit", **SIZE, generator=seeded(0)[0])
    pipeline.save_pretrained(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["prior", "text_encoder", "tokenizer"]
    assert not list(tmp_path.rglob("*.bin"))
    for kind in (PyraTokTextToVideoPipeline, diffusers.DiffusionPipeline):
        loaded = kind.from_pretrained(tmp_path)
        assert isinstance(loaded, PyraTokTextToVideoPipeline)
        loaded.set_progress_bar_config(disable=True)
        assert np.array_equal(loaded("a rabbit", **SIZE, generator=seeded(0)[0]).frames, expected.frames)
    reconstruction = pyratok.PyraTokReconstructionPipeline.from_pretrained(tmp_path)
    assert reconstruction.vq_model.weights_fingerprint() == pipeline.vq_model.weights_fingerprint()
    assert pyratok.load_text_encoder(tmp_path)(["a"]).embeds.shape[-1] == 12


@pytest.mark.parametrize("part", ["prior", "text_encoder", "."])
def test_a_part_that_is_not_whole_is_refused(pipeline, tmp_path, part):
    pipeline.save_pretrained(tmp_path)
    path = tmp_path / part / "model.safetensors"
    state = load_file(path)
    state.pop(next(name for name in state if name.endswith("weight")))
    save_file(state, path, metadata={"format": "pt"})
    for load in (PyraTokTextToVideoPipeline.from_pretrained, load_text_to_video):
        with pytest.raises(pyratok.PyraTokError, match="is not complete"):
            load(tmp_path)


def test_a_packed_text_encoder_is_saved_packed(pipeline, tmp_path):
    pack_weights(pipeline.text_encoder, PackedWeightsConfig(8, 4, 8, 4))
    expected = pipeline("a rabbit", **SIZE, generator=seeded(0)[0])
    pipeline.save_pretrained(tmp_path)
    loaded = PyraTokTextToVideoPipeline.from_pretrained(tmp_path)
    loaded.set_progress_bar_config(disable=True)
    assert np.array_equal(loaded("a rabbit", **SIZE, generator=seeded(0)[0]).frames, expected.frames)


def test_half_precision(pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path)
    loaded = PyraTokTextToVideoPipeline.from_pretrained(tmp_path, torch_dtype=torch.bfloat16)
    loaded.set_progress_bar_config(disable=True)
    assert loaded.prior.dtype == loaded.vq_model.dtype == loaded.text_encoder.dtype == torch.bfloat16
    assert np.isfinite(loaded("a rabbit", **SIZE, generator=seeded(0)[0]).frames).all()


@pytest.mark.parametrize("prompt", ["", "   ", "кролик на лугу", "ウサギ", "🐇🐇", "rabbit\nmeadow\t!", "a" * 500])
def test_any_text_is_a_prompt(pipeline, prompt, caplog):
    with caplog.at_level(logging.WARNING):
        output = pipeline(prompt, **SIZE, generator=seeded(0)[0])
    assert np.isfinite(output.frames).all() and output.tokens.caption == prompt
    assert ("cut to 77" in caplog.text) == (len(prompt) == 500)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"prompt": None}, ValueError, "prompt or prompt_embeds"),
        ({"prompt": 3}, TypeError, "string or a list"),
        ({"prompt": []}, TypeError, "string or a list"),
        ({"prompt": ["a", None]}, TypeError, "string or a list"),
        ({"num_frames": 0}, ValueError, "num_frames"),
        ({"height": 0}, ValueError, "height"),
        ({"width": 32.0}, ValueError, "width is a whole number"),
        ({"guidance_scale": float("inf")}, ValueError, "guidance_scale"),
        ({"prompt_mask": torch.ones(1, 3)}, ValueError, "prompt_mask goes with prompt_embeds"),
        ({"temperature": -1}, ValueError, "temperature"),
        ({"num_videos_per_prompt": 1.5}, ValueError, "num_videos_per_prompt"),
        ({"generator": seeded(0, 1)}, ValueError, "one for each of 1"),
        ({"video": torch.rand(5, 3, 32, 40)}, ValueError, "5 frames already"),
        ({"steps": 3}, TypeError, "no argument steps"),
        ({"callback_on_step_end_tensor_inputs": ["latents"]}, ValueError, "callbacks can have"),
        ({"output_type": "jpeg"}, ValueError, "output_type"),
    ],
)
def test_what_makes_no_sense_is_refused(pipeline, options, error, message):
    with pytest.raises(error, match=message):
        pipeline(**{"prompt": "a", **SIZE, **options})


def test_parts_that_do_not_fit_are_refused(tiny_model, tmp_path):
    text_encoder, tokenizer = tiny_text_model(), byte_tokenizer()
    other = PyraTokPrior(PyraTokPriorConfig.tiny(level_strides=((4, 8), (4, 8), (4, 16), (4, 32))))
    with pytest.raises(ValueError, match="another tokenizer's prior"):
        PyraTokTextToVideoPipeline(tiny_model, other, text_encoder, tokenizer)
    save_text_encoder(tmp_path, hidden_size=4)
    wide = pyratok.load_text_encoder(tmp_path)
    with pytest.raises(ValueError, match="embeddings of 4 numbers"):
        PyraTokTextToVideoPipeline(tiny_model, PyraTokPrior(PyraTokPriorConfig.tiny()), wide.model, wide.tokenizer)
