"""What the tests of datasets of tokens share: a folder of token files of real clips, and a dataset made of it."""

from pathlib import Path

import pytest
import torch

import pyratok

CAPTIONS = {
    "bunny": "a rabbit",
    "city": None,
    "dog": "a dog\n---\n<script>",
    "earth": "the Earth at night",
    "park": None,
}


@pytest.fixture(scope="session")
def token_folder(clips: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Token files of five real clips, 5 to 9 frames each, by a tiny model; some with captions; not to be written to."""
    torch.manual_seed(0)
    pipeline = pyratok.PyraTokReconstructionPipeline(
        pyratok.PyraTokModel(pyratok.PyraTokConfig.tiny(codebook_bits=8)).eval()
    )
    folder = tmp_path_factory.mktemp("tokens")
    for index, (name, path) in enumerate(clips.items()):
        frames, info = pyratok.read_video(path)
        frames = frames[: 5 + index, :48, : 48 + 16 * (index % 2)].numpy()
        found = pipeline(frames, fps=info.fps, output_type="pt").tokens
        target = folder / ("films" if index % 2 else "") / f"{name}.mp4.safetensors"
        target.parent.mkdir(exist_ok=True)
        pyratok.VideoTokens(**{**vars(found), "caption": CAPTIONS[name]}).save(target)
    return folder


@pytest.fixture(scope="session")
def dataset_folder(token_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of those files in four shards, one of them with two rows; not to be written to."""
    folder = tmp_path_factory.mktemp("datasets") / "clips"
    largest = max(path.stat().st_size for path in token_folder.rglob("*.safetensors"))
    shards = pyratok.write_token_dataset(token_folder, folder, shard_bytes=largest)
    assert 3 <= len(shards.paths) <= 5
    return folder


@pytest.fixture(scope="session")
def originals(token_folder: Path) -> dict[str, pyratok.VideoTokens]:
    """The tokens by the names of their rows."""
    paths = sorted(token_folder.rglob("*.safetensors"))
    return {
        path.relative_to(token_folder).as_posix().removesuffix(".safetensors"): pyratok.VideoTokens.load(path)
        for path in paths
    }
