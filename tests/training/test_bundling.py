"""The bundled model is replaced by a checked one, or stays."""

import shutil
import stat
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import pyratok
from pyratok.pipelines.model_loading import load_model
from pyratok.training import bundling
from pyratok.training.bundling import bundle, main


@pytest.fixture
def source(tiny_model, tmp_path) -> Path:
    folder = tmp_path / "run" / "model"
    tiny_model.save_pretrained(folder)
    return folder


@pytest.fixture
def target(source, tmp_path) -> Path:
    """A bundled model with a card and the figures of before."""
    folder = tmp_path / "package" / "pyratok"
    folder.mkdir(parents=True)
    (folder / "README.md").write_text("# Card")
    (folder / "evaluation.json").write_text("{}")
    bundle(source, folder)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_bundled_model(source, target, tiny_model, tmp_path):
    names = {"README.md", "config.json", "model.safetensors", "model_index.json", "preprocessor_config.json"}
    assert set(contents(target)) == names  # figures of another model are gone
    assert (target / "README.md").read_text() == "# Card"
    assert stat.S_IMODE((target / "model.safetensors").stat().st_mode) == 0o644
    assert {value.dtype for value in load_file(target / "model.safetensors").values()} == {torch.float16}
    model = load_model(target)
    for ours, theirs in zip(model.parameters(), tiny_model.parameters(), strict=True):
        assert ours.dtype == torch.float32
        assert torch.equal(ours, theirs.half().float())
    assert not any(str(tmp_path).encode() in content for content in contents(target).values())
    (tmp_path / "figures.json").write_text('{"psnr": 30}')
    bundle(source, target, tmp_path / "figures.json")
    assert (target / "evaluation.json").read_text() == '{"psnr": 30}'
    assert list(target.parent.iterdir()) == [target]


def test_a_prior_and_an_alignment_go_with_the_model(source, target, tmp_path, monkeypatch):
    (target / "text_encoder").mkdir()
    (target / "text_encoder" / "kept").write_text("as it is")
    torch.manual_seed(0)
    sizes = {"text_hidden_size": 384, "head_size": 4000}
    prior = pyratok.PyraTokPrior(pyratok.PyraTokPriorConfig.tiny(text_encoder="pyratok", **sizes))
    alignment = pyratok.PyraTokTextAlignment(pyratok.PyraTokTextAlignmentConfig(codebook_size=16))
    projector = pyratok.PyraTokTokenProjector(pyratok.PyraTokTokenProjectorConfig(codebook_size=16))
    components = {"prior": prior, "alignment": alignment, "projector": projector}
    for name, component in components.items():
        component.save_pretrained(source.parent / name)
    bundle(source, target)
    for name, component in components.items():
        stored = load_file(target / name / "model.safetensors")
        assert {value.dtype for value in stored.values()} == {torch.float16}
        again = type(component).from_pretrained(target / name, dtype=torch.float32)
        for ours, theirs in zip(again.parameters(), component.parameters(), strict=True):
            assert torch.equal(ours, theirs.half().float())
    assert set(contents(target / "text_encoder")) == {"kept"}
    encoder = pyratok.load_text_encoder("pyratok")
    parts = {"text_encoder": encoder.model, "tokenizer": encoder.tokenizer}
    pipeline = pyratok.PyraTokTextToVideoPipeline.from_pretrained(target, **parts)
    assert pipeline("a dog", num_frames=5, height=32, width=32).frames.shape == (1, 5, 32, 32, 3)
    assert pyratok.PyraTokReconstructionPipeline.from_pretrained(target).vq_model.config == pipeline.vq_model.config
    before = contents(target / "prior")
    beside = sum(len(c) for name in components for c in contents(target / name).values())
    with (
        monkeypatch.context() as patch,
        pytest.raises(pyratok.PyraTokError, match="prior with what lies beside takes"),
    ):
        patch.setattr(bundling, "MAX_BYTES", beside - 1)
        bundle(source, target)
    assert contents(target / "prior") == before
    pyratok.PyraTokPrior(pyratok.PyraTokPriorConfig.tiny(text_encoder="mine")).save_pretrained(source.parent / "prior")
    with pytest.raises(pyratok.PyraTokError, match="text encoder"):
        bundle(source, target)
    for name in ("prior", "alignment"):
        shutil.rmtree(source.parent / name)
    bundle(source, target)
    assert not (target / "prior").exists() and not (target / "alignment").exists()  # they were of other tokens


def test_what_the_card_links_to_is_new_or_stays(source, target, tmp_path):
    (target / "README.md").write_text(
        "![curves](curves.png), [figures](evaluation.json#all), [site](https://x.org/a.png)"
    )
    (target / "evaluation.json").write_text("{}")
    (tmp_path / "new.png").write_bytes(b"new curves")
    bundle(source, target, curves=tmp_path / "new.png")
    assert (contents(target)["curves.png"], contents(target)["evaluation.json"]) == (b"new curves", b"{}")
    bundle(source, target)
    assert contents(target)["curves.png"] == b"new curves"


@pytest.mark.parametrize("link", ["curves.png", "../run/model/config.json", "plots/curves.png#first"])
def test_a_dead_link_in_the_card_is_refused(source, target, link):
    (target / "README.md").write_text(f"![curves]({link})")
    before = contents(target)
    with pytest.raises(pyratok.PyraTokError, match=f"the card links to '{link.partition('#')[0]}'"):
        bundle(source, target)
    assert contents(target) == before


def test_what_cannot_be_bundled_leaves_the_old_model(source, target, monkeypatch):
    before = contents(target)
    weights = load_file(source / "model.safetensors")
    name = next(iter(weights))
    for wrong, message in (
        ({**weights, name: torch.full_like(weights[name], 1e6)}, f"{name} do not fit into float16"),
        ({key: value for key, value in weights.items() if key != name}, "not complete"),
    ):
        save_file(wrong, source / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(pyratok.PyraTokError, match=message):
            bundle(source, target)
    save_file(weights, source / "model.safetensors", metadata={"format": "pt"})
    monkeypatch.setattr(bundling, "MAX_BYTES", 1000)
    with pytest.raises(pyratok.PyraTokError, match="the bundled model takes"):
        bundle(source, target)
    assert contents(target) == before
    assert list(target.parent.iterdir()) == [target]


def test_the_command_line_says_what_is_wrong(tmp_path, capsys):
    assert main([str(tmp_path)]) == 2
    assert "error: " in capsys.readouterr().err


@pytest.mark.parametrize("option", [[], ["--curves"]], ids=["figures", "curves"])
def test_the_command_line_names_a_file_that_is_missing(source, target, monkeypatch, capsys, option):
    monkeypatch.setattr(bundling, "bundle", partial(bundle, target=target))
    before = contents(target)
    assert main([str(source), *option, "nowhere.file"]) == 2
    assert "error: 'nowhere.file' cannot be copied: no such file" in capsys.readouterr().err
    assert contents(target) == before
