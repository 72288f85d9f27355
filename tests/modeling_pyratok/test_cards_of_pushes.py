"""The cards that come along when models are pushed from Python: true, runnable, and none of another repository."""

import re
from typing import Any

import pytest
from hub_scripts import hub_after

PUSH = """
import json, os, re, torch
from diffusers.utils.hub_utils import load_or_create_model_card, populate_model_card
from huggingface_hub import HfApi, ModelCard
from pyratok import PyraTokError
from tiny_language import tiny_alignment
from tiny_repository import adapted, tiny_text_to_video
from transformers.utils.hub import create_and_tag_model_card

api, told, pipeline = HfApi(), {}, tiny_text_to_video()
model, prior, processor = pipeline.vq_model, pipeline.prior, pipeline.video_processor

model.push_to_hub("tester/model")
prior.push_to_hub("tester/prior")
tiny_alignment().push_to_hub("tester/alignment")
processor.push_to_hub("tester/processor")
pipeline.push_to_hub("pipeline")
for name in ("saved", "saved-two"):
    prior.save_pretrained("prior", push_to_hub=True, repo_id=f"tester/{name}")
for name in ("lora", "lora-two"):
    adapted(1).save_lora("lora", push_to_hub=True, repo_id=f"tester/{name}")
told["left"] = [sorted(os.listdir(folder)) for folder in ("prior", "lora")]

api.create_repo("tester/empty")
template = str(create_and_tag_model_card("tester/empty", ["video"]))
by_diffusers = str(populate_model_card(load_or_create_model_card("tester/nothing", is_pipeline=True), tags=["video"]))
cards = {
    "template": template,
    "by-diffusers": by_diffusers,
    "edited": template.replace("## Uses", "It sees cats.\\n\\n## Uses"),
    "licensed": template.replace("library_name:", "license: mit\\nlibrary_name:"),
}
for pusher, kind in ((model, "a-model"), (pipeline, "a-pipeline")):
    for name, text in cards.items():
        api.create_repo(f"tester/{name}-{kind}")
        api.upload_file(path_or_fileobj=text.encode(), path_in_repo="README.md", repo_id=f"tester/{name}-{kind}")
        pusher.push_to_hub(f"tester/{name}-{kind}")

for name, repo in (("template", "mine"), ("by-diffusers", "edited-a-pipeline")):
    os.makedirs(name)
    with open(f"{name}/README.md", "w") as file:
        file.write(cards[name])
    pipeline.save_pretrained(name, push_to_hub=True, repo_id=f"tester/{repo}")
tiny_text_to_video().to(torch.float16).save_pretrained("half", variant="fp16", push_to_hub=True, repo_id="tester/half")

told["refused"] = {}
for name, push in {
    "model": lambda: model.push_to_hub("tester/model", private=True),
    "prior": lambda: prior.save_pretrained("prior", push_to_hub=True, repo_id="tester/prior", private=True),
    "pipeline": lambda: pipeline.push_to_hub("pipeline", private=True),
    "lora": lambda: adapted(3).save_lora("other", push_to_hub=True, repo_id="tester/lora", private=True),
}.items():
    before = api.repo_info(f"tester/{name}").sha
    try:
        push()
    except PyraTokError as refused:
        told["refused"][name] = str(refused)
    assert api.repo_info(f"tester/{name}").sha == before
model.push_to_hub("tester/secret", private=True)
model.push_to_hub("secret", private=True)

adapted(2).save_pretrained("base")
told["ran"] = {}
for name in ("model", "prior", "alignment", "processor", "pipeline", "half", "mine", "lora"):
    (code,) = re.findall(r"^```python\\n(.*?)^```$", ModelCard.load(f"tester/{name}").text, re.MULTILINE | re.DOTALL)
    names = {}
    exec(compile(code.replace("OWNER/NAME", "base"), "card", "exec"), names)
    told["ran"][name] = [type(names[part]).__name__ for part in ("model", "processor") if part in names]
told["loaded"] = names["model"].weights_fingerprint() == adapted(1).weights_fingerprint()
told["base"] = adapted(1).encoder_fingerprint()
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def pushed(tmp_path_factory):
    with hub_after(PUSH, tmp_path_factory.mktemp("pushed")) as hub_and_told:
        yield hub_and_told


def card(hub: Any, name: str) -> str:
    return hub.read(f"tester/{name}", "README.md").decode()


def test_a_model_has_a_card_that_says_what_it_is(pushed):
    hub, _ = pushed
    for name, what in {
        "model": "video tokenizer: a video becomes",
        "prior": "Draws the tokens",
        "alignment": "Compares the tokens",
        "processor": "Turns videos into",
        "saved": "Draws the tokens",
    }.items():
        text = card(hub, name)
        assert what in text and f'from_pretrained("tester/{name}")' in text, name
        assert "More Information Needed" not in text and "\n- pyratok\n" in text
    assert "AutoProcessor" not in card(hub, "model") and "AutoProcessor" in card(hub, "pipeline")


def test_the_code_of_each_card_runs(pushed):
    _, told = pushed
    assert told["ran"] == {
        "model": ["PyraTokModel"],
        "prior": ["PyraTokPrior"],
        "alignment": ["PyraTokTextAlignment"],
        "processor": ["PyraTokVideoProcessor"],
        **dict.fromkeys(("pipeline", "half", "mine"), ["PyraTokModel", "PyraTokVideoProcessor"]),
        "lora": ["PyraTokModel"],
    }
    assert told["loaded"]


def test_a_made_card_stays_out_of_the_folder_and_names_its_own_repository(pushed):
    hub, told = pushed
    assert told["left"] == [["config.json", "model.safetensors"], ["adapter_config.json", "adapter_model.safetensors"]]
    for name, load in {"lora": "load_lora", "saved": "from_pretrained"}.items():
        for repo in (name, f"{name}-two"):
            assert f'{load}("tester/{repo}")' in card(hub, repo)
    assert told["base"] in card(hub, "lora")
    assert [commit.title for commit in hub.repositories.find("tester/lora", "model").history("main")][:-1] == [
        "Upload PyraTok"
    ]


@pytest.mark.parametrize("kind", ["a-model", "a-pipeline"])
def test_an_untouched_template_is_no_card_and_an_edited_one_is(pushed, kind):
    hub, _ = pushed
    for name in ("template", "by-diffusers"):
        assert f'from_pretrained("tester/{name}-{kind}")' in card(hub, f"{name}-{kind}")
        assert "Model ID" not in card(hub, f"{name}-{kind}")
    assert "It sees cats." in card(hub, f"edited-{kind}")
    assert re.search("^license: mit$", card(hub, f"licensed-{kind}"), re.MULTILINE)
    assert "Model ID" in card(hub, f"edited-{kind}") and "Model ID" in card(hub, f"licensed-{kind}")


def test_nothing_private_goes_where_it_would_be_public(pushed):
    hub, told = pushed
    for name in ("model", "prior", "pipeline", "lora"):
        assert f"the model 'tester/{name}' is there and is public" in told["refused"][name]
    assert hub.repositories.find("tester/secret", "model").private
