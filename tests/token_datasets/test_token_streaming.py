"""A dataset of tokens through `datasets`: streamed, shuffled, split, resumed, and into a language model."""

from typing import Any

import numpy as np
import pytest
import torch
from datasets import IterableDataset, load_dataset
from datasets.distributed import split_dataset_by_node
from pyarrow import parquet
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader
from transformers import Qwen2Config, Qwen2ForCausalLM

import pyratok
from pyratok import token_sequence

ORDER = (4, 3, 2, 1)


@pytest.fixture
def rows(dataset_folder) -> IterableDataset:
    """The dataset, streamed, as sequences."""
    streamed = load_dataset(str(dataset_folder), split="train", streaming=True)
    return streamed.map(token_sequence, fn_kwargs={"order": ORDER})


def names(found: Any) -> list[str]:
    return [row["name"] for row in found]


def back(row: dict[str, Any]) -> pyratok.VideoTokens:
    """The tokens again, from the ids, and from the file all that ids do not say."""
    kept = pyratok.VideoTokens.from_bytes(row["tokens"])
    fields = ("fps", "model_id", "weights_fingerprint", "caption", "spatial_multiple")
    others = {name: getattr(kept, name) for name in fields}
    return pyratok.VideoTokens.from_sequence(row["input_ids"], kept.video_size, kept.level_strides, ORDER, **others)


def test_streamed_and_loaded_ids_turn_back_into_the_tokens(rows, dataset_folder, originals, tmp_path):
    loaded = load_dataset(str(dataset_folder), split="train", cache_dir=str(tmp_path))
    loaded = loaded.map(token_sequence, fn_kwargs={"order": ORDER})
    for found in (rows, loaded):
        assert {row["name"]: back(row) for row in found} == originals
    for one, other in zip(rows, loaded, strict=True):
        assert one["length"] == other["length"] == len(other["input_ids"])
        assert list(one["input_ids"]) == other["input_ids"]


def test_long_clips_are_left_out_before_they_are_unpacked(dataset_folder, originals, monkeypatch):
    limit = sorted(tokens.num_tokens for tokens in originals.values())[2]
    streamed = load_dataset(str(dataset_folder), split="train", streaming=True)
    few = streamed.filter(lambda count: count <= limit, input_columns="num_tokens").map(token_sequence)
    assert sorted(names(few)) == sorted(name for name, t in originals.items() if t.num_tokens <= limit)


def test_shuffled_all_rows_come_once_in_an_order_that_the_seed_tells(rows, originals):
    plain = names(rows)
    orders = {tuple(names(rows.shuffle(seed=seed, buffer_size=3, max_buffer_input_shards=1))) for seed in range(5)}
    assert len(orders) > 1
    assert all(sorted(order) == sorted(plain) == sorted(originals) for order in orders)
    assert names(rows.shuffle(seed=1, buffer_size=3, max_buffer_input_shards=1)) == names(
        rows.shuffle(seed=1, buffer_size=3, max_buffer_input_shards=1)
    )
    shuffled = rows.shuffle(seed=1, buffer_size=3, max_buffer_input_shards=1)
    first = names(shuffled)
    shuffled.set_epoch(1)
    assert sorted(names(shuffled)) == sorted(first)


@pytest.mark.parametrize("world_size", [2, 3])
def test_nodes_share_the_rows(rows, world_size):
    parts = [names(split_dataset_by_node(rows, rank, world_size)) for rank in range(world_size)]
    assert all(parts)
    assert sorted(sum(parts, [])) == sorted(names(rows))


def test_a_stream_goes_on_where_it_was_stopped(dataset_folder, rows):
    for stopped_after in range(5):
        before = rows.shuffle(seed=3, buffer_size=1, max_buffer_input_shards=1)
        everything = names(before)
        before = rows.shuffle(seed=3, buffer_size=1, max_buffer_input_shards=1)
        iterator = iter(before)
        seen = [next(iterator)["name"] for _ in range(stopped_after)]
        state = before.state_dict()
        after = rows.shuffle(seed=3, buffer_size=1, max_buffer_input_shards=1)
        after.load_state_dict(state)
        assert seen + names(after) == everything


def test_workers_of_a_loader_share_the_shards(rows, originals):
    loader = DataLoader(rows.select_columns(["name", "input_ids"]), batch_size=None, num_workers=2)
    found = {row["name"]: row["input_ids"] for row in loader}
    assert found.keys() == originals.keys()
    for name, ids in found.items():
        assert torch.equal(torch.as_tensor(ids), originals[name].to_sequence(ORDER))


def padded(batch: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """Sequences (n,) of some lengths as a batch (B, N) for a causal language model."""
    ids = [torch.as_tensor(np.asarray(row["input_ids"])) for row in batch]
    input_ids = pad_sequence(ids, batch_first=True)
    mask = pad_sequence([torch.ones_like(row) for row in ids], batch_first=True)
    return {"input_ids": input_ids, "attention_mask": mask, "labels": input_ids.masked_fill(mask == 0, -100)}


def test_a_language_model_learns_from_the_batches(rows, originals):
    bits = next(iter(originals.values())).codebook_bits
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=2**bits + 2,
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
    )
    model = Qwen2ForCausalLM(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    loader = DataLoader(rows, batch_size=5, collate_fn=padded)
    (batch,) = list(loader)
    assert batch["attention_mask"].sum(dim=1).unique().numel() > 1
    assert (batch["labels"] == -100).sum() == (batch["attention_mask"] == 0).sum() > 0
    losses = []
    for _ in range(8):
        loss = model(**batch).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.3
    for row, ids, mask in zip(rows, batch["input_ids"], batch["attention_mask"], strict=True):
        assert back({**row, "input_ids": ids[mask == 1]}) == originals[row["name"]]


def test_a_damaged_row_stops_the_stream_with_its_name(dataset_folder, tmp_path):
    shard = sorted((dataset_folder / "data").iterdir())[0]
    table = parquet.read_table(shard).to_pylist()
    contents = bytearray(table[0]["tokens"])
    contents[-40] ^= 4
    table[0]["tokens"] = bytes(contents)
    schema = parquet.read_schema(shard)
    (tmp_path / "data").mkdir()
    parquet.write_table(schema.empty_table().from_pylist(table, schema), tmp_path / "data" / shard.name)
    damaged = load_dataset(str(tmp_path), split="train", streaming=True).map(token_sequence)
    with pytest.raises(pyratok.TokenFileError, match=f"the row '{table[0]['name']}' cannot be used.*damaged"):
        list(damaged)
