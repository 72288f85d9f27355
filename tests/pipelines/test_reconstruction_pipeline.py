"""`PyraTokReconstructionPipeline`: what it returns, what it takes, how it is saved and loaded."""

import io
import json
from fractions import Fraction

import diffusers
import numpy as np
import pytest
import torch
from clip_examples import smooth_frames, write_clip
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoProcessor

import pyratok
from pyratok.modeling_pyratok.video_writing import write_video
from pyratok.pipelines.token_streams import TokenCollector

FRAMES, HEIGHT, WIDTH = 7, 22, 35


@pytest.fixture
def pipeline(tiny_model) -> pyratok.PyraTokReconstructionPipeline:
    return pyratok.PyraTokReconstructionPipeline(tiny_model, pyratok.PyraTokVideoProcessor())


@pytest.fixture
def video() -> torch.Tensor:
    """A clip (T, C, H, W) in [0, 1] that uint8 holds exactly."""
    pixels = torch.randint(0, 256, (FRAMES, 3, HEIGHT, WIDTH), generator=torch.Generator().manual_seed(0))
    return pixels / 255


def test_frames_and_tokens_are_those_of_the_model(pipeline, video):
    output = pipeline(video, output_type="pt", generator=torch.Generator().manual_seed(3))
    encoded = pipeline.vq_model.encode(video[None] * 2 - 1)
    decoded = pipeline.vq_model.decode(encoded.video_codes, video_size=encoded.video_size)
    assert output.frames.shape == (1, FRAMES, 3, HEIGHT, WIDTH)
    assert torch.equal(output.frames, (decoded.video_values + 1) / 2)
    assert all(torch.equal(a, b) for a, b in zip(output.tokens.video_codes, encoded.video_codes, strict=True))
    assert output.tokens.video_size == (FRAMES, HEIGHT, WIDTH)
    assert output.tokens.weights_fingerprint == pipeline.vq_model.weights_fingerprint()
    assert output.tokens.fps == 24 and output.tokens.caption is None and output.tokens.model_id is None


def test_every_kind_of_video_gives_the_same_tokens(pipeline, video, tmp_path):
    array = (video * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    images = [Image.fromarray(frame) for frame in array]
    expected = pipeline(video).tokens
    assert pipeline(array).tokens == pipeline(array.astype(np.float32) / 255).tokens == expected
    assert pipeline(images).tokens == expected
    images[0].save(tmp_path / "still.png")
    still = pipeline(tmp_path / "still.png").tokens
    assert all(
        torch.equal(a, b) for a, b in zip(still.video_codes, pipeline(video[:1]).tokens.video_codes, strict=True)
    )


def test_output_types(pipeline, video):
    frames = {kind: pipeline(video, output_type=kind).frames for kind in ("pt", "np", "pil")}
    assert isinstance(frames["np"], np.ndarray) and frames["np"].shape == (1, FRAMES, HEIGHT, WIDTH, 3)
    assert np.array_equal(frames["np"], frames["pt"].permute(0, 1, 3, 4, 2).numpy())
    assert len(frames["pil"]) == 1 and len(frames["pil"][0]) == FRAMES
    assert np.abs(np.asarray(frames["pil"][0][2]) / 255 - frames["np"][0, 2]).max() <= 0.5001 / 255
    frames_alone, tokens = pipeline(video, return_dict=False)
    assert np.array_equal(frames_alone, frames["np"]) and tokens.num_tokens > 0
    with pytest.raises(ValueError, match="output_type"):
        pipeline(video, output_type="jpeg")


def test_the_frame_rate_is_the_files_unless_given(pipeline, video, tmp_path):
    frames = (video * 255).round().to(torch.uint8).permute(0, 2, 3, 1)
    write_video(tmp_path / "clip.mkv", frames, Fraction(30000, 1001))
    assert pipeline(str(tmp_path / "clip.mkv")).tokens.fps == Fraction(30000, 1001)
    assert pipeline(tmp_path / "clip.mkv", fps=12).tokens.fps == 12
    contents = (tmp_path / "clip.mkv").read_bytes()
    for same in (contents, bytearray(contents), io.BytesIO(contents), [str(tmp_path / "clip.mkv")]):
        assert pipeline(same).tokens.fps == Fraction(30000, 1001)
    assert pipeline([video]).tokens.fps == 24
    write_clip(tmp_path / "uneven.mkv", smooth_frames(3, 16, 16), times=(0, 0.04, 0.4))
    assert pipeline(tmp_path / "uneven.mkv").tokens.fps == 5


def test_levels_that_are_left_out_are_neither_stored_nor_decoded(pipeline, video):
    output = pipeline(video, levels=(4, 2), output_type="pt")
    assert output.tokens.levels == (2, 4)
    full = pipeline(video).tokens
    decoded = pipeline.vq_model.decode(full.video_codes, video_size=full.video_size, levels=(2, 4))
    assert torch.equal(output.frames, (decoded.video_values + 1) / 2)


@pytest.mark.parametrize("levels", [(), (0,), (5,), (1, 1), ("1",)])
def test_wrong_levels_are_refused_before_the_work_of_encoding(pipeline, video, levels, monkeypatch):
    for name in ("encode", "encode_stream"):
        monkeypatch.setattr(pipeline.vq_model, name, lambda *_, **__: pytest.fail("it encodes"))
    with pytest.raises(ValueError, match="level"):
        pipeline(video, levels=levels)
    with pytest.raises(ValueError, match="level"):
        list(pipeline.stream(video, levels=levels))


def test_a_batch_and_values_out_of_range_are_refused(pipeline, video):
    with pytest.raises(ValueError, match="one video at a time, got 2"):
        pipeline(torch.stack((video, video)))
    with pytest.raises(ValueError, match="one video"):
        list(pipeline.stream(torch.stack((video, video))))
    with pytest.raises(ValueError, match="lie in"):
        pipeline(video * 2)
    with pytest.raises(pyratok.VideoReadError, match="does not exist"):
        pipeline("missing.mp4")


def test_text_changes_what_the_model_is_told(pipeline, video):
    width = pipeline.vq_model.config.text_hidden_size
    text = torch.randn(1, 5, width, generator=torch.Generator().manual_seed(0))
    output = pipeline(video, text_embeds=text, text_mask=torch.ones(1, 5), caption="a grey storm")
    expected = pipeline.vq_model.encode(video[None] * 2 - 1, text, torch.ones(1, 5))
    assert all(torch.equal(a, b) for a, b in zip(output.tokens.video_codes, expected.video_codes, strict=True))
    assert output.tokens.caption == "a grey storm"


def test_streaming_gives_exactly_what_the_call_gives(pipeline, video):
    output = pipeline(video, chunk_frames=4, output_type="pt")
    collector = TokenCollector(pipeline.vq_model)
    frames, sizes = [], []
    for piece in pipeline.stream(video, chunk_frames=4):
        frames.append(piece.video_values)
        sizes.append(len(piece.video_values))
        collector.add(piece.video_codes, piece.video_size)
    assert sizes == [5, 2]
    assert torch.equal((torch.cat(frames)[None] + 1) / 2, output.frames)
    fingerprint = output.tokens.weights_fingerprint
    assert collector.tokens(24, pipeline.model_id, fingerprint) == output.tokens


def test_saved_and_loaded_it_is_the_same_and_nothing_is_stored_twice(pipeline, video, tmp_path):
    folder = tmp_path / "saved"
    pipeline.save_pretrained(folder, safe_serialization=True)
    names = sorted(path.name for path in folder.rglob("*"))
    assert names == ["config.json", "model.safetensors", "model_index.json", "preprocessor_config.json"]
    index = json.loads((folder / "model_index.json").read_text())
    assert index["_class_name"] == "PyraTokReconstructionPipeline" and index["vq_model"] == ["pyratok", "PyraTokModel"]

    expected = pipeline(video)
    for loader in (pyratok.PyraTokReconstructionPipeline, diffusers.DiffusionPipeline):
        loaded = loader.from_pretrained(folder)
        assert type(loaded) is pyratok.PyraTokReconstructionPipeline and not loaded.vq_model.training
        output = loaded(video)
        assert np.array_equal(output.frames, expected.frames)
        assert output.tokens.weights_fingerprint == expected.tokens.weights_fingerprint
        assert output.tokens.model_id == str(folder)
    assert isinstance(AutoModel.from_pretrained(folder), pyratok.PyraTokModel)
    assert isinstance(AutoProcessor.from_pretrained(folder), pyratok.PyraTokVideoProcessor)

    loaded.save_pretrained(tmp_path / "again")
    assert str(tmp_path) not in (tmp_path / "again" / "model_index.json").read_text()
    half = pyratok.PyraTokReconstructionPipeline.from_pretrained(folder, dtype=torch.bfloat16)
    assert half.vq_model.dtype == torch.bfloat16


@pytest.mark.parametrize("sizes", [{}, {"max_shard_size": "100KB"}], ids=["one file", "shards"])
def test_a_variant_of_the_weights_is_saved_and_loaded(pipeline, video, tmp_path, sizes):
    pipeline.vq_model.to(torch.bfloat16)
    pipeline.save_pretrained(tmp_path, variant="fp16", **sizes)
    expected = pipeline(video).tokens
    loaded = pyratok.PyraTokReconstructionPipeline.from_pretrained(tmp_path, variant="fp16")
    assert loaded.vq_model.dtype == torch.bfloat16 and not loaded.vq_model.training
    assert loaded(video).tokens.weights_fingerprint == expected.weights_fingerprint
    single = pyratok.PyraTokReconstructionPipeline.from_pretrained(tmp_path, variant="fp16", dtype=torch.float32)
    assert single.vq_model.dtype == torch.float32 and single.model_id == str(tmp_path)
    with pytest.raises(pyratok.PyraTokError, match=r"it has no model\.ema\.safetensors"):
        pyratok.PyraTokReconstructionPipeline.from_pretrained(tmp_path, variant="ema")
    with pytest.raises(pyratok.PyraTokError, match=r"it has no model\.safetensors"):
        pyratok.PyraTokReconstructionPipeline.from_pretrained(tmp_path)


def test_it_takes_what_it_needs_from_the_repository_of_a_larger_pipeline(pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path)
    index = json.loads((tmp_path / "model_index.json").read_text())
    index |= {"_class_name": "PyraTokTextToVideoPipeline", "prior": ["pyratok", "PyraTokPrior"]}
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    loaded = pyratok.PyraTokReconstructionPipeline.from_pretrained(tmp_path)
    assert type(loaded) is pyratok.PyraTokReconstructionPipeline
    assert list(loaded.components) == ["vq_model", "video_processor"]


def test_a_folder_without_all_weights_is_refused(pipeline, tiny_model, tmp_path):
    pipeline.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    name = next(iter(weights))
    for changed in (weights.keys() - {name}, weights.keys()):
        tensors = {key: weights[key] if key != name else torch.zeros(3, 3) for key in changed}
        save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(pyratok.PyraTokError, match="cannot be loaded|is not complete"):
            pyratok.PyraTokReconstructionPipeline.from_pretrained(tmp_path, torch_dtype=torch.bfloat16)
    loaded = pyratok.PyraTokReconstructionPipeline.from_pretrained(tmp_path, vq_model=tiny_model)
    assert loaded.vq_model is tiny_model


def test_a_component_that_is_given_is_not_loaded(pipeline, tiny_model, tmp_path):
    pipeline.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    loaded = pyratok.PyraTokReconstructionPipeline.from_pretrained(tmp_path, vq_model=tiny_model)
    assert loaded.vq_model is tiny_model


def test_a_repository_of_the_hub_that_is_not_complete_is_refused(tiny_model, tmp_path, monkeypatch):
    state = tiny_model.state_dict()
    del state["backbone.decoder.conv_out.weight"]
    pyratok.PyraTokReconstructionPipeline(tiny_model).save_pretrained(tmp_path / "broken")
    tiny_model.save_pretrained(tmp_path / "broken", state_dict=state)
    downloaded = classmethod(lambda cls, name, **options: str(tmp_path / "broken"))
    monkeypatch.setattr(pyratok.PyraTokReconstructionPipeline, "download", downloaded)
    with pytest.raises(pyratok.PyraTokError, match="is not complete"):
        pyratok.PyraTokReconstructionPipeline.from_pretrained("someone/broken")
