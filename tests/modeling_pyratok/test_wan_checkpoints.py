"""Wan's own checkpoints, 2.1 and 2.2, and diffusers' files and folders, as backbones: every weight bit for bit."""

import pytest
import torch
from diffusers import AutoencoderKLWan
from diffusers.loaders.single_file_utils import convert_wan_vae_to_diffusers
from foreign_checkpoints import TINY_2_1, TINY_2_2, WAN_2_1, random_vae, wan_names
from safetensors.torch import load_file, save_file

from pyratok import PyraTokConfig, PyraTokError, PyraTokModel
from pyratok.configuration.backbone_shapes import WAN_2_1_VAE, WAN_2_2_VAE
from pyratok.modeling_pyratok.backbone_loading import load_backbone
from pyratok.modeling_pyratok.backbone_shape import backbone_shape
from pyratok.modeling_pyratok.lora import plain_state_dict

SMALL = {"hidden_size": 16, "num_attention_heads": 2, "text_hidden_size": 4, "text_encoder": None, "lora_rank": 2}
LAYOUTS = pytest.mark.parametrize("settings", [TINY_2_1, TINY_2_2], ids=["2.1", "2.2"])


@LAYOUTS
@pytest.mark.parametrize("form", ["Wan's file", "diffusers' file", "diffusers' folder"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_form_keeps_the_weights_and_makes_the_whole_way(settings, form, dtype, tmp_path):
    vae = random_vae(settings).to(dtype)
    vae.save_pretrained(tmp_path)
    source = {
        "Wan's file": tmp_path / "Wan_VAE.safetensors",
        "diffusers' file": tmp_path / "diffusion_pytorch_model.safetensors",
        "diffusers' folder": tmp_path,
    }[form]
    save_file(wan_names(vae), tmp_path / "Wan_VAE.safetensors")
    options = {"dtype": dtype} if source.is_dir() else None
    model = PyraTokModel.from_backbone(source, options, **SMALL)
    kept = plain_state_dict(model.backbone)
    assert model.dtype == dtype and kept.keys() == vae.state_dict().keys()
    assert all(torch.equal(kept[name], tensor) for name, tensor in vae.state_dict().items())
    video = torch.rand(1, 5, 3, 32, 48) * 2 - 1
    encoded = model.encode(video)
    assert model.decode(encoded.video_codes, encoded.video_size).video_values.shape == video.shape


def test_wan_2_1_fits_the_defaults_and_one_grid_for_all_levels():
    """Strides (4, 8) everywhere is the latent's own grid: nothing needs to enter the decoder beside the latent."""
    vae = random_vae(TINY_2_1)
    assert PyraTokModel.from_backbone(vae, **SMALL).config.level_strides == ((4, 8), (4, 8), (4, 16), (4, 16))
    model = PyraTokModel.from_backbone(vae, level_strides=((4, 8),) * 4, **SMALL)
    assert not model.fusion.laterals
    encoded = model.encode(torch.rand(1, 9, 3, 40, 24) * 2 - 1)
    assert {tuple(codes.shape) for codes in encoded.video_codes} == {(1, 3, 5, 3)}


@pytest.mark.parametrize("true_shape", [WAN_2_1_VAE, WAN_2_2_VAE], ids=["2.1", "2.2"])
def test_the_true_shapes_are_read_off_the_tensors(true_shape):
    with torch.device("meta"):
        vae = AutoencoderKLWan(**true_shape)
    shapes = {name: tuple(tensor.shape) for name, tensor in vae.state_dict().items()}
    found = backbone_shape("file", shapes)
    expected = {"decoder_base_dim": true_shape["base_dim"], "patch_size": None} | true_shape
    assert found | {"attn_scales": [], "dropout": 0.0} == expected | {"attn_scales": [], "dropout": 0.0}


def test_the_names_of_wan_2_1_are_those_that_diffusers_knows():
    with torch.device("meta"):
        vae = AutoencoderKLWan(**WAN_2_1)
    names = wan_names(vae)
    assert len(names) == 194 and convert_wan_vae_to_diffusers(names).keys() == vae.state_dict().keys()


BLOCK = "encoder.downsamples.{}.downsamples.{}.residual.2.weight"


@pytest.fixture
def tensors() -> dict[str, torch.Tensor]:
    return wan_names(random_vae(TINY_2_2))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("encoder.conv1.weight"), "no Wan VAE"),
        (lambda t: t.pop("conv2.weight"), "post_quant_conv.weight is not there"),
        (lambda t: t.pop("decoder.head.2.bias"), r"1 missing \(decoder.conv_out.bias\)"),
        (lambda t: [t.pop(name) for name in list(t) if name.endswith("residual.0.gamma")], "24 missing .* and 21 more"),
        (lambda t: t.update({"model.ema": torch.ones(1)}), r"1 not known \(model.ema\)"),
        (lambda t: t.update({"a\n\x1b[31mb": torch.ones(1)}), r"1 not known \('a\\n\\x1b\[31mb'\)"),
        (lambda t: t.update({"lapq_text_mlp.0.bias": torch.ones(1)}), "pyratok convert"),
        (lambda t: t.update({"quant_conv.bias": torch.ones(12)}), "two tensors for one"),
        (lambda t: t.update({"decoder.upsamples.x.residual.0.gamma": torch.ones(1)}), "names like Wan's"),
        (lambda t: t.update({"conv1.bias": torch.ones(3)}), r"conv1.bias is \(3,\) instead of \(12,\)"),
        (lambda t: t.update({"encoder.conv1.weight": torch.ones(8)}), r"encoder.conv_in.weight is \(8,\)"),
        (lambda t: t.update({"encoder.conv1.weight": torch.ones(1 << 20, 12, 1, 1, 1)}), "dim_mult"),
        (lambda t: t.update({"conv2.weight": torch.ones(0, 6, 1, 1, 1)}), "empty tensor conv2.weight"),
        (lambda t: t.update({"conv1.bias": torch.ones(12, dtype=torch.int64)}), "conv1.bias as I64"),
        (lambda t: t.update({"encoder.downsamples.9.downsamples.0.residual.2.weight": torch.ones(8)}), "30 missing"),
        (lambda t: t.update({BLOCK.format(i, 0): torch.ones(1) for i in range(2_000)}), "2000 stages with 2004"),
        (lambda t: t.update({BLOCK.format(0, i): torch.ones(1) for i in range(300)}), "4 stages with 306"),
        (lambda t: t.update({f"encoder.downsamples.{'9' * 5000}.downsamples.0.residual.2.weight": torch.ones(8)}), "known"),
    ],
)  # fmt: skip
def test_tensors_that_make_no_vae_are_refused(tensors, tmp_path, change, message):
    change(tensors)
    save_file(tensors, tmp_path / "vae.safetensors")
    with pytest.raises(PyraTokError, match=message) as refusal:
        PyraTokModel.from_backbone(tmp_path / "vae.safetensors", **SMALL)
    assert len(str(refusal.value)) < 1_000 and str(refusal.value).isprintable()


def test_downsamplings_without_number_are_refused_in_one_sentence():
    shapes = {name: tuple(tensor.shape) for name, tensor in random_vae(TINY_2_1).state_dict().items()}
    shapes |= {f"encoder.down_blocks.{index}.resample.1.weight": (1,) for index in range(100, 3_000)}
    with pytest.raises(PyraTokError, match="2903 stages") as refusal:
        backbone_shape("file", shapes)
    assert len(str(refusal.value)) < 1_000


def test_several_types_become_the_one_that_holds_all(tensors, tmp_path):
    tensors["conv2.bias"] = tensors["conv2.bias"].to(torch.bfloat16)
    save_file(tensors, tmp_path / "vae.safetensors")
    vae = load_backbone(tmp_path / "vae.safetensors")
    assert vae.dtype == torch.float32
    assert torch.equal(vae.post_quant_conv.bias, tensors["conv2.bias"].float())


@pytest.mark.parametrize("name", ["Wan2.1_VAE.pth", "vae.pt", "vae.ckpt", "vae.BIN"])
def test_pickles_are_refused_with_the_way_to_safetensors(tmp_path, name):
    torch.save({}, tmp_path / name)
    with pytest.raises(PyraTokError, match=r"pickle.*safetensors.torch.save_file"):
        PyraTokModel.from_backbone(tmp_path / name)


def test_a_folder_with_a_pickle_is_not_unpickled(tmp_path):
    vae = random_vae(TINY_2_1)
    vae.save_pretrained(tmp_path, safe_serialization=False)
    with pytest.raises(OSError, match="safetensors"):
        PyraTokModel.from_backbone(tmp_path, **SMALL)


@pytest.mark.parametrize("damage", ["missing", "unknown"])
def test_a_folder_whose_tensors_are_not_its_own_is_refused(tmp_path, damage):
    """diffusers only warns of them, and leaves those that are missing without values."""
    random_vae(TINY_2_1).save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "diffusion_pytorch_model.safetensors")
    tensors.pop("encoder.conv_in.bias") if damage == "missing" else tensors.update(other=torch.ones(1))
    save_file(tensors, tmp_path / "diffusion_pytorch_model.safetensors")
    with pytest.raises(PyraTokError, match="1 missing" if damage == "missing" else "1 not known"):
        PyraTokModel.from_backbone(tmp_path, **SMALL)


def test_files_that_are_none_are_refused(tmp_path, tensors):
    (tmp_path / "text.safetensors").write_text("This is no checkpoint. " * 10)
    with pytest.raises(PyraTokError, match="damaged, or no safetensors"):
        PyraTokModel.from_backbone(tmp_path / "text.safetensors")
    save_file(tensors, tmp_path / "whole.safetensors")
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "whole.safetensors").read_bytes()[:-100])
    with pytest.raises(PyraTokError, match="damaged"):
        PyraTokModel.from_backbone(tmp_path / "cut.safetensors")
    with pytest.raises(PyraTokError, match="no file or folder"):
        PyraTokModel.from_backbone(str(tmp_path / "nothing.safetensors"))
    with pytest.raises(PyraTokError, match=r"no file or folder .* what ends in .pt cannot be a Hub id"):
        PyraTokModel.from_backbone("owner/wan.pt")
    with pytest.raises(PyraTokError, match="no loading options"):
        PyraTokModel.from_backbone(tmp_path / "whole.safetensors", {"subfolder": "vae"})


def test_a_folder_may_be_called_like_a_file(tmp_path):
    vae = random_vae(TINY_2_1)
    vae.save_pretrained(tmp_path / "wan.safetensors/vae")
    model = PyraTokModel.from_backbone(tmp_path / "wan.safetensors", {"subfolder": "vae"}, **SMALL)
    assert torch.equal(model.backbone.quant_conv.weight, vae.quant_conv.weight)


def test_a_configuration_that_does_not_fit_the_vae_is_refused():
    with pytest.raises(PyraTokError, match="do not fit the VAE: level 4 taps stage 5, but"):
        PyraTokModel.from_backbone(random_vae(TINY_2_1), level_stages=(1, 2, 3, 5), **SMALL)


def test_a_residual_configuration_takes_a_backbone_too():
    vae = random_vae(TINY_2_1)
    config = PyraTokConfig.residual(TINY_2_1).to_dict()
    names = ("quantizer", "codebook_bits", "hidden_size", "num_attention_heads", "level_stages", "level_strides")
    model = PyraTokModel.from_backbone(vae, lora_rank=0, **{name: config[name] for name in names})
    assert torch.equal(model.backbone.quant_conv.weight, vae.quant_conv.weight)
