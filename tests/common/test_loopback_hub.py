"""The loopback Hub speaks to huggingface_hub as the Hub does: uploads, history, refusals, a stop and a start."""

from pathlib import Path

from child_processes import run_python
from loopback_hub import LoopbackHub

UPLOAD = """
import json, os, warnings
from pathlib import Path
from huggingface_hub import CommitOperationDelete, HfApi, ModelCard
from huggingface_hub.errors import HfHubHTTPError

api, told = HfApi(), {}
told["user"] = api.whoami()["name"]
for kind in ("model", "dataset", "space"):
    options = {"space_sdk": "gradio"} if kind == "space" else {}
    told[kind] = str(api.create_repo("tester/thing", repo_type=kind, **options))
    api.create_repo("tester/thing", repo_type=kind, exist_ok=True, **options)
Path("up/deep").mkdir(parents=True)
Path("up/config.json").write_text("{}")
Path("up/empty.txt").write_text("")
Path("up/deep/weights.safetensors").write_bytes(bytes(range(256)) * 4096)
first = api.upload_folder(repo_id="tester/thing", folder_path="up", commit_message="one")
api.create_tag("tester/thing", tag="v1")
api.create_branch("tester/thing", branch="feature/x")
Path("up/config.json").write_text('{"a": 1}')
second = api.upload_folder(repo_id="tester/thing", folder_path="up", revision="feature/x", commit_message="two")
third = api.create_commit("tester/thing", [CommitOperationDelete("empty.txt")], commit_message="three")
told["commits"] = [first.oid, second.oid, third.oid]
told["history"] = [commit.title for commit in api.list_repo_commits("tester/thing")]
told["branches"] = sorted(branch.name for branch in api.list_repo_refs("tester/thing").branches)
told["paths"] = [found.path for found in api.get_paths_info("tester/thing", ["deep", "config.json", "none"])]
told["same"] = api.upload_folder(repo_id="tester/thing", folder_path="up/deep", path_in_repo="deep").oid == third.oid
for name, call in {
    "other's": lambda: api.create_repo("stranger/thing"),
    "late": lambda: api.upload_file(path_or_fileobj=b"x", path_in_repo="x", repo_id="tester/thing", parent_commit=first.oid),
    "again": lambda: api.create_repo("tester/thing"),
    "card": lambda: api.upload_file(
        path_or_fileobj=b"---\\nlicense: nonsense\\n---\\n", path_in_repo="README.md", repo_id="tester/thing"),
}.items():
    try:
        call()
    except (HfHubHTTPError, ValueError) as refused:
        told[name] = f"{type(refused).__name__} {getattr(getattr(refused, 'response', None), 'status_code', '')}"
api.create_repo("tester/secret", private=True)
api.upload_file(path_or_fileobj=b"{}", path_in_repo="config.json", repo_id="tester/secret")
print(json.dumps(told))
"""

DOWNLOAD = """
import json, os
from pathlib import Path
from huggingface_hub import HfApi, HfFileSystem, hf_hub_download, snapshot_download

told = {}
folder = Path(snapshot_download("tester/thing", revision="v1"))
told["weights"] = (folder / "deep/weights.safetensors").stat().st_size
told["v1"], told["files"] = folder.name, sorted(str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file())
for revision in ("feature/x", "main", folder.name):
    told[revision] = Path(hf_hub_download("tester/thing", "config.json", revision=revision)).read_text()
for name, asked in {
    "entry": ("tester/thing", "none.json", None),
    "revision": ("tester/thing", "config.json", "nowhere"),
    "repository": ("tester/none", "config.json", None),
    "private": ("tester/secret", "config.json", None),
    "single": ("pyratok", "config.json", None),
}.items():
    try:
        hf_hub_download(asked[0], asked[1], revision=asked[2])
    except Exception as refused:
        told[name] = type(refused).__name__
with HfFileSystem().open("tester/thing/deep/weights.safetensors", "rb", block_size=1000) as file:
    file.seek(300)
    told["range"] = list(file.read(3))
told["models"] = [model.id for model in HfApi().list_models(author="tester")]
print(json.dumps(told))
"""


def test_pushed_and_loaded_with_history_and_refusals(hub: LoopbackHub, tmp_path: Path):
    (tmp_path / "work").mkdir()
    pushed = run_python(UPLOAD, tmp_path / "work", hub.environment(tmp_path / "home"))
    assert pushed["user"] == "tester"
    assert pushed["dataset"] == f"{hub.endpoint}/datasets/tester/thing"
    assert pushed["history"] == ["three", "one", "initial commit"]
    assert pushed["branches"] == ["feature/x", "main"]
    assert pushed["paths"] == ["config.json", "deep"]
    assert pushed["same"]
    assert pushed["other's"].startswith("HfHubHTTPError 403")
    assert pushed["late"].startswith("HfHubHTTPError 412")
    assert pushed["again"].startswith("HfHubHTTPError 409")
    assert pushed["card"].startswith("ValueError")
    assert hub.files("tester/thing") == ["config.json", "deep/weights.safetensors"]
    assert hub.read("tester/thing", "config.json", "feature/x") == b'{"a": 1}'
    assert any(r.method == "PUT" and r.path.startswith("/lfs/") for r in hub.requests)

    hub.stop()
    hub.start()
    environment = hub.environment(tmp_path / "other home", token=None)
    found = run_python(DOWNLOAD, tmp_path, environment)
    first = pushed["commits"][0]
    assert (found["v1"], found["weights"]) == (first, 2**20)
    assert found["files"] == ["config.json", "deep/weights.safetensors", "empty.txt"]
    assert (found["feature/x"], found["main"], found[first]) == ('{"a": 1}', "{}", "{}")
    assert (found["entry"], found["revision"]) == ("RemoteEntryNotFoundError", "RevisionNotFoundError")
    assert found["repository"] == found["private"] == found["single"] == "RepositoryNotFoundError"
    assert found["range"] == [300 % 256, 301 % 256, 302 % 256]
    assert found["models"] == ["tester/thing"]
    assert {r.user for r in hub.requests if "secret" in r.path} == {"tester", None}
