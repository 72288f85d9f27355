"""The app with a model of one's own, `PYRATOK_MODEL`, in a process that is started with it."""

import json
import os
import runpy
from pathlib import Path
from typing import Any

import app
import pytest
from child_processes import run_python
from tiny_language import tiny_alignment
from tiny_repository import tiny_text_to_video

import pyratok

SPACE = Path(pyratok.__file__).resolve().parent / "hub_cards" / "space"

APP = """
import json, os, sys
sys.path.insert(0, SPACE)
import app
import gradio as gr
from generation_tab import generate
from masks_tab import masks_of_text
from reconstruction_tab import EXAMPLES, reconstruct_upload, show_step
from shared_models import shared_models

def quiet(share, what):
    pass

def refusal(function, *arguments):
    try:
        function(*arguments)
    except gr.Error as problem:
        return problem.message

seen = {"model": os.environ["PYRATOK_MODEL"], "fingerprint": shared_models().tokenizer.weights_fingerprint()}
seen["page"] = json.dumps(app.build().get_config_file(), default=str)
seen["no clip"] = refusal(show_step, None, 1)
folder = reconstruct_upload(CLIP, False, None, quiet)[0]
seen["folder"] = folder
seen["masks"] = masks_of_text("grass and trees", 0.25, None, False, folder, None, quiet)[2]
seen["masks of an upload"] = masks_of_text("grass and trees", 0.25, CLIP, False, None, None, quiet)[2]
park = str(EXAMPLES / "park")
seen["masks of an example"] = refusal(masks_of_text, "grass and trees", 0.25, None, False, park, None, quiet)
*_, last = generate("a city", 5, "48 x 48", 1, 0, None)
seen["status"] = last[1]
print(json.dumps(seen))
"""

OF_THE_BUNDLED_MODEL = (
    "the small model that ships with",
    "four levels",
    "up to a minute",
    "an example",
    "people in a park",
    "For the examples of the first tab",
    "The small model that ships with PyraTok draws",
)
"""What the page says of it alone, and shows with it alone."""


@pytest.fixture(scope="module")
def model() -> pyratok.PyraTokTextToVideoPipeline:
    """A tiny model with all that the app needs, but the alignment."""
    return tiny_text_to_video(7)


@pytest.fixture(scope="module")
def seen(model, clips, tmp_path_factory) -> dict[str, Any]:
    """What the app's functions give with it and five frames of a real clip."""
    folder = tmp_path_factory.mktemp("app")
    model.save_pretrained(folder / "mine")
    tiny_alignment().save_pretrained(folder / "mine" / "alignment")
    frames, info = pyratok.read_video(clips["park"], 5)
    pyratok.write_video(folder / "clip.mp4", frames[:, ::10, ::10].contiguous(), info.fps)
    environment = {**os.environ, "PYRATOK_MODEL": str(folder / "mine"), "TMPDIR": str(folder)}
    values = f"SPACE, CLIP = {str(SPACE)!r}, {str(folder / 'clip.mp4')!r}\n"
    return run_python(values + APP, folder, environment)


def test_another_model_makes_the_tokens_and_masks_of_a_clip(seen, model):
    (path,) = Path(seen["folder"]).glob("*.safetensors")
    tokens = pyratok.VideoTokens.load(path)
    tokens.check_fits(model.vq_model)
    assert seen["fingerprint"] == tokens.weights_fingerprint and tokens.model_id == seen["model"]
    assert "grass" in seen["masks"] and seen["masks"] == seen["masks of an upload"]
    assert seen["status"].startswith("done: ")


def test_no_masks_are_drawn_from_the_bundled_models_tokens(seen):
    assert "take the model that made them ('pyratok')" in seen["masks of an example"]


def test_the_page_of_another_model_does_not_show_what_is_the_bundled_models(seen):
    assert [words for words in OF_THE_BUNDLED_MODEL if words in seen["page"]] == []
    assert seen["no clip"].endswith("drop one.")


def test_the_page_of_the_bundled_model_shows_its_own():
    page = json.dumps(app.build().get_config_file(), default=str)
    assert [words for words in OF_THE_BUNDLED_MODEL if words not in page] == []


def test_a_variable_that_is_there_and_empty_names_no_model(monkeypatch):
    monkeypatch.setenv("PYRATOK_MODEL", "")
    assert runpy.run_path(str(SPACE / "shared_models.py"))["MODEL"] == "pyratok"
