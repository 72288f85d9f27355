"""Causal language models of a few thousand weights, with a tokenizer of single bytes."""

from pathlib import Path

import torch
from tiny_text import byte_tokenizer
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Config,
    Qwen2ForCausalLM,
)

WIDTH = 32
TEXT = {
    "vocab_size": 300,
    "hidden_size": WIDTH,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "bos_token_id": None,
    "eos_token_id": 256,
}
VISION = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": WIDTH}
ROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]}
CHAT_TEMPLATE = (
    "[talk]{% for message in messages %}[{{ message['role'] }}]{{ message['content'] }}[end]{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)


def tiny_language_model(kind: str = "qwen2") -> PreTrainedModel:
    """ "qwen2", or "qwen2_5_vl", which could see pictures as well. Weights are large enough to make answers differ."""
    torch.manual_seed(0)
    if kind == "qwen2":
        model = Qwen2ForCausalLM(Qwen2Config(**TEXT))
    else:
        config = Qwen2_5_VLConfig(text_config={**TEXT, "rope_parameters": ROPE}, vision_config=VISION)
        model = Qwen2_5_VLForConditionalGeneration(config)
    for weight in model.parameters():
        if weight.dim() > 1:
            torch.nn.init.normal_(weight, std=0.3)
    return model.eval().requires_grad_(False)


def language_tokenizer(chat_template: str | None = None) -> PreTrainedTokenizerFast:
    tokenizer = byte_tokenizer()
    tokenizer.add_special_tokens({"eos_token": "<end>"})  # id 256
    tokenizer.chat_template = chat_template
    return tokenizer


def save_language_model(folder: Path, kind: str = "qwen2", chat_template: str | None = None) -> Path:
    tiny_language_model(kind).save_pretrained(folder)
    language_tokenizer(chat_template).save_pretrained(folder)
    return folder
