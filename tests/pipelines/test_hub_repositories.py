"""Repositories on the Hub: pushed by one process and opened by fresh ones, with PyraTok installed and without it."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from child_processes import WITH_HELPERS, run_python
from hub_scripts import hub_after
from loopback_hub import LoopbackHub

PUSH = """
import json, torch, pyratok
from pathlib import Path
from huggingface_hub import HfApi
from safetensors.torch import save_file
from pyratok.pipelines.remote_pipelines import add_remote_code
from pyratok.modeling_pyratok.repository_upload import upload_repository
from tiny_repository import adapted, push_language_model, save_tiny_repository, tiny_text_to_video

api, told = HfApi(), {}
push_language_model("tester/language")
save_tiny_repository(Path("video"), "tester/language")
Path("video/README.md").write_text("---\\nlicense: apache-2.0\\n---\\n\\n# Kept\\n")
add_remote_code("video")
told["address"] = upload_repository("video", "tester/video", commit_message="all of it")

pipeline = tiny_text_to_video()
pipeline.push_to_hub("tester/plain", max_shard_size="20KB")
told["sharded"] = pipeline.push_to_hub("tester/plain", revision="sharded", max_shard_size="20KB", private=False)
api.create_tag("tester/plain", tag="v1")
pipeline.push_to_hub("tester/plain", commit_message="whole again")
half = tiny_text_to_video().to(torch.float16)
half.save_pretrained("half", variant="fp16", push_to_hub=True, repo_id="tester/half")
pipeline.save_pretrained("half2", push_to_hub=True, repo_id="tester/half")
torch.manual_seed(1)
other = pyratok.PyraTokModel(pyratok.PyraTokConfig.tiny()).eval()
other.push_to_hub("tester/plain", revision="other")

for kind in (pyratok.PyraTokConfig, pyratok.PyraTokModel, pyratok.PyraTokVideoProcessor, pyratok.PyraTokPrior):
    kind.register_for_auto_class()
pipeline.vq_model.push_to_hub("tester/alone")
pipeline.video_processor.push_to_hub("tester/alone")
pipeline.prior.save_pretrained("prior", push_to_hub=True, repo_id="tester/prior")
pipeline.vq_model.push_to_hub("tester/secret", private=True)

tuned = adapted(1)
tuned.save_lora("lora", push_to_hub=True, repo_id="tester/lora")
adapted(3).save_lora("other lora", push_to_hub=True, repo_id="tester/lora", revision="other")
told["tuned"] = [tuned.weights_fingerprint(), adapted(3).weights_fingerprint()]

video = torch.rand(5, 3, 32, 40, generator=torch.Generator().manual_seed(0))
pyratok.write_video("clip.mp4", (255 * video).byte().movedim(1, -1), 8)
tokens = pyratok.PyraTokReconstructionPipeline(pipeline.vq_model)(video, output_type="pt")
drawn = pipeline("a rabbit", num_frames=5, height=32, width=40, generator=torch.Generator().manual_seed(3), output_type="pt")
codes = {f"level{index}": level for index, level in enumerate(tokens.tokens.video_codes)}
pixels = pipeline.video_processor("clip.mp4")["pixel_values_videos"]
kept = {"video": video, "frames": tokens.frames, "drawn": drawn.frames, "read": pixels.contiguous(), **codes}
save_file(kept, "expected.safetensors")
told["fingerprint"], told["other"] = pipeline.vq_model.weights_fingerprint(), other.weights_fingerprint()
print(json.dumps(told))
"""

LOAD = """
import json, sys, torch
from diffusers import DiffusionPipeline
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModel, AutoProcessor

expected = load_file("expected.safetensors")
video = expected["video"]

def same_codes(model):
    codes = model.encode(2 * video[None] - 1).video_codes
    assert all(torch.equal(level, expected[f"level{index}"]) for index, level in enumerate(codes))
    return model

def same_video(pipeline):
    seed = torch.Generator().manual_seed(3)
    frames = pipeline("a rabbit", num_frames=5, height=32, width=40, generator=seed, output_type="pt").frames
    assert torch.equal(frames, expected["drawn"])
    return pipeline
"""

INSTALLED = (
    LOAD
    + """
import pyratok
from huggingface_hub import HfApi
from pyratok import *
from tiny_repository import adapted

told = {}
assert type(AutoConfig.from_pretrained("tester/video")) is PyraTokConfig
model = same_codes(AutoModel.from_pretrained("tester/video"))
assert type(model) is PyraTokModel and not model.training
processor = AutoProcessor.from_pretrained("tester/video")
assert torch.equal(processor("clip.mp4")["pixel_values_videos"], expected["read"])
for part, kind in {"prior": PyraTokPrior, "alignment": PyraTokTextAlignment, "projector": PyraTokTokenProjector}.items():
    assert type(AutoModel.from_pretrained("tester/video", subfolder=part)) is kind
    assert type(AutoConfig.from_pretrained("tester/video", subfolder=part)) is kind.config_class
same_video(DiffusionPipeline.from_pretrained("tester/video"))
same_video(PyraTokTextToVideoPipeline.from_pretrained("tester/video"))
told["code"] = sorted(name for name in sys.modules if name.startswith(("transformers_modules", "diffusers_modules")))

frames = PyraTokReconstructionPipeline.from_pretrained("tester/video")(video, output_type="pt")
assert torch.equal(frames.frames, expected["frames"])
assert PyraTokSegmentationPipeline.from_pretrained("tester/video")(frames.tokens, "a dog").masks.shape[1:] == (5, 32, 40)
assert len(PyraTokActionLocalizationPipeline.from_pretrained("tester/video")(frames.tokens, "a dog").segments) == 1
assert len(PyraTokClassificationPipeline.from_pretrained("tester/video")(frames.tokens, ["a", "b"]).scores) == 2
asks = PyraTokQuestionAnsweringPipeline.from_pretrained("tester/video")
assert asks(frames.tokens, "what is it?", ["a cat", "a dog"]).answer in ("a cat", "a dog")

for device_map in ("cpu", "auto", {"": "cpu"}):
    same_codes(AutoModel.from_pretrained("tester/plain", revision="sharded", device_map=device_map))
same_video(DiffusionPipeline.from_pretrained("tester/plain", revision="sharded"))
same_video(PyraTokTextToVideoPipeline.from_pretrained("tester/plain", revision="v1"))
same_video(DiffusionPipeline.from_pretrained("tester/plain"))
commits = [commit.commit_id for commit in HfApi().list_repo_commits("tester/plain")]
same_codes(AutoModel.from_pretrained("tester/plain", revision=commits[0]))
other = AutoModel.from_pretrained("tester/plain", revision="other")
told["fingerprints"] = [model.weights_fingerprint(), other.weights_fingerprint()]
assert AutoModel.from_pretrained("tester/video", dtype=torch.bfloat16).dtype == torch.bfloat16

def is_rounded(model):
    return all(torch.equal(weight, weight.half().float()) for weight in model.float().parameters())

assert is_rounded(AutoModel.from_pretrained("tester/half", variant="fp16"))
assert not is_rounded(AutoModel.from_pretrained("tester/half"))
half = PyraTokTextToVideoPipeline.from_pretrained("tester/half", variant="fp16", dtype=torch.float16)
assert half.vq_model.dtype == half.prior.dtype == torch.float16
assert is_rounded(half.vq_model) and is_rounded(half.prior)
same_codes(AutoModel.from_pretrained("tester/alone"))

tuned = adapted(2)
told["tuned"] = []
for revision in (None, "other"):
    tuned.load_lora("tester/lora", revision=revision)
    told["tuned"].append(tuned.weights_fingerprint())
told["lora"] = []
for name, revision in (("tester/none", None), ("tester/lora", "none"), ("not an id", None)):
    try:
        tuned.load_lora(name, revision=revision)
    except PyraTokError as refused:
        told["lora"].append(str(refused))

for name, load in {
    "revision": lambda: AutoModel.from_pretrained("tester/video", revision="nowhere"),
    "revision of a pipeline": lambda: PyraTokTextToVideoPipeline.from_pretrained("tester/video", revision="nowhere"),
    "id": lambda: AutoModel.from_pretrained("tester/nothing"),
    "id of a pipeline": lambda: DiffusionPipeline.from_pretrained("tester/nothing"),
    "private": lambda: AutoModel.from_pretrained("tester/secret"),
}.items():
    try:
        load()
    except OSError as refused:
        told[name] = f"{type(refused).__name__}: {refused}"
print(json.dumps(told))
"""
)

NOT_INSTALLED = (
    LOAD
    + """
from transformers.dynamic_module_utils import get_class_from_dynamic_module

told = {}
for name, load in {
    "untrusted model": lambda: AutoModel.from_pretrained("tester/video", trust_remote_code=False),
    "untrusted pipeline": lambda: DiffusionPipeline.from_pretrained("tester/video", custom_pipeline="pipeline"),
}.items():
    try:
        load()
    except ValueError as refused:
        told[name] = str(refused)
told["code"] = sorted(name for name in sys.modules if name.startswith(("transformers_modules.", "diffusers_modules.")))

trusted = {"trust_remote_code": True}
assert type(AutoConfig.from_pretrained("tester/video", **trusted)).__name__ == "PyraTokConfig"
model = same_codes(AutoModel.from_pretrained("tester/video", **trusted))
processor = AutoProcessor.from_pretrained("tester/video", **trusted)
assert torch.equal(processor("clip.mp4")["pixel_values_videos"], expected["read"])
for part in ("prior", "alignment", "projector"):
    told[part] = type(AutoModel.from_pretrained("tester/video", subfolder=part, **trusted)).__name__
same_codes(AutoModel.from_pretrained("tester/alone", **trusted))
assert torch.equal(AutoProcessor.from_pretrained("tester/alone", **trusted)(video)["pixel_values_videos"], 2 * video[None] - 1)
told["alone"] = type(AutoModel.from_pretrained("tester/prior", **trusted)).__name__

pipeline = same_video(DiffusionPipeline.from_pretrained("tester/video", custom_pipeline="pipeline", **trusted))
told["quantization"] = type(pipeline.text_encoder.config.quantization_config).__name__
tokens = get_class_from_dynamic_module("pipelines_pyratok.PyraTokReconstructionPipeline", "tester/video").from_pretrained(
    "tester/video")(video, output_type="pt")
assert torch.equal(tokens.frames, expected["frames"])
for name in ("Segmentation", "ActionLocalization", "Classification", "QuestionAnswering"):
    kind = get_class_from_dynamic_module(f"pipelines_pyratok.PyraTok{name}Pipeline", "tester/video")
    kind.from_pretrained("tester/video")(tokens.tokens, *(["what?", ["a", "b"]] if name.startswith("Q") else [["a", "b"]]))

pipeline.save_pretrained("again", remote_code=True)
same_video(DiffusionPipeline.from_pretrained("again", custom_pipeline="pipeline", **trusted))
model.save_pretrained("model again")
same_codes(AutoModel.from_pretrained("model again", **trusted))
assert not any(name.split(".")[0] == "pyratok" for name in sys.modules)
print(json.dumps(told))
"""
)

WITHOUT_HUB = (
    LOAD
    + """
import pyratok, time
from pyratok import PyraTokError, PyraTokTextToVideoPipeline
from pyratok.commands.app import app
from pyratok.pipelines.model_loading import load_model
from typer.testing import CliRunner

time.sleep = lambda seconds: None  # between attempts of the hub client, which makes a few
told = {}
same_codes(AutoModel.from_pretrained("tester/video"))
same_codes(load_model("tester/video"))
same_video(DiffusionPipeline.from_pretrained("tester/video"))
same_video(PyraTokTextToVideoPipeline.from_pretrained("tester/video"))
assert torch.equal(AutoProcessor.from_pretrained("tester/video")("clip.mp4")["pixel_values_videos"], expected["read"])
try:
    load_model("tester/never")
except PyraTokError as refused:
    told["model"] = str(refused)
for name, line in {
    "encode": ["encode", "clip.mp4", "out.safetensors", "--model", "tester/never"],
    "generate": ["generate", "a dog", "dog.mp4", "--model", "tester/never"],
    "segment": ["segment", "clip.mp4", "--text", "a dog", "--output", "masks", "--model", "tester/never"],
    "push": ["push", "video", "tester/video"],
    "reached": ["encode", "clip.mp4", f"{time.time_ns()}.safetensors", "--model", "tester/video"],
}.items():
    done = CliRunner().invoke(app, line)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    told[name] = [done.exit_code, done.stderr]
print(json.dumps(told))
"""
)


@dataclass
class Published:
    """A Hub with repositories, and the folder in which they were made."""

    hub: LoopbackHub
    folder: Path
    told: dict[str, Any] = field(default_factory=dict)

    def run(self, code: str, home: str, installed: bool = True, **environment: str) -> dict[str, Any]:
        """Run code in a fresh process, without a token, with the cache `home`; what it printed last."""
        variables = self.hub.environment(self.folder / home, token=None, **{**WITH_HELPERS, **environment})
        return run_python(code, self.folder, variables, installed)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    with hub_after(PUSH, folder) as (hub, told):
        yield Published(hub, folder / "work", told)


@pytest.fixture(scope="module")
def opened(published):
    """What a process told that has PyraTok installed, and what it asked the Hub for; its cache stays."""
    start = len(published.hub.requests)
    told = published.run(INSTALLED, "installed")
    return told, [request.path for request in published.hub.requests[start:]]


def test_what_was_pushed(published):
    hub = published.hub
    assert published.told["address"] == f"{hub.endpoint}/tester/video"
    assert published.told["sharded"] == f"{hub.endpoint}/tester/plain/tree/sharded"
    files = hub.files("tester/video")
    assert {"config.json", "model.safetensors", "model_index.json", "preprocessor_config.json"} <= set(files)
    assert {"modeling_pyratok.py", "pipelines_pyratok.py", "pipeline.py"} <= set(files)
    assert {"prior/model.safetensors", "alignment/config.json", "projector/config.json"} <= set(files)
    assert hub.read("tester/video", "README.md").endswith(b"# Kept\n")
    assert hub.commit("tester/video").title == "all of it"
    assert not any(name.endswith(".py") for name in hub.files("tester/plain"))
    assert b"tester/plain" in hub.read("tester/plain", "README.md")
    assert {"config.json", "model.safetensors", "modeling_pyratok.py", "video_preprocessor_config.json"} <= set(
        hub.files("tester/alone")
    )


def test_shards_of_before_go_when_others_take_their_place(published):
    def weights(revision: str) -> list[str]:
        return [
            name for name in published.hub.files("tester/plain", revision) if name.startswith(("model.", "model-"))
        ]

    assert len(weights("v1")) > 2 and "model.safetensors" not in weights("v1")
    assert "model.safetensors.index.json" in weights("v1")
    assert weights("main") == ["model.safetensors"]
    half = published.hub.files("tester/half")
    assert {"model.safetensors", "model.fp16.safetensors", "prior/model.fp16.safetensors"} <= set(half)


def test_with_pyratok_nothing_needs_trust(published, opened):
    told, asked = opened
    assert told["code"] == [] and asked
    assert not any(path.endswith(("modeling_pyratok.py", "pipelines_pyratok.py")) for path in asked)
    assert told["fingerprints"] == [published.told["fingerprint"], published.told["other"]]
    assert "nowhere is not a valid git identifier" in told["revision"]
    assert "RevisionNotFoundError" in told["revision of a pipeline"]
    assert "tester/nothing is not a local folder and is not a valid model identifier" in told["id"]
    assert "tester/nothing" in told["id of a pipeline"]
    assert "tester/secret is not a local folder and is not a valid model identifier" in told["private"]


def test_lora_alone_is_shared(published, opened):
    told, _ = opened
    assert told["tuned"] == published.told["tuned"]
    files = published.hub.files("tester/lora")
    assert files == ["README.md", "adapter_config.json", "adapter_model.safetensors"]
    assert b"library_name: peft" in published.hub.read("tester/lora", "README.md")
    repository, revision, name = told["lora"]
    assert "no such repository" in repository and "no such revision" in revision and "it is no folder" in name


def test_without_pyratok_the_repositorys_code_does_the_same(published):
    told = published.run(NOT_INSTALLED, "not installed", installed=False)
    assert "trust_remote_code=True" in told["untrusted model"] and "trust_remote_code" in told["untrusted pipeline"]
    assert told["code"] == []
    assert [told[part] for part in ("prior", "alignment", "projector", "alone")] == [
        "PyraTokPrior",
        "PyraTokTextAlignment",
        "PyraTokTokenProjector",
        "PyraTokPrior",
    ]
    assert told["quantization"] == "PackedWeightsConfig"


def test_without_the_hub_what_was_loaded_before_still_loads(published, opened):
    published.hub.stop()
    try:
        with ThreadPoolExecutor() as both:
            settings = ({}, {"HF_HUB_OFFLINE": "1"})
            down, offline = both.map(lambda setting: published.run(WITHOUT_HUB, "installed", **setting), settings)
    finally:
        published.hub.start()
    for told, why in (down, "the Hub does not answer"), (offline, "HF_HUB_OFFLINE is set"):
        said = f"the model 'tester/never' cannot be loaded: it is not in the local cache, and {why}"
        assert told["model"] == said
        for command in ("encode", "generate", "segment"):
            assert told[command] == [2, f"Error: {said}\n"], command
        assert told["push"][0] == 2 and why in told["push"][1] and told["push"][1].count("\n") == 1
        assert told["reached"] == [0, ""]
