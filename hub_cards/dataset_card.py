"""The card of a dataset of tokens: figures that were measured from its shards, and what its maker has to add.

The measured part stands between two marks. A card that is there already keeps every word around them, and what its maker
has put into the metadata.
"""

from pathlib import Path
from typing import Any

from huggingface_hub import DatasetCard, DatasetCardData

from ..modeling_pyratok.errors import PyraTokError
from .card_figures import render
from .dataset_facts import DatasetFacts
from .dataset_metadata import DEFAULT, check_metadata, of_other_configs, texts

TEMPLATES = Path(__file__).resolve().parent / "templates"
CARD = "---\n{{ card_data }}\n---\n\n{{ body }}"
BEGIN, END = "<!-- measured from the shards: begin -->", "<!-- measured from the shards: end -->"
UNKNOWN = "unknown"
"""The Hub's identifier of a licence that nobody has named."""

SIZE_STEPS = ("1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T")
"""Limits of the Hub's size categories, each ten times the one before."""


def dataset_card(
    facts: DatasetFacts, name: str, licence: str | None = None, earlier: str | None = None
) -> DatasetCard:
    """Make the card of a dataset of tokens.

    Args:
        facts: `dataset_facts` of its shards.
        name: what users will load it by.
        licence: of the data, by its identifier on the Hub, "cc-by-4.0" for example; by default that of the earlier card, and
            without one "unknown".
        earlier: the README.md that is there, if any.

    Returns:
        The card; `str(card)` is the README.md.

    Raises:
        PyraTokError: if the metadata of the earlier card cannot be read or used.
    """
    known = read_card(earlier)
    data = _card_data(facts, name, licence, {} if known is None else known.data.to_dict())
    licences = data.license if isinstance(data.license, str) else ", ".join(data.license)
    values = {"name": name, "facts": facts, "order": tuple(reversed(facts.kind.levels)), "licence": licences}
    measured = render((TEMPLATES / "dataset_card.md").read_text("utf-8"), values, "of the card")
    marked = f"{BEGIN}\n{measured.strip()}\n{END}"
    text = "" if known is None else known.text.strip()
    before, begun, rest = text.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if begun and ended:
        body = before + marked + after
    elif text:
        body = text  # a card of somebody's own making, whose marks are gone
    else:
        frame = (TEMPLATES / "dataset_card_frame.md").read_text("utf-8")
        body = render(frame, {"name": name, "measured": marked}, "of the card")
    return DatasetCard.from_template(data, template_str=CARD, body=body.strip() + "\n")


def read_card(earlier: str | None) -> DatasetCard | None:
    """The card that is there, if any. Raises PyraTokError if its metadata cannot be read, or not be kept in a new one."""
    if earlier is None:
        return None
    try:
        card = DatasetCard(earlier)
    except Exception as problem:  # of YAML or of the client, each with a class of its own
        raise PyraTokError(f"the card that is there, README.md, cannot be read: {problem}") from problem
    check_metadata(card.data.to_dict())
    return card


def _card_data(facts: DatasetFacts, name: str, licence: str | None, known: dict[str, Any]) -> DatasetCardData:
    """The metadata: what is known, which is checked, and in it what is measured."""
    files = [{"split": split.name, "path": f"data/{split.name}-*-of-*.parquet"} for split in facts.splits]
    named = licence_metadata(licence or known.get("license") or UNKNOWN)
    described = {
        "pretty_name": name.rsplit("/", 1)[-1],
        "task_categories": ["text-to-video"] if facts.total("captions") else None,
        **named,
        **known,
        "license": named["license"],
        "tags": sorted({*texts(known, "tags"), "pyratok", "video-tokens"}),
        "size_categories": [size_category(int(facts.total("clips")))],
        "configs": [{"config_name": DEFAULT, "data_files": files}, *of_other_configs(known, "configs")],
        # Of our rows it may speak of some that are there no more: `datasets` would refuse the new ones.
        "dataset_info": of_other_configs(known, "dataset_info") or None,
    }
    return DatasetCardData(**described)


def licence_metadata(licence: str | list[str]) -> dict[str, Any]:
    """How a licence stands in the metadata: the Hub wants a name for one, or a mixture, that it has no identifier for."""
    return {"license": licence, **({"license_name": "see-credits"} if licence == "other" else {})}


def size_category(count: int) -> str:
    """The Hub's name for so many rows, "1K<n<10K" for example."""
    if count < 1000:
        return "n<1K"
    step = next((index for index in range(1, len(SIZE_STEPS)) if count < 1000 * 10**index), len(SIZE_STEPS))
    return f"n>{SIZE_STEPS[-1]}" if step == len(SIZE_STEPS) else f"{SIZE_STEPS[step - 1]}<n<{SIZE_STEPS[step]}"
