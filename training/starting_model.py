"""The tokenizer that a run of training starts from: a saved one, one around a pretrained VAE, or an altogether new one."""

from pathlib import Path
from typing import Any

from huggingface_hub.errors import StrictDataclassError

from ..configuration.configuration_pyratok import TRAINING_FIELDS, PyraTokConfig
from ..modeling_pyratok.errors import PyraTokError
from ..modeling_pyratok.modeling_pyratok import PyraTokModel
from ..pipelines.model_loading import load_model
from .settings import SettingsError, TrainingSettings


def starting_model(settings: TrainingSettings) -> PyraTokModel:
    """The tokenizer, in float32, with the weights of losses and the level dropout that the settings ask for.

    Raises SettingsError if there is no such model, if `model_config` cannot work, or if it is another model's.
    """
    start, wanted = settings.start_model, settings.model_config or {}
    try:
        if start is None and settings.backbone is None:
            return PyraTokModel(PyraTokConfig(**wanted))
        if start is None:
            options = {"subfolder": settings.backbone_subfolder} if settings.backbone_subfolder else {}
            return PyraTokModel.from_backbone(settings.backbone, options, **wanted).float()
        if isinstance(start, Path) and not start.is_dir():
            raise SettingsError(
                f"there is no model in {start}: train stage {settings.stage - 1} first, or give model_folder"
            )
        model = load_model(start)
        _adjust(model.config, wanted, start)
        return model
    except (StrictDataclassError, TypeError) as error:  # the rule that was broken is the cause
        raise SettingsError(f"model_config: {error.__cause__ or error}") from error
    except PyraTokError as error:
        if isinstance(error.__cause__, StrictDataclassError):  # around a backbone
            raise SettingsError(f"model_config: {error}") from error
        raise
    except OSError as error:
        raise SettingsError(f"the backbone {settings.backbone} cannot be loaded: {error}") from error


def _adjust(config: PyraTokConfig, wanted: dict[str, Any], start: str | Path) -> None:
    """Take over what concerns training alone; the rest has to be as it is."""
    asked = PyraTokConfig(**{**config.to_dict(), **wanted})  # checks it, and brings sequences into one form
    for name in wanted:
        value = getattr(asked, name)
        if name in TRAINING_FIELDS:
            setattr(config, name, value)
        elif value != getattr(config, name):
            raise SettingsError(
                f"model_config.{name} is {value}, but the model {start} has {getattr(config, name)}; leave it out, or "
                "train a new model"
            )
