"""`pyratok push`, against a Hub on loopback."""

import json
import shutil
from pathlib import Path

from child_processes import run_python
from tiny_repository import save_tiny_repository, tiny_text_to_video

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
    return [tuple(told) for told in json.loads(run_python(code, folder, environment).splitlines()[-1])]


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
