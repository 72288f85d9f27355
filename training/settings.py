"""The settings of a stage-1 training run: one flat dataclass, read from a YAML recipe with `key=value` overrides."""

import dataclasses
import re
import types
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import yaml

from ..modeling_pyratok.errors import PyraTokError

RECIPES = "recipes"
"""The folder beside this file that holds the recipes of the package; a recipe is then named without its `.yaml`."""


class SettingsError(PyraTokError):
    """A setting that is unknown, of the wrong type, out of range, or in conflict with another one."""


RANGES: tuple[tuple[str, Callable[[float], bool], str], ...] = (
    ("num_frames height width clips_per_decode decode_pool batch_size max_steps", lambda v: v >= 1, "at least 1"),
    ("log_every validate_every kept_checkpoints validation_clips sheet_clips", lambda v: v >= 1, "at least 1"),
    ("validation_num_frames validation_height validation_width", lambda v: v >= 1, "at least 1"),
    ("seed warmup_steps weight_decay", lambda v: v >= 0, "at least 0"),
    ("learning_rate max_gradient_norm checkpoint_minutes cache_gigabytes", lambda v: v > 0, "above 0"),
    ("image_share resized_share flip_share final_learning_rate_share", lambda v: 0 <= v <= 1, "between 0 and 1"),
    ("minimum_scale", lambda v: 0 < v <= 1, "above 0 and at most 1"),
    ("beta_one beta_two average_decay", lambda v: 0 <= v < 1, "at least 0 and below 1"),
)
"""Names of settings, what their value must satisfy unless it is None, and how to say so."""


@dataclass(frozen=True)
class StageOneSettings:
    """Everything that decides a stage-1 run. Lengths are in frames and pixels, shares lie in [0, 1].

    Where it goes and what it starts from:
        output_folder: receives `metrics.jsonl`, `curves.png`, `samples/`, `checkpoints/`, `model/` (averaged weights).
        model_folder: a saved model to start from; or
        model_config: keyword arguments of `PyraTokConfig` for a new model. Exactly one of the two is given.

    Data:
        video_folder: a local folder, laid out as a `videofolder` of `datasets`. A file is decoded whole: one that takes more
            memory than there is for videos (see cache_gigabytes) is skipped like one that cannot be read.
        video_split: its training split.
        validation_split: its split for validation; None trains without validation.
        image_folder: an `imagefolder` whose photographs become panned and zoomed clips; None for none.
        image_share: how many of the clips come from images.
        num_frames, height, width: size of a training clip.
        resized_share: how many of the video clips are shrunk, by a factor drawn log-uniformly from [minimum_scale, 1].
        minimum_scale: see above; a clip never needs more of the video than there is.
        flip_share: how many of the clips are mirrored left to right.
        cache_gigabytes: memory for decoded videos and images; those used longest ago make room. One 256 x 144 frame
            takes 0.1 MB. If there are images a quarter of it is theirs.
        clips_per_decode: clips taken from a video before it is left, for data that do not fit in the cache.
        decode_pool: videos between which such clips alternate, so that one batch does not show one video.

    Optimisation:
        batch_size: clips per step and process.
        max_steps: length of the run, and of the learning rate's cosine.
        learning_rate, warmup_steps, final_learning_rate_share: linear warm-up, then cosine down to that share.
        weight_decay: on weights with more than one dimension.
        beta_one, beta_two: of AdamW.
        max_gradient_norm: clipping.
        average_decay: of the moving average of the weights, which is validated and saved; 0 saves the last ones.
        autocast_bf16: run the model under bfloat16 autocast (weights stay float32).
        channels_last: hold convolution weights and clips in torch's channels_last_3d layout.
        compile_model: run training steps through torch.compile; pays after a few hundred steps.
        seed: of the new weights, the clips, and level dropout.

    Records:
        log_every, validate_every: in steps.
        checkpoint_minutes: time between checkpoints; one is also written at the end and on SIGTERM or SIGINT.
        kept_checkpoints: older ones are deleted.
        validation_clips: how many of the validation files are used, evenly spread; each gives its centre clip.
        validation_num_frames, validation_height, validation_width: size of those; None takes the training clips'.
        sheet_clips: how many of them the contact sheet shows.
        resume: go on from the newest checkpoint of `output_folder`; without it a folder that holds one is refused.

    Raises SettingsError with what would be right.
    """

    output_folder: str
    video_folder: str
    model_folder: str | None = None
    model_config: dict[str, Any] | None = None

    video_split: str = "train"
    validation_split: str | None = "validation"
    image_folder: str | None = None
    image_share: float = 0.1
    num_frames: int = 9
    height: int = 64
    width: int = 64
    resized_share: float = 0.5
    minimum_scale: float = 0.5
    flip_share: float = 0.5
    cache_gigabytes: float = 4.0
    clips_per_decode: int = 1
    decode_pool: int = 32

    batch_size: int = 8
    max_steps: int = 1000
    learning_rate: float = 1e-3
    warmup_steps: int = 100
    final_learning_rate_share: float = 0.05
    weight_decay: float = 0.01
    beta_one: float = 0.9
    beta_two: float = 0.99
    max_gradient_norm: float = 1.0
    average_decay: float = 0.999
    autocast_bf16: bool = False
    channels_last: bool = False
    compile_model: bool = False
    seed: int = 0

    log_every: int = 20
    validate_every: int = 500
    checkpoint_minutes: float = 10.0
    kept_checkpoints: int = 2
    validation_clips: int = 16
    validation_num_frames: int | None = None
    validation_height: int | None = None
    validation_width: int | None = None
    sheet_clips: int = 6
    resume: bool = True

    def __post_init__(self) -> None:
        hints = typing.get_type_hints(type(self))
        for item in dataclasses.fields(self):
            object.__setattr__(self, item.name, _typed(item.name, getattr(self, item.name), hints[item.name]))
        if (self.model_folder is None) == (self.model_config is None):
            raise SettingsError("give one of model_folder (weights to start from) and model_config (a new model)")
        for names, holds, wanted in RANGES:
            self._require(names.split(), holds, wanted)
        if self.warmup_steps > self.max_steps:
            raise SettingsError(f"warmup_steps is {self.warmup_steps}, but the run has max_steps={self.max_steps}")

    def _require(self, names: Sequence[str], holds: Callable[[float], bool], wanted: str) -> None:
        for name in names:
            value = getattr(self, name)
            if value is not None and not holds(value):
                raise SettingsError(f"{name} must be {wanted}, got {value}")

    def as_dict(self) -> dict[str, Any]:
        """The settings as a plain mapping that JSON and YAML can hold."""
        return dataclasses.asdict(self)


class _FloatLoader(yaml.SafeLoader):
    """YAML 1.1 reads `1e-4` as text; people write it as a number."""


_FloatLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def load_settings(recipe: str | Path, overrides: Sequence[str] = ()) -> StageOneSettings:
    """Read a recipe (a YAML file, or the name of one in the package) and apply `key=value` overrides, in order.

    A value is read as YAML; `model_config.codebook_bits=12` sets one entry of a mapping. Raises SettingsError.
    """
    values = _parsed(_recipe_text(recipe), f"recipe {recipe}")
    if not isinstance(values, dict):
        raise SettingsError(f"recipe {recipe} must hold 'name: value' lines, it holds {type(values).__name__}")
    for override in overrides:
        key, separator, text = override.partition("=")
        if not separator:
            raise SettingsError(f"override '{override}' has no '='; write it as key=value, for example max_steps=200")
        name, _, entry = key.strip().partition(".")
        value = _parsed(text, f"override '{override}'")
        if entry:
            mapping = values.get(name) or {}
            if not isinstance(mapping, dict):
                raise SettingsError(
                    f"override '{override}': {name} is {mapping!r} and has no entries; write {name}=..."
                )
            value = {**mapping, entry: value}
        values[name] = value
    known = {item.name for item in dataclasses.fields(StageOneSettings)}
    if unknown := sorted(set(values) - known):
        raise SettingsError(f"unknown settings: {', '.join(unknown)}; known are {', '.join(sorted(known))}")
    if missing := sorted({"output_folder", "video_folder"} - set(values)):
        raise SettingsError(f"missing settings: {', '.join(missing)}; add them to the recipe or as {missing[0]}=...")
    return StageOneSettings(**values)


def _recipe_text(recipe: str | Path) -> str:
    path = Path(recipe)
    if path.suffix in (".yaml", ".yml"):
        if not path.is_file():
            raise SettingsError(f"there is no recipe at {path}")
        return path.read_text()
    names = packaged_recipes()
    if str(recipe) not in names:
        raise SettingsError(f"no recipe is called '{recipe}'; give a .yaml file or one of: {', '.join(names)}")
    return (_recipes_folder() / f"{recipe}.yaml").read_text()


def packaged_recipes() -> list[str]:
    """The names of the recipes of the package."""
    names = (item.name for item in _recipes_folder().iterdir())
    return sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml"))


def _recipes_folder() -> Traversable:
    return resources.files(__package__) / RECIPES


def _parsed(text: str, what: str) -> Any:
    try:
        return yaml.load(text, _FloatLoader)
    except yaml.YAMLError as error:
        raise SettingsError(f"{what} is not valid YAML: {error}") from error


def _typed(name: str, value: Any, hint: Any) -> Any:
    """`value` if it is of the annotated type, whole numbers being fine as floats; raises SettingsError otherwise."""
    allowed = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    plain = tuple(typing.get_origin(kind) or kind for kind in allowed)
    if isinstance(value, bool) and bool not in plain:
        pass
    elif isinstance(value, plain):
        return value
    elif isinstance(value, int) and float in plain:
        return float(value)
    names = " or ".join("nothing" if kind is type(None) else kind.__name__ for kind in plain)
    raise SettingsError(f"{name} must be of type {names}, got {value!r}")
