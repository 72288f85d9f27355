"""PyraTok: video to discrete tokens at four depths of a causal video VAE, and back.

Importing it makes transformers' Auto classes and diffusers' pipeline loader know the classes here.
"""

__version__ = "0.1.0"

from .configuration.configuration_prior import PyraTokPriorConfig
from .configuration.configuration_pyratok import PyraTokConfig
from .configuration.configuration_text_alignment import PyraTokTextAlignmentConfig
from .configuration.configuration_token_projector import PyraTokTokenProjectorConfig
from .modeling_pyratok.dense_crf import DenseCrfSettings
from .modeling_pyratok.errors import PyraTokError, TokenFileError, VideoReadError, VideoWriteError
from .modeling_pyratok.modeling_pyratok import PyraTokModel
from .modeling_pyratok.outputs import PyraTokDecoderOutput, PyraTokEncoderOutput, PyraTokOutput
from .modeling_pyratok.prior import PyraTokPrior, PyraTokPriorOutput
from .modeling_pyratok.text_alignment import PyraTokTextAlignment
from .modeling_pyratok.text_encoding import EncodedText, TextEncoder
from .modeling_pyratok.token_projector import PyraTokTokenProjector
from .modeling_pyratok.video_processing_pyratok import PyraTokVideoProcessor
from .modeling_pyratok.video_reading import VideoInfo, VideoReader, read_video
from .modeling_pyratok.video_tokens import VideoTokens
from .modeling_pyratok.video_writing import VideoWriter, write_video
from .pipelines.action_localization_pipeline import PyraTokActionLocalizationOutput, PyraTokActionLocalizationPipeline
from .pipelines.classification_pipeline import PyraTokClassificationOutput, PyraTokClassificationPipeline
from .pipelines.diffusers_registration import register_with_diffusers
from .pipelines.question_answering_pipeline import PyraTokQuestionAnsweringOutput, PyraTokQuestionAnsweringPipeline
from .pipelines.reconstruction_pipeline import PyraTokReconstructionOutput, PyraTokReconstructionPipeline
from .pipelines.segmentation_pipeline import PyraTokSegmentationOutput, PyraTokSegmentationPipeline
from .pipelines.text_alignment_loading import load_text_alignment
from .pipelines.text_encoder_loading import load_text_encoder
from .pipelines.text_to_video_pipeline import PyraTokTextToVideoOutput, PyraTokTextToVideoPipeline
from .pipelines.token_index import SearchHit, TokenIndex
from .pipelines.token_streams import ReconstructedPiece, TokenCollector
from .pipelines.transformers_registration import register_with_transformers
from .token_datasets.dataset_folder import write_token_dataset
from .token_datasets.restored_files import write_token_files
from .token_datasets.token_rows import token_sequence

__all__ = [
    "DenseCrfSettings",
    "EncodedText",
    "PyraTokActionLocalizationOutput",
    "PyraTokActionLocalizationPipeline",
    "PyraTokClassificationOutput",
    "PyraTokClassificationPipeline",
    "PyraTokConfig",
    "PyraTokDecoderOutput",
    "PyraTokEncoderOutput",
    "PyraTokError",
    "PyraTokModel",
    "PyraTokOutput",
    "PyraTokPrior",
    "PyraTokPriorConfig",
    "PyraTokPriorOutput",
    "PyraTokQuestionAnsweringOutput",
    "PyraTokQuestionAnsweringPipeline",
    "PyraTokReconstructionOutput",
    "PyraTokReconstructionPipeline",
    "PyraTokSegmentationOutput",
    "PyraTokSegmentationPipeline",
    "PyraTokTextAlignment",
    "PyraTokTextAlignmentConfig",
    "PyraTokTextToVideoOutput",
    "PyraTokTextToVideoPipeline",
    "PyraTokTokenProjector",
    "PyraTokTokenProjectorConfig",
    "PyraTokVideoProcessor",
    "ReconstructedPiece",
    "SearchHit",
    "TextEncoder",
    "TokenCollector",
    "TokenFileError",
    "TokenIndex",
    "VideoInfo",
    "VideoReadError",
    "VideoReader",
    "VideoTokens",
    "VideoWriteError",
    "VideoWriter",
    "__version__",
    "load_text_alignment",
    "load_text_encoder",
    "read_video",
    "token_sequence",
    "write_token_dataset",
    "write_token_files",
    "write_video",
]

register_with_transformers()
register_with_diffusers()
