"""`pyratok encode FOLDER --push ID` against a Hub on loopback, and what `datasets` streams from there in a fresh process."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from child_processes import run_python
from hub_metadata import metadata_problems
from huggingface_hub import DatasetCard
from loopback_hub import LoopbackHub
from pyarrow import parquet

import pyratok

TRAIN = "data/train-00000-of-00001.parquet"

READ = """
import json
from datasets import load_dataset
from datasets.distributed import split_dataset_by_node
from pyratok import VideoTokens, token_sequence

order = (4, 3, 2, 1)
rows = load_dataset(ID, split="train", streaming=True)
rows = rows.map(token_sequence, fn_kwargs={"order": order})
found = {}
for row in rows:
    kept = VideoTokens.from_bytes(row["tokens"])
    others = dict(fps=kept.fps, model_id=kept.model_id, weights_fingerprint=kept.weights_fingerprint, caption=row["caption"])
    again = VideoTokens.from_sequence(row["input_ids"], kept.video_size, kept.level_strides, order, **others)
    found[row["name"]] = {"bytes": again.to_bytes().hex(), "caption": row["caption"], "length": row["length"]}
halves = [[row["name"] for row in split_dataset_by_node(rows, rank, 2)] for rank in range(2)]
loaded = [row["name"] for row in load_dataset(ID, split="train")]
print(json.dumps({"found": found, "halves": halves, "loaded": loaded}))
"""


COMMANDS = """
import json, os, sys
from typer.testing import CliRunner
from pyratok.commands.app import app

answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
for line in sys.stdin:
    asked = json.loads(line)
    os.chdir(asked["folder"])
    os.environ["HF_TOKEN"] = asked["token"]
    result = CliRunner().invoke(app, asked["command"])
    problem = None if isinstance(result.exception, SystemExit | None) else repr(result.exception)
    print(json.dumps([result.exit_code, result.stdout, result.stderr, problem]), file=answers, flush=True)
os._exit(0)
"""


@pytest.fixture
def data(films: Path, tmp_path: Path) -> Path:
    """Two files with captions, one of them made to attack."""
    folder = tmp_path / "data"
    (folder / "pictures").mkdir(parents=True)
    shutil.copy(films / "square.mp4", folder)
    shutil.copy(films / "still.png", folder / "pictures")
    captions = {"square.mp4": "a square\n---\n<script>alert(1)</script>{{ 7 * 7 }}", "pictures/still.png": None}
    lines = [json.dumps({"file_name": name, "text": text}) for name, text in captions.items()]
    (folder / "metadata.jsonl").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackHub]:
    """One Hub for all tests here, each with datasets of its own, so that one process can talk with it."""
    with LoopbackHub(tmp_path_factory.mktemp("hub")) as started:
        yield started


@pytest.fixture(scope="module")
def child(hub: LoopbackHub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen]:
    """A process that knows the Hub and runs commands; starting one for each would take most of the time."""
    environment = hub.environment(tmp_path_factory.mktemp("home"))
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", COMMANDS], env=environment, **pipes) as process:
        yield process
        process.stdin.close()


@pytest.fixture
def command(child: subprocess.Popen, model_folder: Path, work_folder: Path):
    """Run a command of `pyratok` in that process, beside a folder `model`: (exit code, stdout, lines of stderr)."""
    shutil.copytree(model_folder, work_folder / "model")

    def run(*arguments: object, token: str = "hf_tester") -> tuple[int, str, list[str]]:
        command = list(map(str, arguments))
        child.stdin.write(json.dumps({"command": command, "token": token, "folder": str(work_folder)}) + "\n")
        child.stdin.flush()
        code, said, errors, problem = json.loads(child.stdout.readline())
        assert problem is None, problem
        return code, said, errors.splitlines()

    return run


@pytest.fixture
def encode(command):
    """`pyratok encode` with that model, in the same way."""
    return lambda *arguments, **others: command("encode", *arguments, "--model", "model", **others)


@pytest.fixture
def made_by(hub: LoopbackHub, tmp_path: Path):
    """What the tokens in a dataset's split `train` say that they were made by."""

    def models(repo_id: str) -> set[str]:
        (tmp_path / "train.parquet").write_bytes(hub.read(repo_id, TRAIN, repo_type="dataset"))
        rows = parquet.read_table(tmp_path / "train.parquet")["tokens"].to_pylist()
        return {pyratok.VideoTokens.from_bytes(row).model_id for row in rows}

    return models


def read(hub: LoopbackHub, repo_id: str, folder: Path) -> dict:
    """What a fresh process, with a cache of its own and no token, streams from the Hub."""
    environment = hub.environment(folder / "reader's home", token=None)
    return run_python(f"ID = {repo_id!r}\n{READ}", folder, environment)


def test_pushed_tokens_stream_back_in_another_process(encode, hub, data, tmp_path, work_folder):
    code, said, warnings = encode(data, "--push", "tester/films", "--license", "cc-by-4.0")
    assert code == 0, warnings
    assert f"pushed 2 clips in 1 shards as the split train to {hub.endpoint}/datasets/tester/films" in said
    (warning,) = warnings
    assert warning.startswith("Warning: everybody will read that the tokenizer is 'model'")
    assert hub.files("tester/films", repo_type="dataset") == ["README.md", TRAIN]
    files = {path.name: path for path in (work_folder / "films-token-files/train").rglob("*.safetensors")}
    assert sorted(files) == ["square.mp4.safetensors", "still.png.safetensors"]
    assert not list((work_folder / "films-token-files").rglob(".pyratok-dataset-*"))

    seen = read(hub, "tester/films", tmp_path)
    expected = {"square.mp4": files["square.mp4.safetensors"], "pictures/still.png": files["still.png.safetensors"]}
    assert {name: row["bytes"] for name, row in seen["found"].items()} == {
        name: path.read_bytes().hex() for name, path in expected.items()
    }
    for name, path in expected.items():
        tokens = pyratok.VideoTokens.load(path)
        assert seen["found"][name]["caption"] == tokens.caption
        assert seen["found"][name]["length"] == tokens.num_tokens + 4
    assert sorted(sum(seen["halves"], [])) == sorted(seen["loaded"]) == sorted(expected)

    text = hub.read("tester/films", "README.md", repo_type="dataset").decode()
    assert metadata_problems(text, "dataset") == []
    assert DatasetCard(text).data.license == "cc-by-4.0"
    assert "<script>" not in text and "49" not in text.split("The first rows:")[1].split("## Limits")[0]
    assert any(request.path == "/api/validate-yaml" for request in hub.requests)


def test_a_second_push_goes_on_and_replaces_the_split(encode, hub, data, work_folder):
    folder = work_folder / "mine"
    assert encode(data, folder, "--push", "tester/two", "--private")[0] == 0
    first = hub.commit("tester/two", repo_type="dataset")
    code, said, _ = encode(data, folder, "--push", "two")  # its owner is who pushes
    assert code == 0 and "2 were up to date" in said
    assert hub.commit("tester/two", repo_type="dataset").files[TRAIN] == first.files[TRAIN]
    assert hub.repositories.find("tester/two", "dataset").private

    text = hub.read("tester/two", "README.md", repo_type="dataset").decode()
    hub.write("tester/two", {"README.md": text.replace("More information is needed here", "Mine").encode()}, "dataset")
    (data / "square.mp4").unlink()
    assert encode(data, folder, "--push", "tester/two", "--license", "mit")[0] == 0
    table = parquet.read_table(
        hub.repositories.blobs.path(hub.commit("tester/two", repo_type="dataset").files[TRAIN].sha256)
    )
    assert table["name"].to_pylist() == ["pictures/still.png"]
    assert encode(data, "held-out", "--push", "tester/two", "--split", "validation")[0] == 0
    card = DatasetCard(hub.read("tester/two", "README.md", repo_type="dataset").decode())
    assert "Mine: whose videos" in card.text and card.data.license == "mit"
    assert "| train | 1 | 0 |" in card.text and "| validation | 1 | 0 |" in card.text
    files = ["README.md", TRAIN, TRAIN.replace("train", "validation")]
    assert hub.files("tester/two", repo_type="dataset") == files


def test_tokens_name_the_tokenizer_that_was_pushed_after_they_were_made(command, hub, data, made_by):
    """As the warning advises: push the model, give its id; no clip is encoded again."""
    code, _, warnings = command("encode", data, "--model", "model", "--push", "tester/renamed")
    assert code == 0 and "push the model first and give its id to --model" in warnings[0]
    assert made_by("tester/renamed") == {"model"}
    assert command("push", "model", "tester/mine")[0] == 0
    code, said, warnings = command("encode", data, "--model", "tester/mine", "--push", "tester/renamed")
    assert (code, warnings) == (0, []) and "wrote 0 token files" in said and "2 were up to date" in said
    assert made_by("tester/renamed") == {"tester/mine"}
    card = hub.read("tester/renamed", "README.md", repo_type="dataset").decode()
    assert "tester/mine" in card and 'from_pretrained("model")' not in card


def test_shards_of_an_earlier_push_with_others_names_are_removed(encode, hub, data):
    assert encode(data, "--push", "tester/three")[0] == 0
    shard = hub.read("tester/three", TRAIN, repo_type="dataset")
    mine = {
        "notes.txt": b"mine",
        "data/train-notes.parquet": b"mine",
        "data/train-x/deep/other.parquet": b"mine",
        "data/old/train-00000-of-00001.parquet": b"mine",
        "data/[t]rain-00000-of-00001.parquet": b"mine",
    }
    old = {"data/train-00000-of-00002.parquet": shard, "data/train-00001-of-00002.parquet": shard}
    hub.write("tester/three", {**old, **mine}, "dataset")
    assert encode(data, "--push", "tester/three")[0] == 0
    assert hub.files("tester/three", repo_type="dataset") == sorted(["README.md", TRAIN, *mine])


def test_what_cannot_be_read_is_named_and_the_rest_is_pushed(encode, hub, data):
    (data / "cut.mp4").write_bytes((data / "square.mp4").read_bytes()[:-900])
    code, said, warnings = encode(data, "--push", "tester/four")
    assert code == 0 and "pushed 2 clips" in said
    assert any(line.startswith("left out: ") and "cut.mp4" in line for line in warnings)


def refused(encode, data: Path, *arguments: object, **others: str) -> str:
    """The one sentence with which the command ends before anything is encoded or made on the Hub."""
    code, said, errors = encode(data, *arguments, **others)
    assert (code, said) == (2, ""), errors
    assert errors[-1].startswith("Error: ")
    return errors[-1]


def test_what_would_fail_is_refused_before_the_work(encode, hub, data, work_folder):
    hub.write("tester/public", {"notes.txt": b"mine"}, "dataset")
    hub.write("Workshop/films", {"notes.txt": b"of somebody else"}, "dataset")
    known = hub.repositories.of_type("dataset")
    for arguments, reason in (
        (("--push", "tester/five", "--license", "nonsense"), "knows no licence 'nonsense'"),
        (("--push", "tester/five", "--split", "../train"), "a split is named"),
        (("--push", "a/b/c"), "a/b/c"),
        (("--push", "../films"), "../films"),
        (("--push", "tester/public", "--private"), "is there and is public"),
        (("--push", "stranger/films"), "the Hub knows you as 'tester', and 'stranger' is no organization of yours"),
        (("--push", "Library/films"), "in the organization 'Library' you may only read"),
        (("--push", "Workshop/films"), "you may not do that there"),
        (("out", "--split", "test"), "it needs --push"),
        (("out", "--private"), "it needs --push"),
    ):
        assert reason in refused(encode, data, *arguments)
    assert "log in with" in refused(encode, data, "--push", "tester/five", token="")
    assert "does not know you" in refused(encode, data, "--push", "tester/five", token="hf_wrong")
    assert "may only read; make one that may write" in refused(encode, data, "--push", "five", token="hf_reader")
    assert "takes the videos of a folder" in refused(encode, data / "square.mp4", "--push", "tester/five")
    assert sorted(os.listdir(work_folder)) == ["model"]
    assert hub.files("tester/public", repo_type="dataset") == ["notes.txt"]
    assert hub.repositories.of_type("dataset") == known


def test_a_dataset_of_an_organization_of_theirs_can_be_pushed(encode, hub, data):
    for owner in ("guild", "Guild"):  # the Hub does not tell capital letters
        assert "is no organization" not in "".join(encode(data, "--push", f"{owner}/films")[2])
    assert hub.files("Guild/films", repo_type="dataset") == ["README.md", TRAIN]


def test_what_does_not_fit_the_dataset_is_refused_before_clips_are_encoded(encode, hub, data, work_folder):
    test = "data/test-00000-of-00001.parquet"
    for name, contents in (
        (test, b"no tokens"),
        (test, _foreign(work_folder)),
        ("README.md", b"---\ntags: [1]\n---\n"),
    ):
        hub.write("tester/other", {test: b"", "README.md": b"", name: contents}, "dataset")
        before = hub.commit("tester/other", repo_type="dataset")
        assert name in refused(encode, data, "--push", "tester/other")
        assert hub.commit("tester/other", repo_type="dataset") == before
    assert not (work_folder / "other-token-files").exists()
    assert encode(data, "--push", "tester/kinds", "--split", "test")[0] == 0
    before = hub.commit("tester/kinds", repo_type="dataset")
    reason = refused(encode, data, "--push", "tester/kinds", "--levels", "1,2")
    assert "those in 'tester/kinds' are others: levels = (1, 2, 3, 4) there and (1, 2) here" in reason
    assert hub.commit("tester/kinds", repo_type="dataset") == before
    assert not (work_folder / "kinds-token-files/train").exists()
    assert encode(data, "--push", "tester/kinds")[0] == 0


def _foreign(folder: Path) -> bytes:
    """A Parquet file of something else."""
    import pyarrow

    parquet.write_table(pyarrow.table({"text": ["a"]}), folder / "foreign.parquet")
    return (folder / "foreign.parquet").read_bytes()
