"""The classes that stand in model_index.json as components of PyraTok's pipelines."""

from ..modeling_pyratok.modeling_pyratok import PyraTokModel
from ..modeling_pyratok.prior import PyraTokPrior
from ..modeling_pyratok.text_alignment import PyraTokTextAlignment
from ..modeling_pyratok.token_projector import PyraTokTokenProjector
from ..modeling_pyratok.video_processing_pyratok import PyraTokVideoProcessor

LIBRARY = "pyratok"
"""What model_index.json calls the library that they come from."""

COMPONENT_CLASSES = {
    kind.__name__: kind
    for kind in (PyraTokModel, PyraTokPrior, PyraTokTextAlignment, PyraTokTokenProjector, PyraTokVideoProcessor)
}
"""By their names; each has to be importable from `pyratok`."""
