"""Linear probes at the command line: a saved one says of which features it is, and is used on those alone."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..modeling_pyratok.errors import PyraTokError
from ..modeling_pyratok.weights_fingerprint import fingerprint
from ..pipelines.classification_pipeline import PyraTokClassificationPipeline

if TYPE_CHECKING:
    from ..evaluation.linear_probe import LinearProbe


def all_levels(pipeline: PyraTokClassificationPipeline) -> tuple[int, ...]:
    """The levels of the pipeline's tokens, 1..L."""
    return tuple(range(1, len(pipeline.alignment.config.level_strides) + 1))


def features_fingerprint(pipeline: PyraTokClassificationPipeline) -> str:
    """A name for the weights that features come from: the tokenizer's and the alignment's."""
    return f"{pipeline.vq_model.weights_fingerprint()} {fingerprint(pipeline.alignment.state_dict())}"


def write_probe(
    probe: "LinearProbe", path: str, pipeline: PyraTokClassificationPipeline, levels: Sequence[int]
) -> None:
    """Write a probe that was fitted on the pipeline's features of these levels. Raises PyraTokError."""
    dataclasses.replace(probe, levels=tuple(levels), fingerprint=features_fingerprint(pipeline)).save(path)


def check_probe(
    probe: "LinearProbe", path: str, pipeline: PyraTokClassificationPipeline, levels: Sequence[int] | None
) -> None:
    """Raises PyraTokError if a probe is one of other features than the pipeline's, or of other levels than those asked for."""
    if probe.levels is None or probe.fingerprint is None:
        raise PyraTokError(
            f"the probe {path!r} does not say of which features it is; fit it with "
            "`pyratok evaluate classification --probe --save-probe`"
        )
    if probe.fingerprint != features_fingerprint(pipeline):
        raise PyraTokError(f"the probe {path!r} was fitted on features of another model; give that with --model")
    if levels is not None and tuple(sorted(levels)) != tuple(sorted(probe.levels)):
        said = ",".join(map(str, probe.levels))
        raise PyraTokError(f"the probe {path!r} takes the levels {said}; leave --levels out")
