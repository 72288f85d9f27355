"""Recipes: YAML files with the settings of a run, those of the package by name, and `key=value` overrides.

A recipe holds settings for all stages, and under `stages` those that differ, by the number of the stage.
"""

import dataclasses
import re
from collections.abc import Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import yaml

from .settings import STAGES, SettingsError, TrainingSettings

RECIPES = "recipes"
"""The folder beside this file that holds the recipes of the package; a recipe is then named without its `.yaml`."""


class _RecipeLoader(yaml.SafeLoader):
    """YAML 1.1 reads `1e-4` as text and `16:9` as 969, with 60 as the base; people mean a number and a ratio."""


_RATIO = ("tag:yaml.org,2002:str", re.compile(r"^[-+]?[\d_.]+(:[\d_.]+)+$"))

# The first that matches decides, so what is no number comes before YAML's own patterns, and what is one after them.
_RecipeLoader.yaml_implicit_resolvers = {
    first: [_RATIO, *resolvers] for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_RecipeLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def load_settings(recipe: str | Path, overrides: Sequence[str] = ()) -> TrainingSettings:
    """Read a recipe (a YAML file, or the name of one in the package) and apply `key=value` overrides, in order.

    A value is read as YAML; `model_config.codebook_bits=12` sets one entry of a mapping. `stage=2` takes the recipe's
    settings for that stage, over which the other overrides go. Raises SettingsError.
    """
    values = _parsed(_recipe_text(recipe), f"recipe {recipe}")
    if not isinstance(values, dict):
        raise SettingsError(f"recipe {recipe} must hold 'name: value' lines, it holds {type(values).__name__}")
    pairs = [_override(text) for text in overrides]
    stage = dict(pairs).get("stage", values.get("stage", 1))
    stages = values.pop("stages", None) or {}
    if not isinstance(stages, dict) or not all(isinstance(changes, dict) for changes in stages.values()):
        raise SettingsError(f"recipe {recipe}: stages must hold a mapping of settings for each stage")
    if unknown := [number for number in stages if number not in STAGES]:
        raise SettingsError(
            f"recipe {recipe}: stages has {', '.join(map(repr, unknown))}; the stages are the numbers "
            f"{', '.join(map(str, STAGES))}, without quotes"
        )
    values |= stages.get(stage, {}) if stage in STAGES else {}  # another one is refused with the other settings
    for name, value in pairs:
        _set(values, name, value)
    known = {item.name for item in dataclasses.fields(TrainingSettings)}
    if unknown := sorted(set(values) - known):
        raise SettingsError(f"unknown settings: {', '.join(unknown)}; known are {', '.join(sorted(known))}")
    if missing := sorted({"output_folder", "data"} - set(values)):
        raise SettingsError(f"missing settings: {', '.join(missing)}; add them to the recipe or as {missing[0]}=...")
    return TrainingSettings(**values)


def _override(text: str) -> tuple[str, Any]:
    key, separator, value = text.partition("=")
    if not separator:
        raise SettingsError(f"override '{text}' has no '='; write it as key=value, for example max_steps=200")
    return key.strip(), _parsed(value, f"override '{text}'")


def _set(values: dict[str, Any], key: str, value: Any) -> None:
    """Set a setting, or with a dot in the key one entry of a mapping."""
    name, _, entry = key.partition(".")
    if entry:
        mapping = values.get(name) or {}
        if not isinstance(mapping, dict):
            raise SettingsError(f"override '{key}': {name} is {mapping!r} and has no entries; write {name}=...")
        value = {**mapping, entry: value}
    values[name] = value


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
        return yaml.load(text, _RecipeLoader)
    except yaml.YAMLError as error:
        raise SettingsError(f"{what} is not valid YAML: {error}") from error
