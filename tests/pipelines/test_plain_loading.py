"""`DiffusionPipeline.from_pretrained` of PyraTok repositories: what the class of the repository takes, refuses and checks."""

import pytest
import torch
from diffusers import DDPMPipeline, DDPMScheduler, DiffusionPipeline, UNet2DModel
from safetensors.torch import load_file, save_file
from tiny_repository import tiny_text_to_video

from pyratok import PyraTokError, PyraTokReconstructionPipeline, PyraTokTextToVideoPipeline
from pyratok.pipelines.diffusers_registration import register_with_diffusers


@pytest.fixture
def folder(tmp_path):
    tiny_text_to_video().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_the_class_that_the_repository_names_is_loaded(folder):
    pipeline = DiffusionPipeline.from_pretrained(
        folder, torch_dtype={"prior": torch.bfloat16, "default": torch.float32}
    )
    assert type(pipeline) is PyraTokTextToVideoPipeline
    assert (pipeline.prior.dtype, pipeline.vq_model.dtype) == (torch.bfloat16, torch.float32)
    given = PyraTokReconstructionPipeline.from_pretrained(folder).vq_model
    assert DiffusionPipeline.from_pretrained(str(folder), vq_model=given).vq_model is given


def test_variants_of_all_parts(folder):
    other = tiny_text_to_video()
    with torch.no_grad():
        for part in (other.vq_model, other.prior):
            next(part.parameters()).add_(1)
    other.save_pretrained(folder, variant="ema")
    main, ema = (DiffusionPipeline.from_pretrained(folder, variant=variant) for variant in (None, "ema"))
    for name in ("vq_model", "prior"):
        stored = getattr(other, name).state_dict()
        assert all(torch.equal(getattr(ema, name).state_dict()[key], tensor) for key, tensor in stored.items())
        assert any(not torch.equal(getattr(main, name).state_dict()[key], tensor) for key, tensor in stored.items())


@pytest.mark.parametrize("part", [".", "prior"])
def test_gaps_in_weights_are_not_filled(folder, part):
    weights = load_file(folder / part / "model.safetensors")
    weights.pop(sorted(weights)[0])
    save_file(weights, folder / part / "model.safetensors", {"format": "pt"})
    with pytest.raises(PyraTokError, match="not complete"):
        DiffusionPipeline.from_pretrained(folder)


def test_a_pickle_is_not_opened(folder):
    place = folder / "text_encoder"
    torch.save(load_file(place / "model.safetensors"), place / "pytorch_model.bin")
    (place / "model.safetensors").unlink()
    with pytest.raises((OSError, ValueError), match="model.safetensors"):
        DiffusionPipeline.from_pretrained(folder)
    with pytest.raises(PyraTokError, match="use_safetensors=False"):
        DiffusionPipeline.from_pretrained(folder, use_safetensors=False)


def test_other_pipelines_load_as_ever(tmp_path):
    network = UNet2DModel(8, block_out_channels=(32,), down_block_types=["DownBlock2D"], up_block_types=["UpBlock2D"])
    DDPMPipeline(network, DDPMScheduler()).save_pretrained(tmp_path / "other")
    register_with_diffusers()  # twice
    assert type(DiffusionPipeline.from_pretrained(tmp_path / "other")) is DDPMPipeline
    with pytest.raises(OSError, match="model_index.json"):
        DiffusionPipeline.from_pretrained(tmp_path)
