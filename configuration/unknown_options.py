"""Refusing options that a configuration does not know."""

from typing import Any

INHERITED = {
    "_name_or_path",
    "_commit_hash",
    "_attn_implementation",
    "_attn_implementation_internal",
    "_experts_implementation",
    "_experts_implementation_internal",
    "attn_implementation",
    "auto_map",
    "architectures",
    "chunk_size_feed_forward",
    "dtype",
    "experts_implementation",
    "gradient_checkpointing",
    "id2label",
    "is_encoder_decoder",
    "label2id",
    "model_type",
    "name_or_path",
    "num_labels",
    "per_layer_config",
    "output_attentions",
    "output_hidden_states",
    "problem_type",
    "return_dict",
    "tie_last_hidden_states",
    "tie_word_embeddings",
    "torch_dtype",
    "transformers_version",
    "use_cache",
    "use_return_dict",
}
"""Keywords that transformers itself passes on, in old and new files."""


def reject_unknown(keywords: dict[str, Any], owner: str) -> None:
    """transformers keeps unknown keywords as attributes, so a misspelt option would be silently without effect.

    Raises TypeError for a keyword that neither `owner`, a class, nor transformers knows.
    """
    unknown = sorted(set(keywords) - INHERITED)
    if unknown:
        raise TypeError(f"{owner} has no option {', '.join(unknown)}; see its documentation for the names it knows")
