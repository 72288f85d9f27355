"""The card of what is uploaded without one: short, and true of the files that it lies beside."""

import os
from pathlib import Path

from huggingface_hub import ModelCard, ModelCardData

from ..configuration.remote_code import PROCESSORS
from .json_objects import read_json_object
from .weights_file import CONFIG

CARD_FILE = "README.md"
PYRATOK = "[PyraTok](https://arxiv.org/abs/2601.16210)"
WHAT = {
    "pyratok": f"A {PYRATOK} video tokenizer: a video becomes discrete tokens at several levels, and a video again.",
    "pyratok_prior": f"Draws the tokens of new videos from text, for a {PYRATOK} video tokenizer.",
    "pyratok_text_alignment": f"Compares the tokens of a {PYRATOK} video tokenizer with texts.",
    "pyratok_token_projector": f"Lets a language model read the tokens of a {PYRATOK} video tokenizer.",
}
"""By model_type. Without a model there is the processor alone."""

PROCESSOR = f"Turns videos into what a {PYRATOK} video tokenizer takes, and back."

TEXT = """
# {name}

{what}

```python
import pyratok  # tells transformers about PyraTok
from transformers import {autos}

{loads}
```
"""

TEMPLATE_HEADING = "# Model Card for Model ID"
TEMPLATE_INTRODUCTION = "This is the model card of a "
TEMPLATE_METADATA = ("#", "library_name:", "tags:", "- ", "{}")


def short_card(folder: str | os.PathLike[str], repo_id: str) -> ModelCard:
    """The card of a model, a processor or both, as `save_pretrained` wrote them. Raises ValueError if it is none of ours."""
    root, autos, what = Path(folder), {}, PROCESSOR
    if (root / CONFIG).is_file():
        kind = read_json_object(root / CONFIG).get("model_type")
        if kind not in WHAT:
            raise ValueError(f"{str(root)!r} holds no model of PyraTok: its {CONFIG} says model_type {kind!r}")
        autos["model"], what = "AutoModel", WHAT[kind]
    options = {"model": _variant_option(root)}
    if any((root / name).is_file() for name in PROCESSORS):
        autos["processor"] = "AutoProcessor"
    loads = [f'{name} = {auto}.from_pretrained("{repo_id}"{options.get(name, "")})' for name, auto in autos.items()]
    data = ModelCardData(library_name="transformers", tags=["pyratok", "video", "video-tokenizer"])
    values = {
        "name": repo_id.split("/")[-1],
        "what": what,
        "autos": ", ".join(autos.values()),
        "loads": "\n".join(loads),
    }
    return ModelCard(f"---\n{data.to_yaml()}\n---\n{TEXT.format(**values)}")


def _variant_option(root: Path) -> str:
    """What `from_pretrained` has to be told if the weights lie there as one variant alone."""
    variants = {path.name.split(".")[1].split("-")[0] for path in root.glob("model.*.safetensors")}
    is_plain = any(root.glob("model.safetensors")) or any(root.glob("model-*.safetensors"))
    return "" if is_plain or len(variants) != 1 else f', variant="{variants.pop()}"'


def is_template(text: str) -> bool:
    """Whether a README.md is what transformers or diffusers put there, and nobody has written anything into it since."""
    head, _, body = text.removeprefix("---\n").partition("\n---\n")
    if TEMPLATE_HEADING not in body.splitlines():
        return False
    known = set(ModelCard.from_template(ModelCardData()).text.splitlines())
    added = [line for line in body.splitlines() if line not in known and not line.startswith(TEMPLATE_INTRODUCTION)]
    return not added and all(line.startswith(TEMPLATE_METADATA) for line in head.splitlines())
