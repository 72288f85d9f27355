"""Tiny parts that compare tokens with texts, the same random weights every time."""

from pathlib import Path
from typing import TypeVar

import torch
from tiny_text import byte_tokenizer, tiny_text_model

from pyratok import (
    PyraTokConfig,
    PyraTokModel,
    PyraTokSegmentationPipeline,
    PyraTokTextAlignment,
    PyraTokTextAlignmentConfig,
)
from pyratok.pipelines.text_aligned_pipeline import TextAlignedPipeline

Pipeline = TypeVar("Pipeline", bound=TextAlignedPipeline)


def tiny_alignment() -> PyraTokTextAlignment:
    torch.manual_seed(0)
    return PyraTokTextAlignment(PyraTokTextAlignmentConfig.tiny()).eval()


def tiny_pipeline(kind: type[Pipeline]) -> Pipeline:
    torch.manual_seed(0)
    model = PyraTokModel(PyraTokConfig.tiny()).eval()
    pipeline = kind(model, tiny_alignment(), tiny_text_model(), byte_tokenizer())
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def save_tiny_repository(folder: Path) -> Path:
    tiny_pipeline(PyraTokSegmentationPipeline).save_pretrained(folder)
    return folder
