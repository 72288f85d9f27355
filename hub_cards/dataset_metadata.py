"""What the maker of a dataset has put into the metadata of its card, and what of it a new card can keep."""

from collections.abc import Mapping
from typing import Any

from ..modeling_pyratok.errors import PyraTokError

DEFAULT = "default"
"""The name that `datasets` gives a configuration without one."""


def check_metadata(known: Mapping[str, Any]) -> None:
    """Raise PyraTokError for a licence, tags or configurations of other types than the Hub's."""
    for field in ("license", "tags"):
        texts(known, field)
    for field in ("configs", "dataset_info"):
        of_other_configs(known, field)


def texts(known: Mapping[str, Any], field: str) -> list[str]:
    """What a field lists; a single text is a list of one. Raises PyraTokError for anything else."""
    value = known.get(field)
    found = [] if value is None else value if isinstance(value, list) else [value]
    for text in found:
        if not isinstance(text, str):
            raise _refusal(field, "a text, or a list of texts; put quotation marks around numbers, yes, no", text)
    return found


def of_other_configs(known: Mapping[str, Any], field: str) -> list[dict[str, Any]]:
    """The entries of a field, "configs" or "dataset_info", that belong to other configurations than the tokens.

    Raises PyraTokError for what is no list of entries, each with a name of its own.
    """
    value = known.get(field) or []
    entries = [value] if isinstance(value, dict) else value
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise _refusal(field, "a list of configurations", value)
    names = [entry.get("config_name", DEFAULT) for entry in entries]
    for name in names:
        if not isinstance(name, str) or names.count(name) > 1:
            raise _refusal(field, "a list of configurations, each with a config_name of its own", name)
    return [entry for entry, name in zip(entries, names, strict=True) if name != DEFAULT]


def _refusal(field: str, meaning: str, value: object) -> PyraTokError:
    return PyraTokError(
        f"the card that is there, README.md, cannot be kept: its {field} should be {meaning}, got {value!r:.200}"
    )
