"""`pyratok push`, against a Hub on loopback."""

import json
import shutil
from pathlib import Path

from child_processes import run_python
from tiny_repository import save_tiny_repository, tiny_text_to_video

from pyratok.pipelines.bundled_model import BUNDLED_FOLDER

PUSH = """
import json, sys
from typer.testing import CliRunner
from pyratok.commands.app import app

told = []
for line in json.loads(sys.stdin.read()):
    done = CliRunner().invoke(app, line)
    assert done.exception is None or isinstance(done.exception, SystemExit), repr(done.exception)
    told.append([done.exit_code, done.stdout, done.stderr])
print(json.dumps(told))
"""


def pushed(folder: Path, environment: dict[str, str], *lines: list[str]) -> list[tuple[int, str, str]]:
    """Exit code, stdout and stderr of commands that one process ran one after another."""
    code = PUSH.replace("sys.stdin.read()", repr(json.dumps(lines)))
    return [tuple(told) for told in run_python(code, folder, environment)]


def test_whole_repositories_are_pushed(hub, tmp_path):
    save_tiny_repository(tmp_path / "tiny", "smollm2-135m")
    (tmp_path / "tiny" / "pytorch_model.bin").write_bytes(b"a pickle")
    (tmp_path / "tiny" / "notes.py").write_text("raise SystemExit")
    (tmp_path / "tiny" / "README.md").write_text("---\nlicense: mit\n---\n\n# Mine\n")
    stage = tmp_path / "stage_2"  # as training leaves it
    pipeline = tiny_text_to_video()
    pipeline.vq_model.save_pretrained(stage / "model")
    pipeline.prior.save_pretrained(stage / "prior")
    (stage / "checkpoints").mkdir()
    (tmp_path / "tiny" / "private_clips").mkdir()
    (tmp_path / "tiny" / "private_clips" / "passwords.txt").write_text("secret")

    lines = [
        ["push", "tiny", "tester/tiny", "--with-code", "--message", "first one"],
        ["push", "tiny", "tester/tiny", "--revision", "plain"],
        ["push", "stage_2", "stage", "--private"],
        ["push", "pyratok", "tester/pyratok"],
        ["push", "tiny", "tester/again"],
        ["push", "stage_2/model", "tester/again"],
        ["push", "tiny", "stranger/tiny"],
        ["push", "tiny", "tester/not a name"],
    ]
    told = pushed(tmp_path, hub.environment(tmp_path / "home"), *lines)
    assert [code for code, *_ in told] == [0, 0, 0, 0, 0, 0, 2, 2]
    assert told[0][1].endswith(f"to {hub.endpoint}/tester/tiny\n") and told[0][2] == ""
    assert told[1][1].endswith(f"to {hub.endpoint}/tester/tiny/tree/plain\n")
    files = hub.files("tester/tiny")
    assert {"modeling_pyratok.py", "pipeline.py", "prior/model.safetensors", "alignment/config.json"} <= set(files)
    assert not {"pytorch_model.bin", "notes.py", "private_clips/passwords.txt"} & set(files)
    assert hub.read("tester/tiny", "README.md") == (tmp_path / "tiny/README.md").read_bytes()
    assert hub.commit("tester/tiny").title == "first one"
    assert "modeling_pyratok.py" in hub.files("tester/tiny", "plain")  # a branch begins where main is
    assert hub.read("tester/tiny", "model_index.json", "plain") == (tmp_path / "tiny/model_index.json").read_bytes()

    assert hub.repositories.find("tester/stage", "model").private
    assert {"config.json", "model.safetensors", "prior/config.json", "README.md"} <= set(hub.files("tester/stage"))
    assert not any(name.startswith("checkpoints") for name in hub.files("tester/stage"))
    assert b'from_pretrained("tester/stage")' in hub.read("tester/stage", "README.md")
    assert {"alignment/model.safetensors", "evaluation.json", "text_encoder/config.json"} <= set(
        hub.files("tester/pyratok")
    )
    again = set(hub.files("tester/again"))  # another tokenizer, without the parts of the one before
    assert {"config.json", "prior/config.json"} <= again
    assert not [
        name for name in again if name.startswith(("alignment/", "text_encoder/")) or name == "model_index.json"
    ]
    assert told[6][2] == (
        "Error: cannot push to 'stranger/tiny': you may not do that there: give an id under your own name, or log in with "
        "`hf auth login`, or set HF_TOKEN, with a token that may write\n"
    )
    assert "ids are NAME or OWNER/NAME" in told[7][2] and told[7][2].count("\n") == 1

    (nobody,) = pushed(tmp_path, hub.environment(tmp_path / "home", token=None), ["push", "tiny", "tester/other"])
    assert nobody[0] == 2 and "hf auth login" in nobody[2] and nobody[2].count("\n") == 1


def test_what_is_no_whole_model_is_not_pushed(refused, model_folder, tmp_path):
    assert "there is no folder 'none'" in refused("push", "none", "tester/x")
    broken = tmp_path / "broken"
    shutil.copytree(model_folder, broken)
    (broken / "model.safetensors").write_bytes((broken / "model.safetensors").read_bytes()[:5000])
    assert "cannot be loaded" in refused("push", broken, "tester/x")
    assert "HF_HUB_OFFLINE is set" in refused("push", model_folder, "tester/x")
    linked = tmp_path / "linked"
    shutil.copytree(model_folder, linked)
    (linked / "notes.txt").symlink_to(tmp_path / "broken" / "config.json")
    assert "links to a file that lies elsewhere" in refused("push", linked, "tester/x")
    (linked / "notes.txt").unlink()
    for index in ("[]", '{"_class_name": "x\\nimport os"}', '{"_class_name": null}', '{"a": ["b"]}', "{"):
        (linked / "model_index.json").write_text(index)
        assert "model_index.json" in refused("push", linked, "tester/x", "--with-code")


def test_what_cannot_be_pushed_leaves_the_hub_as_it_was(hub, tmp_path, model_folder):
    for name in ("mine", "foreign", "unlicensed", "stage/model"):
        shutil.copytree(model_folder, tmp_path / name)
    for name in ("foreign", "stage/model"):
        shutil.copy(BUNDLED_FOLDER / "evaluation.json", tmp_path / name)
    (tmp_path / "unlicensed" / "README.md").write_text("---\nlicense: nonsense\n---\n\n# Mine\n")
    (tmp_path / "stage" / "prior").mkdir()
    lines = [
        ["push", "mine", "tester/public"],
        ["push", "mine", "tester/public", "--private", "--message", "secret"],
        ["push", "mine", "public", "--private", "--message", "secret"],
        ["push", "foreign", "tester/foreign"],
        ["push", "stage", "tester/foreign"],
        ["push", "unlicensed", "tester/unlicensed"],
    ]
    told = pushed(tmp_path, hub.environment(tmp_path / "home"), *lines)
    assert [code for code, *_ in told] == [0, 2, 2, 2, 2, 2]
    assert all(said.startswith("Error: ") and said.count("\n") == 1 for _, _, said in told[1:])
    assert "the model 'tester/public' is there and is public" in told[1][2] and told[1][2] == told[2][2]
    assert "Error: 'foreign/evaluation.json' was measured of other weights" in told[3][2]
    assert "Error: 'stage/model/evaluation.json' was measured of other weights" in told[4][2]
    assert "the Hub refuses the metadata of the card, README.md: unknown license 'nonsense'" in told[5][2]
    assert [known.repo_id for known in hub.repositories.of_type("model")] == ["tester/public"]
    assert hub.commit("tester/public").title == "Upload PyraTok"


def test_components_are_named_by_words_alone(hub, tmp_path, model_folder):
    shutil.copytree(model_folder, tmp_path / "outer" / "model")
    shutil.copytree(model_folder, tmp_path / "outer" / "model" / "a-b")
    (tmp_path / "outer" / "victim.txt").write_text("of the folder above")
    (tmp_path / "temporary").mkdir()
    index = tmp_path / "outer" / "model" / "model_index.json"
    index.write_text(
        json.dumps({**json.loads(index.read_text()), "..": ["diffusers", "A"], "a-b": ["diffusers", "A"]})
    )
    environment = hub.environment(tmp_path / "home", TMPDIR=str(tmp_path / "temporary"))
    (told,) = pushed(tmp_path, environment, ["push", "outer/model", "tester/model"])
    assert told[0] == 0, told
    assert not list((tmp_path / "temporary").rglob("victim.txt"))
    assert not [name for name in hub.files("tester/model") if "victim" in name or "a-b" in name]
