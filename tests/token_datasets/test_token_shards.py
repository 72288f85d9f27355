"""A folder of token files as the shards of a dataset, and what is measured of them."""

import shutil
from pathlib import Path

import pytest
from datasets import load_dataset
from pyarrow import parquet
from token_examples import make_tokens

import pyratok
from pyratok import write_token_dataset
from pyratok.token_datasets import parquet_shards
from pyratok.token_datasets.shard_facts import dataset_facts, local_shards


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_row_is_a_clip_and_holds_its_file(dataset_folder, token_folder, originals):
    rows = load_dataset(str(dataset_folder), split="train")
    assert sorted(rows["name"]) == sorted(originals)
    for row in rows:
        tokens = originals[row["name"]]
        assert row["tokens"] == (token_folder / f"{row['name']}.safetensors").read_bytes()
        assert (row["num_frames"], row["height"], row["width"]) == tokens.video_size
        assert row["num_tokens"] == tokens.num_tokens
        assert row["caption"] == tokens.caption
        assert row["fps"] == float(tokens.fps)


def test_shards_are_bounded_and_so_are_row_groups(token_folder, tmp_path, monkeypatch):
    sizes = sorted(path.stat().st_size for path in token_folder.rglob("*.safetensors"))
    bound = sizes[-1] + sizes[0]
    monkeypatch.setattr(parquet_shards, "GROUP_ROWS", 1)
    shards = write_token_dataset(token_folder, tmp_path, shard_bytes=bound)
    count = len(shards.paths)
    assert [path.name for path in shards.paths] == [f"train-{i:05d}-of-{count:05d}.parquet" for i in range(count)]
    assert count > 1
    for path in shards.paths:
        file = parquet.ParquetFile(path)
        assert sum(map(len, file.read(["tokens"])["tokens"].to_pylist())) <= bound
        assert file.num_row_groups == file.metadata.num_rows
    one_each = write_token_dataset(token_folder, tmp_path, shard_bytes=1)
    assert len(one_each.paths) == one_each.clips == 5
    assert sorted((tmp_path / "data").iterdir()) == list(one_each.paths)


def test_equal_files_give_equal_shards(token_folder, dataset_folder, tmp_path):
    shutil.copytree(token_folder, tmp_path / "copy")
    largest = max(path.stat().st_size for path in token_folder.rglob("*.safetensors"))
    for _ in range(2):
        write_token_dataset(tmp_path / "copy", tmp_path / "clips", shard_bytes=largest)
        assert contents(tmp_path / "clips") == contents(dataset_folder)


def test_the_order_mixes_names(tmp_path):
    for index in range(40):
        make_tokens((1, 8, 8), seed=index).save(tmp_path / f"{index:02d}.safetensors")
    (path,) = write_token_dataset(tmp_path, tmp_path / "out").paths
    names = parquet.read_table(path, columns=["name"])["name"].to_pylist()
    assert sorted(names) == [f"{index:02d}" for index in range(40)]
    assert len({name[0] for name in names[:10]}) > 2


def test_files_that_cannot_be_read_are_named_and_the_rest_is_written(token_folder, tmp_path):
    shutil.copytree(token_folder, tmp_path / "tokens")
    bad = tmp_path / "tokens/bad.mp4.safetensors"
    bad.write_bytes((token_folder / "park.mp4.safetensors").read_bytes()[:-5])
    (tmp_path / "tokens/notes.txt").write_text("mine")
    shutil.copy(Path(pyratok.__file__).parent / "hub_cards/pyratok/projector/model.safetensors", tmp_path / "tokens")
    seen = []
    shards = write_token_dataset(
        tmp_path / "tokens", tmp_path / "out", progress=lambda names: seen.extend(names) or names
    )
    assert shards.clips == 5
    assert list(shards.left_out) == ["bad.mp4"] and "checksum" in shards.left_out["bad.mp4"]
    assert len(seen) == 6


def test_failing_leaves_what_was_there(dataset_folder, token_folder, tmp_path):
    shutil.copytree(dataset_folder, tmp_path / "out")
    before = contents(tmp_path / "out")
    shutil.copytree(token_folder, tmp_path / "tokens")
    stranger = tmp_path / "tokens/other.safetensors"
    for fields, reason in (
        ({"weights_fingerprint": "0" * 64}, "weights_fingerprint = "),
        ({"bits": 9}, "codebook_bits = "),
        ({"levels": (1, 2)}, "levels = "),
    ):
        reference = pyratok.VideoTokens.load(token_folder / "park.mp4.safetensors")
        kind = {"strides": reference.level_strides, "bits": reference.codebook_bits, "levels": None}
        kind |= {"weights_fingerprint": reference.weights_fingerprint, "spatial_multiple": reference.spatial_multiple}
        make_tokens(**{**kind, **fields}).save(stranger)
        with pytest.raises(pyratok.TokenFileError, match=f"tokens of one tokenizer.*'other'.*{reason}"):
            write_token_dataset(tmp_path / "tokens", tmp_path / "out")
        assert contents(tmp_path / "out") == before

    def interrupted(names):
        yield from names[:3]
        raise KeyboardInterrupt

    stranger.unlink()
    with pytest.raises(KeyboardInterrupt):
        write_token_dataset(tmp_path / "tokens", tmp_path / "out", progress=interrupted)
    assert contents(tmp_path / "out") == before


def test_bad_input_is_refused(token_folder, tmp_path):
    for split in ("all", "", "../train", "a-b", "1"):
        with pytest.raises(pyratok.PyraTokError, match="a split is named"):
            write_token_dataset(token_folder, tmp_path / "out", split=split)
    with pytest.raises(pyratok.PyraTokError, match="is no folder"):
        write_token_dataset(tmp_path / "absent", tmp_path / "out")
    with pytest.raises(pyratok.PyraTokError, match="holds no token files"):
        write_token_dataset(tmp_path, tmp_path / "out")
    with pytest.raises(pyratok.PyraTokError, match="at least one byte"):
        write_token_dataset(token_folder, tmp_path / "out", shard_bytes=0)
    (tmp_path / "bad.safetensors").write_bytes((token_folder / "park.mp4.safetensors").read_bytes()[:-5])
    with pytest.raises(pyratok.PyraTokError, match="none of the 1 token files can be read"):
        write_token_dataset(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (tmp_path / "file").write_text("mine")
    with pytest.raises(pyratok.PyraTokError, match="cannot be written"):
        write_token_dataset(token_folder, tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_facts_are_those_of_the_files(dataset_folder, originals):
    facts = dataset_facts(local_shards(dataset_folder))
    (split,) = facts.splits
    lengths = [tokens.num_tokens for tokens in originals.values()]
    assert (split.name, split.clips, split.tokens) == ("train", 5, sum(lengths))
    assert (split.shortest, split.longest) == (min(lengths), max(lengths))
    assert split.captions == 3
    assert split.frames == sum(tokens.video_size[0] for tokens in originals.values())
    assert split.seconds == pytest.approx(sum(t.video_size[0] / float(t.fps) for t in originals.values()))
    pixels = [tokens.video_size[0] * tokens.video_size[1] * tokens.video_size[2] for tokens in originals.values()]
    assert split.pixels == sum(pixels)
    assert split.bytes == sum(path.stat().st_size for path in (dataset_folder / "data").iterdir())
    any_tokens = next(iter(originals.values()))
    assert facts.kind.level_strides == any_tokens.level_strides
    assert facts.kind.weights_fingerprint == any_tokens.weights_fingerprint


def test_other_files_are_no_shards_of_tokens(dataset_folder, tmp_path):
    shutil.copytree(dataset_folder, tmp_path / "out")
    shard = next((tmp_path / "out/data").iterdir())
    table = parquet.read_table(shard)
    wrong = [None, {b"pyratok_tokens": b"{}"}, {b"pyratok_tokens": b"[" * 100_000}, {b"pyratok_tokens": b"\xff"}]
    metadata = table.schema.metadata[b"pyratok_tokens"]
    wrong += [{b"pyratok_tokens": metadata.replace(b'"levels":[1', b'"levels":[99')}]
    for found in wrong:
        parquet.write_table(table.replace_schema_metadata(found), shard)
        with pytest.raises(pyratok.PyraTokError):
            dataset_facts(local_shards(tmp_path / "out"))
    shard.write_bytes(b"no parquet")
    with pytest.raises(pyratok.PyraTokError, match="cannot be read"):
        dataset_facts(local_shards(tmp_path / "out"))
    with pytest.raises(pyratok.PyraTokError, match="no shards"):
        dataset_facts({})
