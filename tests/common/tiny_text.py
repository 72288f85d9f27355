"""A text encoder of a few thousand weights, with a tokenizer of single bytes."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

HIDDEN_SIZE = 12


def byte_tokenizer() -> PreTrainedTokenizerFast:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: index for index, letter in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def tiny_text_model(hidden_size: int = HIDDEN_SIZE) -> BertModel:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=256,
        hidden_size=hidden_size,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=128,
    )
    return BertModel(config).eval()


def save_text_encoder(folder: Path, hidden_size: int = HIDDEN_SIZE) -> Path:
    tiny_text_model(hidden_size).save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder
