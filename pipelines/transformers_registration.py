"""Makes transformers' Auto classes know PyraTok's configuration, model and video processor.

`AutoVideoProcessor` comes from its own module: without torchvision, `transformers` itself offers one that only
raises. There, users take `AutoProcessor`, which gives the same object.
"""

from transformers import AutoConfig, AutoModel, AutoProcessor
from transformers.models.auto.video_processing_auto import AutoVideoProcessor

from ..configuration.configuration_prior import PyraTokPriorConfig
from ..configuration.configuration_pyratok import PyraTokConfig
from ..configuration.configuration_text_alignment import PyraTokTextAlignmentConfig
from ..configuration.configuration_token_projector import PyraTokTokenProjectorConfig
from ..modeling_pyratok import packed_weights as packed_weights
from ..modeling_pyratok.modeling_pyratok import PyraTokModel
from ..modeling_pyratok.prior import PyraTokPrior
from ..modeling_pyratok.text_alignment import PyraTokTextAlignment
from ..modeling_pyratok.token_projector import PyraTokTokenProjector
from ..modeling_pyratok.video_processing_pyratok import PyraTokVideoProcessor
from .bundled_id_lookup import look_up_bundled_id_locally

MODELS = {
    PyraTokConfig: PyraTokModel,
    PyraTokPriorConfig: PyraTokPrior,
    PyraTokTextAlignmentConfig: PyraTokTextAlignment,
    PyraTokTokenProjectorConfig: PyraTokTokenProjector,
}


def register_with_transformers() -> None:
    """Register the classes by their model_type, and the bundled model's id; doing it twice changes nothing.

    Packed weights (`packed_weights`) are registered by importing their module.
    """
    for config, model in MODELS.items():
        AutoConfig.register(config.model_type, config, exist_ok=True)
        AutoModel.register(config, model, exist_ok=True)
    AutoProcessor.register(PyraTokConfig, PyraTokVideoProcessor, exist_ok=True)
    AutoVideoProcessor.register(PyraTokConfig, PyraTokVideoProcessor, exist_ok=True)
    look_up_bundled_id_locally()
