"""What only a process of its own shows: a full disk, Ctrl-C, and a cache that another program reads."""

import http.server
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import pytest
from small_films import moving_square

import pyratok
from pyratok.commands.app import main
from pyratok.modeling_pyratok.video_writing import write_video
from pyratok.pipelines import bundled_model
from pyratok.pipelines.pictures import ContactSheet

COMMANDS = """
import json, sys
from pyratok.commands.app import app
for arguments in json.loads(sys.argv[1]):
    try:
        app(arguments, prog_name="pyratok")
    except SystemExit as end:
        print("exit", end.code)
"""

MAIN = "from pyratok.commands.app import main; main()"

LOAD = """
import sys
import diffusers, transformers, pyratok
from pyratok.pipelines.bundled_id_lookup import look_up_bundled_id_locally
look_up_bundled_id_locally()
for loader in (transformers.AutoModel, transformers.AutoProcessor, diffusers.DiffusionPipeline):
    print(type(loader.from_pretrained("pyratok")).__name__)
print(type(pyratok.PyraTokTextAlignment.from_pretrained("pyratok", subfolder="alignment")).__name__)
"""


def start(
    code: str, *arguments: str, before: Callable[[], None] | None = None, **environment: str
) -> subprocess.Popen:
    """Run Python code in a new process, its output captured."""
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **environment}
    command = [sys.executable, "-c", code, *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=environment, preexec_fn=before, **pipes)


def limit_files_to_800_bytes() -> None:
    """In a new process: no file may grow larger, as on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (800, 800))


@pytest.mark.slow
def test_a_full_disk_leaves_nothing(film, model_folder, work_folder, run):
    run("encode", film, "good.safetensors", "-m", model_folder)
    (work_folder / "out").mkdir()
    (work_folder / "out" / "contact_sheet.png").write_text("of an earlier run")
    before = sorted(work_folder.rglob("*"))
    commands = [
        ["reconstruct", film, "-o", "new", "-m", str(model_folder)],
        ["reconstruct", film, "-o", "out", "-m", str(model_folder), "--levels", "4"],
        ["encode", film, "out.safetensors", "-m", str(model_folder)],
        ["decode", "good.safetensors", "out.mp4", "-m", str(model_folder)],
        ["decode", "good.safetensors", "out.gif", "-m", str(model_folder)],
    ]
    process = start(COMMANDS, json.dumps(commands), before=limit_files_to_800_bytes)
    stdout, stderr = process.communicate(timeout=240)
    assert stdout.split("\n")[:-1] == ["exit 2"] * len(commands), stderr
    assert stderr.count("\n") == len(commands) == stderr.count("Error: cannot write"), stderr
    assert "file too large" in stderr and ".pyratok-" not in stderr
    assert sorted(work_folder.rglob("*")) == before


@pytest.mark.slow
def test_ctrl_c_leaves_nothing(model_folder, work_folder, tmp_path):
    write_video(tmp_path / "long.mkv", moving_square(20, 96, 128) * 40, Fraction(25))
    arguments = ("reconstruct", str(tmp_path / "long.mkv"), "-o", "out", "-m", str(model_folder))
    # A process that is started in the background may inherit an ignored SIGINT.
    process = start(MAIN, *arguments, before=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    deadline = time.monotonic() + 240
    while not any(path.stat().st_size for path in work_folder.rglob(".pyratok-*/*")):
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=240)
    assert (process.returncode, stdout, stderr) == (130, "", "Interrupted; no file is half written.\n")
    assert list(work_folder.iterdir()) == []


class HubWithoutThatRepository(http.server.BaseHTTPRequestHandler):
    """Answers as the Hub does to a signed-in user who asks for a repository that does not exist."""

    def do_GET(self) -> None:
        self.send_response(404)
        self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_POST = do_GET

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def hub() -> Iterator[str]:
    """The address of a Hub that knows no repository."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), HubWithoutThatRepository)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.mark.slow
def test_the_installed_model_loads_from_any_folder_offline_and_with_a_hub_that_does_not_know_it(
    bundle: Path, run, work_folder, tmp_path, hub, monkeypatch
):
    folder = shutil.copytree(bundle, tmp_path / "with alignment")
    pyratok.PyraTokTextAlignment(pyratok.PyraTokTextAlignmentConfig(codebook_size=16)).save_pretrained(
        folder / "alignment"
    )
    monkeypatch.setattr(bundled_model, "BUNDLED_FOLDER", folder)
    result = run("install", "--cache-dir", "cache")
    assert result.stdout.startswith("installed pyratok into ") and result.stderr == ""
    cache = {"HF_HUB_CACHE": str(work_folder / "cache"), "no_proxy": "127.0.0.1"}
    processes = [
        start(LOAD, **cache, HF_HUB_OFFLINE="1"),
        start(LOAD, **cache, HF_HUB_OFFLINE="0", HF_ENDPOINT=hub),
    ]
    for process in processes:
        stdout, stderr = process.communicate(timeout=240)
        names = ["PyraTokModel", "PyraTokVideoProcessor", "PyraTokReconstructionPipeline", "PyraTokTextAlignment"]
        assert stdout.split() == names, stderr


def test_being_terminated_ends_a_command_as_an_exception_does(film, model_folder, work_folder, monkeypatch):
    monkeypatch.setattr(ContactSheet, "picture", lambda sheet: os.kill(os.getpid(), signal.SIGTERM))
    monkeypatch.setattr(sys, "argv", ["pyratok", "reconstruct", film, "-o", "out", "-m", str(model_folder)])
    former = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as end:
            main()
    finally:
        signal.signal(signal.SIGTERM, former)
    assert end.value.code == 143
    assert list(work_folder.iterdir()) == []


def test_install_warns_of_a_folder_that_shadows_the_id(bundle: Path, run, work_folder):
    (work_folder / "pyratok").mkdir()
    for _ in range(2):
        result = run("install", "--cache-dir", "cache")
        assert result.stderr.startswith("Warning: ") and str(work_folder / "pyratok") in result.stderr
