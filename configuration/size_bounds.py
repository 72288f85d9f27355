"""Bounds on sizes in a configuration, so that somebody's config.json cannot ask for all of the memory."""

from collections.abc import Mapping
from typing import Any

WIDEST, MOST_LAYERS, MOST_LEVELS, MOST_BITS, LARGEST_STRIDE = 2**16, 512, 16, 24, 2**12
LARGEST_NUMBER, LONGEST_LIST = 2**24, 4096
"""In the configuration of another library's model, where names do not tell what all of them mean."""


def check_at_most(config: Any, **largest: int) -> None:
    """Raises ValueError for the first of these fields that is larger; a field may hold numbers in tuples."""
    for name, bound in largest.items():
        value = getattr(config, name)
        if any(number > bound for number in _numbers(value)):
            raise ValueError(f"{name} is at most {bound:,}, got {_shown(value)}")


def check_settings(name: str, settings: Mapping[str, Any]) -> None:
    """The same for settings whose names are not all known: whole numbers, lists, and layers by any name.

    What is called theta is the base of an angle's series and takes no room.
    """
    for key, value in settings.items():
        bound = MOST_LAYERS if "layers" in str(key) else LARGEST_NUMBER
        if isinstance(value, list | tuple) and len(value) > LONGEST_LIST:
            raise ValueError(f"{name}[{key!r}] has at most {LONGEST_LIST:,} entries, got {len(value):,}")
        if isinstance(value, Mapping):
            check_settings(f"{name}[{key!r}]", value)
        elif "theta" not in str(key) and any(number > bound for number in _numbers(value) if isinstance(number, int)):
            raise ValueError(f"{name}[{key!r}] is at most {bound:,}, got {_shown(value)}")


def _numbers(value: Any) -> list[float]:
    if isinstance(value, list | tuple):
        return [number for part in value for number in _numbers(part)]
    return [value] if isinstance(value, int | float) and not isinstance(value, bool) else []


def _shown(value: Any) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else f"{value}" if _is_short(value) else "a larger one"
    return text if len(text) <= 60 else f"{text[:60]}..."


def _is_short(value: Any) -> bool:
    """Python refuses to write whole numbers of thousands of digits."""
    return all(abs(number) < 1e300 for number in _numbers(value))
