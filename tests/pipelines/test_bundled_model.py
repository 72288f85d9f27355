"""The id `pyratok`: what it resolves to, and how the model gets into the cache."""

import json
import os
from pathlib import Path

import pytest
import torch
from huggingface_hub import HfApi

import pyratok
from pyratok.pipelines import bundled_id_lookup, bundled_model
from pyratok.pipelines.bundled_model import BUNDLED_FOLDER, install_into_cache, resolve_model, shadowing_folder


@pytest.fixture
def bundle(tiny_model, tmp_path, monkeypatch) -> Path:
    """A tiny model in the place of the bundled one."""
    folder = tmp_path / "package" / "pyratok"
    pyratok.PyraTokReconstructionPipeline(tiny_model).save_pretrained(folder)
    (folder / "README.md").write_text("# Card")
    (folder / "__init__.py").touch()
    (folder / ".hidden").touch()
    monkeypatch.setattr(bundled_model, "BUNDLED_FOLDER", folder)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Relative paths and contents of all files, links followed."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_id_is_the_bundled_folder_whatever_lies_here(bundle, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert shadowing_folder() is None
    (tmp_path / "pyratok").mkdir()
    assert resolve_model("pyratok") == str(bundle)
    assert shadowing_folder() == tmp_path / "pyratok"
    with pytest.raises(pyratok.PyraTokError, match="config.json"):
        resolve_model("./pyratok")


def test_folders_and_hub_ids_stay_as_they_are(bundle):
    assert resolve_model(bundle) == str(bundle)
    assert resolve_model("somebody/tokenizer-2.0") == "somebody/tokenizer-2.0"
    for name in ("tokenizer", "a/b/c", "../elsewhere", "/nowhere", ""):
        with pytest.raises(pyratok.PyraTokError, match=r"no model|config\.json"):
            resolve_model(name)


def test_installing_writes_the_hubs_layout(bundle, tmp_path):
    snapshot = install_into_cache(tmp_path / "cache")
    repository = tmp_path / "cache" / "models--pyratok"
    assert snapshot.parent == repository / "snapshots"
    assert (repository / "refs" / "main").read_text() == snapshot.name and len(snapshot.name) == 40
    expected = contents(bundle)
    del expected["__init__.py"], expected[".hidden"]
    assert contents(snapshot) == expected
    links = [path for path in snapshot.iterdir() if path.is_symlink()]
    assert len(links) == len(expected) and not any(os.path.isabs(os.readlink(link)) for link in links)
    assert len(list((repository / "blobs").iterdir())) == len(set(expected.values()))


def test_installing_twice_changes_nothing_and_new_weights_replace_old_ones(bundle, tmp_path):
    cache = tmp_path / "cache"
    first = install_into_cache(cache)
    before = {path: path.lstat().st_mtime_ns for path in (cache / "models--pyratok" / "blobs").iterdir()}
    assert install_into_cache(cache) == first
    assert {path: path.lstat().st_mtime_ns for path in before} == before

    (bundle / "README.md").write_text("# Another card")
    second = install_into_cache(cache)
    assert second != first and not first.exists()
    assert [path.name for path in (cache / "models--pyratok" / "snapshots").iterdir()] == [second.name]
    assert (second / "README.md").read_text() == "# Another card"
    assert len(list((cache / "models--pyratok" / "blobs").iterdir())) == len(before)


def test_a_damaged_or_half_finished_install_is_mended(bundle, tmp_path):
    snapshot = install_into_cache(tmp_path)
    (snapshot / "config.json").unlink()
    (tmp_path / "models--pyratok" / "snapshots" / ".abc-123").mkdir()
    blob = (snapshot / "model.safetensors").resolve()
    blob.write_bytes(blob.read_bytes()[:100])
    assert install_into_cache(tmp_path) == snapshot
    assert contents(snapshot)["model.safetensors"] == (bundle / "model.safetensors").read_bytes()
    assert json.loads((snapshot / "config.json").read_text())["model_type"] == "pyratok"
    assert [path.name for path in snapshot.parent.iterdir()] == [snapshot.name]


def test_an_install_that_fails_leaves_the_old_model_whole(bundle, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    install_into_cache(cache)
    before = contents(cache / "models--pyratok")
    (bundle / "README.md").write_text("# Another card")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(bundled_model.shutil, "copyfile", fail)
    with pytest.raises(pyratok.PyraTokError, match="no space left on device"):
        install_into_cache(cache)
    assert contents(cache / "models--pyratok") == before


def test_a_cache_that_cannot_be_written_is_said(bundle, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(pyratok.PyraTokError, match="cannot install"):
        install_into_cache(tmp_path / "file")


def test_a_package_without_a_model_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(bundled_model, "BUNDLED_FOLDER", tmp_path)
    for call in (lambda: resolve_model("pyratok"), install_into_cache, pyratok.PyraTokReconstructionPipeline):
        with pytest.raises(pyratok.PyraTokError, match="holds no model"):
            call()


def test_the_pipeline_loads_the_bundled_model_by_its_id_and_by_default(bundle):
    for pipeline in (
        pyratok.PyraTokReconstructionPipeline(),
        pyratok.PyraTokReconstructionPipeline.from_pretrained("pyratok"),
    ):
        assert pipeline.model_id == "pyratok"


def test_only_the_bundled_id_is_looked_up_locally(monkeypatch):
    asked = []
    monkeypatch.setattr(HfApi, "resolve_revision", lambda self, repo_id, **options: asked.append((repo_id, options)))
    bundled_id_lookup.look_up_bundled_id_locally()
    bundled_id_lookup.look_up_bundled_id_locally()
    HfApi().resolve_revision("pyratok", revision="main")
    HfApi().resolve_revision("somebody/else", revision="main")
    assert asked == [
        ("pyratok", {"revision": "main", "local_files_only": True}),
        ("somebody/else", {"revision": "main"}),
    ]


# --- the real one


def test_the_bundled_model_is_complete_and_small():
    pyratok.PyraTokReconstructionPipeline.from_pretrained("pyratok")
    assert sum(path.stat().st_size for path in BUNDLED_FOLDER.glob("*.*")) <= 20e6
    beside = [*BUNDLED_FOLDER.glob("prior/*"), *BUNDLED_FOLDER.glob("alignment/*")]
    assert sum(path.name == "config.json" for path in beside) == 2
    assert sum(path.stat().st_size for path in beside) <= 20e6
    assert sum(path.stat().st_size for path in BUNDLED_FOLDER.glob("text_encoder/*")) <= 15e6


@pytest.mark.slow
def test_the_bundled_prior_knows_real_tokens_and_generates(clips):
    """Bounds against a broken model; what it reaches stands in its card."""
    pipeline = pyratok.PyraTokTextToVideoPipeline.from_pretrained("pyratok")
    frames = pyratok.read_video(clips["dog"], max_frames=9)[0][:, :64, :64].numpy()
    values = pyratok.PyraTokVideoProcessor()(frames)["pixel_values_videos"]
    codes = pipeline.vq_model.encode(values).video_codes
    text = pyratok.load_text_encoder("pyratok")(["a dog on the grass"])
    size = (9, 64, 64)
    for level, bits in enumerate(pipeline.prior.score(codes, size, text.embeds, text.mask), start=1):
        assert bits < 15, level
    noise = [torch.randint(2**16, level.shape, generator=torch.Generator().manual_seed(0)) for level in codes]
    assert all(bits > 16 for bits in pipeline.prior.score(noise, size, text.embeds, text.mask))
    one, other = (
        pipeline("a rabbit", num_frames=5, height=32, width=32, generator=torch.Generator().manual_seed(1)).frames
        for _ in range(2)
    )
    assert (one == other).all() and one.std() > 0.05  # a picture of something


def test_the_bundled_alignment_tells_captions_apart(clips):
    model = pyratok.PyraTokModel.from_pretrained(BUNDLED_FOLDER)
    alignment = pyratok.PyraTokTextAlignment.from_pretrained(BUNDLED_FOLDER / "alignment")
    frames = pyratok.read_video(clips["bunny"], max_frames=17)[0].numpy()
    codes = model.encode(pyratok.PyraTokVideoProcessor()(frames)["pixel_values_videos"]).video_codes
    captions = ["the rabbit stands on a meadow", "a man in front of a webcam, with a world map on the wall"]
    similar = alignment(codes, pyratok.load_text_encoder("pyratok")(captions).pooled())
    assert similar.shape == (1, 2) and similar[0, 0] > similar[0, 1]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["park", "dog"])
def test_the_bundled_model_reconstructs_clips_that_it_was_not_trained_on(clips, name):
    """The bounds guard against a broken model; what it reaches stands in its card."""
    frames, _ = pyratok.read_video(clips[name], max_frames=17)  # uint8 (17, H, W, 3)
    top, left = (frames.shape[1] - 144) // 2, (frames.shape[2] - 256) // 2
    original = frames[:, top : top + 144, left : left + 256].permute(0, 3, 1, 2) / 255
    output = pyratok.PyraTokReconstructionPipeline.from_pretrained("pyratok")(original, output_type="pt")
    psnr = -10 * torch.log10((output.frames[0] - original).square().mean())
    assert psnr > 22
    assert output.tokens.bits_per_pixel < 0.25
