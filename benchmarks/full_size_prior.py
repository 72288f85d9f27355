"""Language at full size: the text tower of Qwen2.5-VL-3B as text encoder and as body of the prior, with random weights.

    python benchmarks/full_size_prior.py

The shapes are the real ones, in bfloat16; a tokenizer of words is not needed, for the words are random numbers.
"""

import time
from collections.abc import Mapping
from typing import Any

import torch
from full_size import millions
from measuring import in_own_process, print_table
from transformers import CONFIG_MAPPING, AutoModel

from pyratok import PyraTokConfig, PyraTokPrior, PyraTokPriorConfig
from pyratok.modeling_pyratok.binary_codebook import codes_to_bits
from pyratok.modeling_pyratok.prior_generation import GenerationRequest, generate_codes

QWEN: dict[str, Any] = {
    "model_type": "qwen2_5_vl_text",
    "hidden_size": 2048,
    "intermediate_size": 11008,
    "num_hidden_layers": 36,
    "num_attention_heads": 16,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128000,
    "vocab_size": 151936,
    "tie_word_embeddings": True,
    "rope_parameters": {"rope_type": "default", "mrope_section": [16, 24, 24], "rope_theta": 1000000.0},
}
"""`text_config` of Qwen/Qwen2.5-VL-3B-Instruct."""

FULL = PyraTokConfig()
PRIOR: dict[str, Any] = {
    "level_strides": FULL.level_strides,
    "spatial_multiple": FULL.spatial_multiple,
    "codebook_size": FULL.hidden_size,
    "text_hidden_size": FULL.text_hidden_size,
    "head_size": 512,
}
WORDS, VIDEO = 32, (5, 64, 64)


@torch.no_grad()
def text_tower(body: Mapping[str, Any]) -> list[list[str]]:
    """Rows on the text model as text encoder."""
    model = _random_body(body)
    words = torch.randint(model.config.vocab_size, (1, WORDS), generator=torch.Generator().manual_seed(0))
    started = time.perf_counter()
    embeds = model(input_ids=words, use_cache=False).last_hidden_state
    return [
        ["text encoder", f"{type(model).__name__}, {millions(model.parameters())}"],
        ["embeddings, finite", f"{tuple(embeds.shape)}, {bool(embeds.isfinite().all())}"],
        [f"{WORDS} words", f"{time.perf_counter() - started:.1f} s"],
    ]


def prior(body: Mapping[str, Any], settings: Mapping[str, Any], video: tuple[int, int, int]) -> list[list[str]]:
    """Rows on the prior with that body: its likelihoods and their gradient in the tokens, and drawing with the cache."""
    config = PyraTokPriorConfig(body_config=dict(body), **settings)
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    try:
        model = PyraTokPrior(config).eval().requires_grad_(False)
    finally:
        torch.set_default_dtype(torch.float32)
    text = torch.randn(1, WORDS, config.text_hidden_size, dtype=torch.bfloat16)
    started = time.perf_counter()
    codes = generate_codes(
        model, GenerationRequest(video, text_embeds=text), generator=torch.Generator().manual_seed(0)
    )
    drawn = time.perf_counter()
    count = sum(level.numel() for level in codes)
    bits = [codes_to_bits(level, config.codebook_bits, torch.bfloat16).requires_grad_() for level in codes]
    model(video_bits=bits, video_size=video, text_embeds=text).loss.backward()
    reached = [bool(level.grad is not None and level.grad.abs().sum() > 0) for level in bits]
    score = model.score(codes, video, text)
    return [
        ["prior", f"{type(model.body).__name__}, {millions(model.parameters())}"],
        ["of these outside the body", millions(w for n, w in model.named_parameters() if not n.startswith("body."))],
        [f"{count} tokens drawn with the cache", f"{drawn - started:.1f} s"],
        ["levels whose tokens get a gradient of L_AR", ", ".join(str(i) for i, r in enumerate(reached, 1) if r)],
        ["bits per token of each level", ", ".join(f"{float(level):.2f}" for level in score)],
    ]


def _random_body(body: Mapping[str, Any]) -> torch.nn.Module:
    options = dict(body)
    config = CONFIG_MAPPING[options.pop("model_type")](**options)
    torch.manual_seed(0)
    return AutoModel.from_config(config, dtype=torch.bfloat16).eval()


def main() -> None:
    """Run and print; each part in a process of its own, because a process's peak memory never falls."""
    rows = []
    for function, arguments in ((text_tower, (QWEN,)), (prior, (QWEN, PRIOR, VIDEO))):
        part, megabytes = in_own_process(function, *arguments)
        rows += [*part, ["peak memory over the imports", f"{megabytes / 1024:.1f} GB"]]
    print_table("language at full size", ["", ""], rows)


if __name__ == "__main__":
    main()
