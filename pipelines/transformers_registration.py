"""Makes transformers' Auto classes know PyraTok's configuration, model and video processor.

`AutoVideoProcessor` comes from its own module: without torchvision, `transformers` itself offers one that only
raises. There, users take `AutoProcessor`, which gives the same object.
"""

from transformers import AutoConfig, AutoModel, AutoProcessor
from transformers.models.auto.video_processing_auto import AutoVideoProcessor

from ..configuration.configuration_pyratok import PyraTokConfig
from ..modeling_pyratok.modeling_pyratok import PyraTokModel
from ..modeling_pyratok.video_processing_pyratok import PyraTokVideoProcessor
from .bundled_id_lookup import look_up_bundled_id_locally


def register_with_transformers() -> None:
    """Register the classes under model_type "pyratok", and the bundled model's id; doing it twice changes nothing."""
    AutoConfig.register(PyraTokConfig.model_type, PyraTokConfig, exist_ok=True)
    AutoModel.register(PyraTokConfig, PyraTokModel, exist_ok=True)
    AutoProcessor.register(PyraTokConfig, PyraTokVideoProcessor, exist_ok=True)
    AutoVideoProcessor.register(PyraTokConfig, PyraTokVideoProcessor, exist_ok=True)
    look_up_bundled_id_locally()
