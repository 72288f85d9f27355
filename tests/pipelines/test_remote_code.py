"""The files of code that go along with models and pipelines."""

import ast
import json
import re
import subprocess
import sys

import pytest
from tiny_repository import tiny_text_to_video
from transformers import AutoModel
from transformers.dynamic_module_utils import get_relative_import_files

from pyratok import PyraTokConfig, PyraTokError, PyraTokModel, PyraTokPrior, PyraTokVideoProcessor
from pyratok.configuration.remote_code import models_text
from pyratok.pipelines.diffusers_registration import PIPELINES
from pyratok.pipelines.remote_pipelines import ENTRY_LINES, add_remote_code, pipelines_text


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    folder = tmp_path_factory.mktemp("repository")
    tiny_text_to_video().save_pretrained(folder, remote_code=True)
    return folder


def test_imports_by_their_looks_name_files_that_are_there(repository):
    """transformers and diffusers find imports with a regular expression, in strings as well."""
    for name in ("modeling_pyratok", "pipelines_pyratok", "pipeline"):
        text = (repository / f"{name}.py").read_text()
        looked_up = re.findall(r"^\s*(?:import|from)\s+\.(\S+)", text, re.MULTILINE)
        assert set(looked_up) <= {"modeling_pyratok", "pipelines_pyratok"} - {name}
    found = get_relative_import_files(repository / "pipeline.py")
    assert {str(repository / f"{name}.py") for name in ("modeling_pyratok", "pipelines_pyratok")} == set(found)


def test_every_name_is_defined_and_every_pipeline_is_there(repository):
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "ruff",
            "check",
            "--isolated",
            "--select",
            "F",
            "--line-length",
            "200",
            str(repository),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    classes = {node.name for node in ast.parse(pipelines_text()).body if isinstance(node, ast.ClassDef)}
    assert {pipeline.__name__ for pipeline in PIPELINES} <= classes
    models = {node.name for node in ast.parse(models_text()).body if isinstance(node, ast.ClassDef)}
    assert {"PyraTokModel", "PyraTokPrior", "PyraTokTextAlignment", "PyraTokTokenProjector"} <= models


def test_a_model_that_is_saved_without_code_names_none(repository, tmp_path):
    model = AutoModel.from_pretrained(repository)
    assert model.config.auto_map["AutoModel"] == "modeling_pyratok.PyraTokModel"
    model.save_pretrained(tmp_path)
    PyraTokVideoProcessor.from_pretrained(repository).save_pretrained(tmp_path)
    for path in tmp_path.glob("*.json"):
        assert "auto_map" not in json.loads(path.read_text()), path.name
    assert not list(tmp_path.glob("*.py"))


@pytest.mark.parametrize("kind", [PyraTokModel, PyraTokPrior, PyraTokConfig])
def test_the_standard_way_of_transformers(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(kind, "_auto_class", None)
    pipeline = tiny_text_to_video()
    saved = {PyraTokModel: pipeline.vq_model, PyraTokPrior: pipeline.prior, PyraTokConfig: pipeline.vq_model.config}[
        kind
    ]
    kind.register_for_auto_class()
    saved.save_pretrained(tmp_path)
    assert kind._auto_class is not None and saved._auto_class is not None
    settings = json.loads((tmp_path / "config.json").read_text())
    name = {PyraTokModel: "PyraTokModel", PyraTokPrior: "PyraTokPrior", PyraTokConfig: "PyraTokModel"}[kind]
    assert settings["auto_map"]["AutoModel"] == f"modeling_pyratok.{name}"
    assert (tmp_path / "modeling_pyratok.py").read_text() == models_text()


def test_an_index_that_would_become_code_is_refused(repository, tmp_path):
    index = json.loads((repository / "model_index.json").read_text())
    for name in ("X\nimport os", "PyraTok-Pipeline", None, ["pipeline", "PyraTokTextToVideoPipeline"]):
        (tmp_path / "model_index.json").write_text(json.dumps({**index, "_class_name": name}))
        with pytest.raises(PyraTokError, match="names no pipeline of PyraTok"):
            add_remote_code(tmp_path)
        assert not (tmp_path / "pipeline.py").exists()
    assert "{name}" in "".join(ENTRY_LINES)
