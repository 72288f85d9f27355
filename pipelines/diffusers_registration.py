"""Makes diffusers able to load and save PyraTok's classes as components of a pipeline, and its pipelines by name."""

import diffusers
from diffusers.pipelines import pipeline_loading_utils

from .action_localization_pipeline import PyraTokActionLocalizationPipeline
from .classification_pipeline import PyraTokClassificationPipeline
from .component_classes import COMPONENT_CLASSES, LIBRARY
from .plain_loading import load_by_class
from .question_answering_pipeline import PyraTokQuestionAnsweringPipeline
from .reconstruction_pipeline import PyraTokReconstructionPipeline
from .segmentation_pipeline import PyraTokSegmentationPipeline
from .text_to_video_pipeline import PyraTokTextToVideoPipeline

PIPELINES = (
    PyraTokActionLocalizationPipeline,
    PyraTokClassificationPipeline,
    PyraTokQuestionAnsweringPipeline,
    PyraTokReconstructionPipeline,
    PyraTokSegmentationPipeline,
    PyraTokTextToVideoPipeline,
)


def register_with_diffusers() -> None:
    """Add the component classes to diffusers' tables and the pipelines to its names; doing it twice changes nothing.

    diffusers offers no function for it. Other modules of it hold references to the tables, so they are changed in
    place; a pipeline class is looked up as an attribute of `diffusers` when model_index.json names it, and so is a component
    of a repository that opens without PyraTok as well (see `remote_pipelines`).
    """
    methods = {name: ["save_pretrained", "from_pretrained"] for name in COMPONENT_CLASSES}
    pipeline_loading_utils.LOADABLE_CLASSES[LIBRARY] = methods
    pipeline_loading_utils.ALL_IMPORTABLE_CLASSES.update(methods)
    for pipeline in PIPELINES:
        setattr(diffusers, pipeline.__name__, pipeline)
    for name, kind in COMPONENT_CLASSES.items():
        setattr(diffusers, name, kind)
    load_by_class({pipeline.__name__: pipeline for pipeline in PIPELINES})
