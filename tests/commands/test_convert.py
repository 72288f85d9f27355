"""`pyratok convert`: the authors' checkpoint at its true shapes, Wan's VAEs, and files made to attack."""

import json
import shutil
import struct

import pytest
import torch
from foreign_checkpoints import TINY_2_1, TINY_2_2, WAN_2_1, authors_checkpoint, authors_indices, random_vae, wan_names
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from pyratok import PyraTokModel, VideoTokens, read_video
from pyratok.commands.app import app
from pyratok.modeling_pyratok.residual_checkpoint import their_name
from pyratok.pipelines.model_loading import load_model


@torch.no_grad()
def test_the_authors_checkpoint_at_its_true_shapes(run, work_folder):
    """All 246 tensors are used; codes are the authors' indices, pictures those of their decoder, to 1e-5."""
    vae = random_vae(WAN_2_1)
    state = authors_checkpoint(vae, text_width=2560, hidden=1024, width=256)
    assert len(state) == 246
    save_file(state, "authors.safetensors")
    said = " ".join(run("convert", "authors.safetensors", "model").stdout.split())
    assert "the authors' checkpoint" in said and "246, all" in said and "residual" in said
    model = load_model("model")
    assert model.config.text_hidden_size == 2560 and model.config.residual_text_sizes == (1024, 256)

    stored = {their_name(name): tensor for name, tensor in model.state_dict().items()}
    stored.pop(None)
    tables = {name for name in state if name.endswith(("bitmask", "codebook"))}
    assert stored.keys() == state.keys() - tables and len(tables) == 8
    assert all(torch.equal(stored[name], state[name]) for name in stored)  # so it could be converted back

    video = torch.rand(1, 5, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    indices, latent = authors_indices(state, vae.encode(video.transpose(1, 2)).latent_dist.mode())
    encoded = model.encode(video, torch.randn(1, 3, 2560))
    assert all(map(torch.equal, encoded.video_codes, indices))
    assert 0.05 < vae.decode(latent).sample.std() < 0.9  # not all cut off at -1 and 1
    assert len({tuple(codes.flatten().tolist()) for codes in indices}) == 4
    decoded = model.decode(encoded.video_codes, encoded.video_size).video_values
    torch.testing.assert_close(decoded, vae.decode(latent).sample.transpose(1, 2), atol=1e-5, rtol=0)


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    return authors_checkpoint(random_vae(TINY_2_1))


def authors_folder(state: dict[str, torch.Tensor], folder, **settings) -> None:
    folder.mkdir()
    save_file(state, folder / "diffusion_pytorch_model.safetensors")
    (folder / "config.json").write_text(json.dumps({"_class_name": "AutoencoderKLPyraTok", **settings}))


@pytest.mark.parametrize(("heads", "expected"), [(3, 3), (None, 6), ("absent", 2)])
def test_a_folder_says_how_many_heads_the_attention_has(run, state, work_folder, heads, expected):
    """Its tensors do not show it; with another scale than the published one it decides what the text does."""
    authors_folder(state, work_folder / "vae", **({} if heads == "absent" else {"lapq_text_condition_heads": heads}))
    run("convert", "vae", "model")
    model = PyraTokModel.from_pretrained("model", residual_text_scale=0.7).eval()
    video, text = torch.rand(1, 5, 3, 16, 16) * 2 - 1, torch.randn(1, 4, 10)
    with torch.no_grad():
        latent = random_vae(TINY_2_1).encode(video.transpose(1, 2)).latent_dist.mode()
    indices, _ = authors_indices(state, latent, text, scale=0.7, heads=expected)
    assert all(map(torch.equal, model.encode(video, text).video_codes, indices))


def test_what_is_converted_works_at_the_command_line(run, state, work_folder, film):
    save_file({name: t.bfloat16() if t.is_floating_point() else t for name, t in state.items()}, "authors.safetensors")
    run("convert", "authors.safetensors", "model")
    run("convert", "authors.safetensors", "model")  # again, over what is there
    assert "bits per token" in run("info", "model").stdout
    run("encode", film, "tokens.safetensors", "--model", "model", "--levels", "1,2")
    assert VideoTokens.load("tokens.safetensors").video_codes[3] is None
    run("decode", "tokens.safetensors", "out.mkv", "--model", "model")
    assert read_video("out.mkv")[0].shape == (7, 38, 52, 3)


@pytest.mark.parametrize(("settings", "version"), [(TINY_2_1, "2.1"), (TINY_2_2, "2.2")])
@pytest.mark.parametrize("layout", ["Wan", "diffusers"])
def test_a_vae_of_wan_becomes_a_tokenizer_to_train(run, work_folder, settings, version, layout):
    vae = random_vae(settings)
    statistics = {"latents_mean": [0.5] * 6, "latents_std": [2.0] * 6}
    vae.register_to_config(**statistics)
    if layout == "Wan":
        save_file(wan_names(vae), "vae.safetensors")
    else:
        vae.save_pretrained("vae.safetensors")  # a folder
    said = " ".join(run("convert", "vae.safetensors", "model").stdout.split())
    assert f"like Wan {version} in " in said and f" {layout}'" in said and "train them before use" in said
    model = load_model("model")
    assert torch.equal(model.backbone.decoder.conv_in.weight, vae.decoder.conv_in.weight)
    assert (model.config.backbone_config.get("latents_mean") == statistics["latents_mean"]) == (layout == "diffusers")
    run("convert", "vae.safetensors", "again", "--seed", "0")
    run("convert", "vae.safetensors", "other", "--seed", "1")
    assert load_model("again").weights_fingerprint() == model.weights_fingerprint()
    assert load_model("other").weights_fingerprint() != model.weights_fingerprint()


LAYER = "lapq_quantizer.layers.2."


def half_of_a_matrix() -> torch.Tensor:
    """Two of them name the height and the width of a matrix of 144 TB, which no machine can allocate."""
    return torch.zeros(6_000_000, 1, dtype=torch.float16)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop(f"{LAYER}cross_attn.in_proj_bias"), "1 missing (lapq_quantizer.layers.2.cross_attn.in_proj_bias)"),
        (lambda s: s.pop(f"{LAYER}bitmask"), "1 missing"),
        (lambda s: s.pop("lapq_text_mlp.0.weight"), "no matrix lapq_text_mlp.0.weight"),
        (lambda s: [s.pop(n) for n in list(s) if n.startswith("lapq_quantizer")], "at least one"),
        (lambda s: [s.pop(n) for n in list(s) if n.startswith("decoder.up_blocks")], "more)"),
        (lambda s: s.update({"lapq_quantizer.extra": torch.ones(1)}), "1 not known (lapq_quantizer.extra)"),
        (lambda s: s.update({"discriminator.weight": torch.ones(1)}), "1 not known (discriminator.weight)"),
        (lambda s: s.update({f"{LAYER}text_proj.weight": torch.ones(6, 4)}), "is (6, 4) instead of (6, 5)"),
        (lambda s: s.update({"lapq_text_mlp.2.weight": torch.ones(5)}), "no matrix lapq_text_mlp.2.weight"),
        (lambda s: s.update({f"lapq_quantizer.layers.{i}.bitmask": torch.ones(6) for i in range(17)}), "at most 16"),
        (lambda s: s.update({"lapq_quantizer.layers.9999.bitmask": torch.ones(6)}), "12 missing"),
        (lambda s: s.update({f"lapq_text_mlp.{i}.weight": half_of_a_matrix() for i in (0, 2)}), "(6000000, 6000000)"),
        (lambda s: s.update({f"{LAYER}codebook": s[f"{LAYER}codebook"].to(torch.complex64)}), "codebook, of type C64"),
        (lambda s: s.update({f"{LAYER}bitmask": s[f"{LAYER}bitmask"].double()}), "bitmask, of type F64"),
        (lambda s: [s.pop(n) for n in list(s) if n.startswith("lapq") and n != f"{LAYER}bitmask"], "no matrix"),
        (lambda s: [s.pop(n) for n in list(s) if n.startswith("lapq")] + [s.update(lapq_=torch.ones(1))], "no matrix"),
        (lambda s: s[f"{LAYER}bitmask"].copy_(s[f"{LAYER}bitmask"].flip(0)), "another code than signs"),
        (lambda s: s[f"{LAYER}codebook"][5].neg_(), "another code than signs"),
        (lambda s: s.update({f"{LAYER}query_norm.bias": torch.ones(6, dtype=torch.float64)}), "as F64"),
        (lambda s: s.update({"post_quant_conv.weight": torch.ones(1 << 22, 1, 1, 1, 1)}), "backbone_config['z_dim']"),
    ],
)  # fmt: skip
def test_tensors_that_do_not_fit_are_named(refused, state, tmp_path, change, message):
    change(state)
    save_file(state, tmp_path / "authors.safetensors")
    said = refused("convert", tmp_path / "authors.safetensors", "model")
    assert message in said and len(said) < 1_000


def header_of(path, change) -> None:
    """Write the file again with another header over the same bytes."""
    contents = path.read_bytes()
    (length,) = struct.unpack("<Q", contents[:8])
    header = json.loads(contents[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + contents[8 + length :])


@pytest.mark.parametrize(
    "change",
    [
        lambda h: h["encoder.conv_in.weight"].update(shape=[1 << 40, 3, 3, 3, 3]),
        lambda h: h["encoder.conv_in.weight"].update(data_offsets=[0, 1 << 60]),
        lambda h: h["encoder.conv_in.weight"].update(shape=[1 << 62, 0, 3, 3, 3], data_offsets=[0, 0]),
    ],
)
def test_sizes_that_the_file_does_not_hold_are_refused(refused, state, tmp_path, change):
    save_file(state, tmp_path / "authors.safetensors")
    header_of(tmp_path / "authors.safetensors", change)
    assert "damaged" in refused("convert", tmp_path / "authors.safetensors", "model")


def test_an_empty_tensor_of_a_huge_shape_is_refused(refused, state, tmp_path):
    state["encoder.conv_in.weight"] = torch.empty(1 << 40, 0)
    save_file(state, tmp_path / "authors.safetensors")
    assert "empty tensor" in refused("convert", tmp_path / "authors.safetensors", "model")


def test_files_that_are_none_are_refused(refused, state, tmp_path, clip):
    torch.save(state, tmp_path / "model.pt")
    assert "pickle" in refused("convert", tmp_path / "model.pt", "model")
    assert "damaged" in refused("convert", clip, "model")
    assert "no file or folder" in refused("convert", tmp_path / "nothing", "model")
    (tmp_path / "empty").mkdir()
    assert "no diffusion_pytorch_model.safetensors" in refused("convert", tmp_path / "empty", "model")
    torch.save(state, tmp_path / "empty/diffusion_pytorch_model.bin")
    assert "pickle" in refused("convert", tmp_path / "empty", "model")
    (tmp_path / "huge").write_bytes(struct.pack("<Q", 1 << 62))
    assert "damaged" in refused("convert", tmp_path / "huge", "model")


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ("{", "cannot be read"),
        ("[1]", "no settings"),
        ("[" * 100_000, "cannot be read"),
        ('{"lapq_text_condition_heads": 5}', "multiple of num_attention_heads"),
        ('{"lapq_text_condition_heads": "2; rm"}', "num_attention_heads"),
        ('{"lapq_text_condition_heads": 0}', "num_attention_heads"),
        (f'{{"a": "{"x" * (1 << 20)}"}}', "too large"),
    ],
)
def test_a_config_that_cannot_be_is_refused(refused, state, tmp_path, contents, message):
    authors_folder(state, tmp_path / "vae")
    (tmp_path / "vae/config.json").write_text(contents)
    assert message in refused("convert", tmp_path / "vae", "model")


def test_the_source_and_other_models_are_not_written_over(refused, run, state, work_folder):
    authors_folder(state, work_folder / "vae")
    assert "another model" in refused("convert", "vae", "vae")
    save_file(state, "model.safetensors")
    assert "is what is to be converted" in refused("convert", "model.safetensors", ".")
    (work_folder / "file").touch()
    assert "is a file" in refused("convert", "vae", "file")
    before = {path.name: path.read_bytes() for path in (work_folder / "vae").iterdir()}
    run("convert", "vae", "out/deep/model")
    assert {path.name: path.read_bytes() for path in (work_folder / "vae").iterdir()} == before
    assert {path.name for path in (work_folder / "out/deep/model").iterdir()} == {
        *("config.json", "model.safetensors", "model_index.json", "preprocessor_config.json")
    }


@pytest.mark.parametrize("name", ["model_index.json", "model.safetensors", "preprocessor_config.json"])
def test_files_of_other_projects_are_not_written_over(refused, state, work_folder, name):
    """A pipeline of diffusers has no config.json at its root."""
    save_file(state, "authors.safetensors")
    (work_folder / "wan").mkdir()
    (work_folder / "wan" / name).write_text('{"_class_name": "WanPipeline"}')
    assert f"another model, going by its {name}" in refused("convert", "authors.safetensors", "wan")


@pytest.mark.parametrize("name", ["README.md", "evaluation.json", "prior/config.json", "alignment/config.json"])
def test_what_describes_another_tokenizer_keeps_its_folder(refused, run, state, work_folder, name):
    save_file(state, "authors.safetensors")
    run("convert", "authors.safetensors", "model")
    (work_folder / "model/.gitattributes").touch()
    run("convert", "authors.safetensors", "model")  # nothing is there but the tokenizer itself
    (work_folder / "model" / name).parent.mkdir(exist_ok=True)
    (work_folder / "model" / name).write_text("{}")
    said = refused("convert", "authors.safetensors", "model")
    assert f"more than a tokenizer ({name.split('/')[0]})" in said


def test_a_folder_in_shards_is_read_whole(run, refused, work_folder):
    vae = random_vae(TINY_2_1)
    vae.save_pretrained("vae", max_shard_size="1MB")
    *_, last = sorted((work_folder / "vae").glob("*.safetensors"))
    assert not last.name.endswith("-00001.safetensors")
    run("convert", "vae", "model")
    assert torch.equal(load_file("model/model.safetensors")["backbone.quant_conv.bias"], vae.quant_conv.bias)
    shutil.copy(last, last.with_name("diffusion_pytorch_model-00009-of-00009.safetensors"))  # of an earlier save
    said = refused("convert", "vae", "other")
    assert "twice, the second time in 'diffusion_pytorch_model-00009-of-00009.safetensors'" in said


def test_a_vae_that_the_defaults_do_not_fit_is_refused(refused, tmp_path):
    three_stages = TINY_2_1 | {"dim_mult": [1, 2, 2], "temperal_downsample": [True, True]}
    save_file(random_vae(three_stages).state_dict(), tmp_path / "vae.safetensors")
    assert "level 4 taps stage 4, but" in refused("convert", tmp_path / "vae.safetensors", "model")


@pytest.mark.parametrize("values", [[10**400] * 6, [True] * 6, [0.5] * 5, [float("nan")] * 6, [1e300] * 6, 0.5])
def test_statistics_of_the_latents_that_are_none_are_left_out(run, work_folder, values):
    random_vae(TINY_2_1).save_pretrained("vae")
    config = json.loads((work_folder / "vae/config.json").read_text())
    (work_folder / "vae/config.json").write_text(json.dumps(config | {"latents_mean": values, "latents_std": [2] * 6}))
    run("convert", "vae", "model")
    backbone = json.loads((work_folder / "model/config.json").read_text())["backbone_config"]
    assert backbone["latents_std"] == [2] * 6 and backbone["latents_mean"] != values


@pytest.mark.parametrize("seed", [-1, 2**63, 2**64])
def test_seeds_that_torch_cannot_take_are_refused(work_folder, seed):
    save_file(random_vae(TINY_2_1).state_dict(), "vae.safetensors")
    result = CliRunner().invoke(app, ["convert", "vae.safetensors", "model", "--seed", str(seed)])
    assert (result.exit_code, result.stdout) == (2, "") and "Invalid value for '--seed'" in result.stderr
    assert not (work_folder / "model").exists()
