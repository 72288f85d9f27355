"""The card of a dataset of tokens: every figure is measured from its shards, and it keeps what people have written into it."""

import re
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from datasets import load_dataset
from hub_metadata import metadata_problems
from huggingface_hub import DatasetCard
from pyarrow import parquet
from token_examples import make_tokens

import pyratok
from pyratok.hub_cards.dataset_card import BEGIN, END, dataset_card, size_category
from pyratok.hub_cards.dataset_facts import DatasetFacts
from pyratok.pipelines.bundled_model import install_into_cache
from pyratok.token_datasets.shard_facts import dataset_facts, local_shards

ATTACKS = [
    "<script>alert(1)</script>",
    "a\n---\nlicense: mit\n---\n# other",
    "{{ 7 * 7 }}{% raw %}{{ ''.__class__.__mro__ }}",
    "[here](javascript:alert(1)) ![x](http://elsewhere/x.png) `code`",
    "```\n</table><img src=x onerror=alert(1)>\n```",
    "cell | cell \\| *bold* &lt;b&gt; $math$ ~~",
    f"{END} text {BEGIN}",
    "\x00\x1b[31m\u202e\u2028line",
]


def write(folder: Path, clips: list[dict[str, Any]], split: str = "train", **options: Any) -> Path:
    """A dataset of random tokens; a clip is the fields of its tokens."""
    tokens = folder / f"{split} tokens"
    shutil.rmtree(tokens, ignore_errors=True)
    tokens.mkdir()
    for index, fields in enumerate(clips):
        make_tokens(**fields).save(tokens / f"clip {index}.safetensors")
    pyratok.write_token_dataset(tokens, folder / "films", split, **options)
    return folder / "films" / "README.md"


@pytest.fixture
def facts(tmp_path) -> DatasetFacts:
    write(tmp_path, [{"caption": "a dog"}, {"video_size": (5, 16, 16), "seed": 1}])
    return dataset_facts(local_shards(tmp_path / "films"))


def rows_of(text: str, first_cell: str) -> list[list[str]]:
    """The cells of the table rows that begin with this cell."""
    rows = [
        [cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if line.startswith("|")
    ]
    return [row for row in rows if row[0] == first_cell]


def test_every_figure_is_that_of_the_token_files(tmp_path):
    clips = [
        {"caption": "a dog", "fps": 25, "video_size": (9, 40, 50), "seed": 1},
        {"fps": 50, "video_size": (1200, 8, 16), "seed": 2},
        {"caption": "a cat", "fps": 25, "video_size": (5, 64, 64), "seed": 3},
    ]
    text = write(tmp_path, clips, licence="cc-by-4.0", repo_id="me/films", shard_bytes=1).read_text("utf-8")
    tokens = [make_tokens(**clip) for clip in clips]
    lengths = [found.num_tokens for found in tokens]
    pixels = 9 * 40 * 50 + 1200 * 8 * 16 + 5 * 64 * 64
    size = sum(path.stat().st_size for path in (tmp_path / "films/data").iterdir())
    counts, *examples = rows_of(text, "train")
    assert counts == [
        *(
            "train",
            "3",
            "2",
            "1,214",
            "24.6 s",
            f"{sum(lengths):,}",
            f"{min(lengths) + 4:,}, {max(lengths) + 4:,} ids",
        ),
        *(f"{sum(lengths) * 16 / pixels:.4f}", f"{size:,}", "3"),
    ]
    assert len(examples) == 3
    assert ["train", "clip 0", "a dog", "9", "50 x 40", f"{lengths[0]:,}"] in examples
    assert rows_of(text, "SHA-256 of its weights")[0][1] == tokens[0].weights_fingerprint
    assert "SOI = 65536" in text and "Q-SEP = 65537" in text and "a vocabulary of 65538" in text
    assert "1: 4 frames of 8 x 8 pixels" in text and "4: 4 frames of 16 x 16 pixels" in text
    assert 'load_dataset("me/films", split="train", streaming=True)' in text
    data = DatasetCard(text).data
    assert (data.license, data.size_categories, data.pretty_name) == ("cc-by-4.0", ["n<1K"], "films")
    assert data.configs == [
        {"config_name": "default", "data_files": [{"split": "train", "path": "data/train-*-of-*.parquet"}]}
    ]


def test_metadata_are_valid_and_come_back(facts):
    card = dataset_card(facts, "me/films")
    assert metadata_problems(str(card), "dataset") == []
    again = DatasetCard(str(card))
    assert again.data.to_dict() == card.data.to_dict()
    assert str(again) == str(card)
    assert card.data.license == "unknown" and "nobody has said under which licence" in card.text
    assert "{{" not in card.text and "{%" not in card.text


def test_several_licences_are_named_as_the_hub_wants_it(facts):
    card = dataset_card(facts, "me/films", "other")
    assert metadata_problems(str(card), "dataset") == [] and "see the credits" in card.text
    card.data.license_name = "mine"
    assert dataset_card(facts, "me/films", earlier=str(card)).data.license_name == "mine"


def test_the_code_of_the_card_runs(clip, tmp_path, monkeypatch):
    install_into_cache()
    (tmp_path / "tokens").mkdir()
    frames, info = pyratok.read_video(clip)
    pipeline = pyratok.PyraTokReconstructionPipeline.from_pretrained("pyratok")
    pipeline(frames[:5, :64, :64].numpy(), fps=info.fps).tokens.save(tmp_path / "tokens/city.safetensors")
    pyratok.write_token_dataset(tmp_path / "tokens", tmp_path / "films", split="validation")
    monkeypatch.chdir(tmp_path)
    text = (tmp_path / "films/README.md").read_text("utf-8")
    names: dict[str, Any] = {}
    codes = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    for code in codes:
        exec(compile(code, "card", "exec"), names)
    assert len(codes) == 2
    assert names["video"].shape == (1, 5, 3, 64, 64)
    assert names["row"]["name"] == "city"
    assert all((a == b).all() for a, b in zip(names["again"].video_codes, names["tokens"].video_codes, strict=True))
    few = eval(re.search(r"`(rows\.filter\(.*?\))`", text).group(1), names)
    assert names["row"]["num_tokens"] <= 8192 and len(list(few)) == 1


@pytest.mark.parametrize("attack", ATTACKS)
def test_captions_and_names_made_to_attack_stay_text(tmp_path, attack):
    plain = write(tmp_path, [{"caption": "a dog"}]).read_text("utf-8")
    facts = dataset_facts(local_shards(tmp_path / "films"))
    (split,) = facts.splits
    (example,) = split.examples
    evil = replace(facts, splits=(replace(split, examples=(replace(example, name=attack, caption=attack),)),))
    card = DatasetCard(str(dataset_card(evil, "films")))
    assert metadata_problems(str(card), "dataset") == []
    assert card.data.to_dict() == DatasetCard(plain).data.to_dict()
    assert len(str(card).splitlines()) == len(plain.splitlines())
    (row,) = [line for line in card.text.splitlines() if line.startswith("| train |") and "50 x 40" in line]
    assert row.count(" | ") == 5
    assert not re.search(r"[<>`*{}\[\]\\]|javascript:|http:|\x1b|\x00|\u202e|\u2028", row)
    assert card.text.count(BEGIN) == card.text.count(END) == 1


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_dataset_named_to_attack_stays_a_name(facts, attack):
    evil = replace(facts, kind=replace(facts.kind, model_id=attack.replace("\n", " ")))
    card = DatasetCard(str(dataset_card(evil, attack, licence=attack)))
    assert card.data.license == attack
    assert card.data.size_categories == ["n<1K"]
    prose = re.sub(r"^```python\n.*?^```$", "", card.text, flags=re.MULTILINE | re.DOTALL)
    assert not re.search(r"<(?!!--)\w|javascript:|http://elsewhere|\]\(h", prose)
    assert "\n# other" not in card.text and card.text.count(BEGIN) == 1
    assert "<script>" not in card.text


def test_a_caption_reaches_the_card_through_shards_as_it_is_tested(tmp_path):
    text = write(tmp_path, [{"caption": attack} for attack in ATTACKS]).read_text("utf-8")
    assert metadata_problems(text, "dataset") == []
    assert len(rows_of(text, "train")) == 1 + 3
    long = write(tmp_path, [{"caption": "word " * 10_000}]).read_text("utf-8")
    assert len(long) < 10_000 and "word word" in long


def test_other_splits_stay_and_are_counted(tmp_path):
    write(tmp_path, [{"seed": 1}, {"seed": 2}], licence="mit")
    card = DatasetCard.load(write(tmp_path, [{"seed": 3, "caption": "a dog"}], "validation"))
    assert [row[:3] for row in rows_of(card.text, "train")[:1]] == [["train", "2", "0"]]
    assert [row[:3] for row in rows_of(card.text, "validation")[:1]] == [["validation", "1", "1"]]
    assert "3 clips" in card.text and card.data.license == "mit"
    assert [file["split"] for file in card.data.configs[0]["data_files"]] == ["train", "validation"]
    before = {path: path.read_bytes() for path in (tmp_path / "films").rglob("*") if path.is_file()}
    with pytest.raises(pyratok.PyraTokError, match="tokens of one tokenizer"):
        write(tmp_path, [{"bits": 8}], "test")
    assert {path: path.read_bytes() for path in (tmp_path / "films").rglob("*") if path.is_file()} == before


def test_what_people_wrote_stays(facts):
    card = dataset_card(facts, "me/films", licence="mit")
    card.data.language = ["de"]
    card.data.tags.append("dogs")
    card.data.dataset_info = {
        "splits": [{"name": "train", "num_examples": 2}]
    }  # as `push_to_hub` of `datasets` writes it
    text = str(card).replace("More information is needed here", "Filmed by me").replace("# me/films", "# My films")
    (split,) = facts.splits
    again = dataset_card(replace(facts, splits=(replace(split, clips=4321),)), "me/films", earlier=text)
    assert "Filmed by me" in again.text and "# My films" in again.text and "4,321 clips" in again.text
    assert again.data.language == ["de"] and "dogs" in again.data.tags and again.data.license == "mit"
    assert again.data.size_categories == ["1K<n<10K"] and "dataset_info" not in again.data.to_dict()
    assert again.text.count(BEGIN) == again.text.count("## Columns") == 1
    assert dataset_card(facts, "me/films", "cc0-1.0", str(again)).data.license == "cc0-1.0"
    own = dataset_card(facts, "me/films", earlier="---\nlicense: mit\n---\n\n# Mine alone\n")
    assert own.text.strip() == "# Mine alone" and own.data.size_categories == ["n<1K"]
    empty = dataset_card(facts, "me/films", earlier="---\nlicense: mit\n---\n")
    assert "## Columns" in empty.text and empty.data.license == "mit"
    with pytest.raises(pyratok.PyraTokError, match="cannot be read"):
        dataset_card(facts, "me/films", earlier="---\n[: {\n---\n")


def test_another_configuration_of_its_maker_stays_and_loads(tmp_path):
    path = write(tmp_path, [{"seed": 1}])
    parquet.write_table(pyarrow.table({"note": ["mine"]}), tmp_path / "films/notes.parquet")
    card = DatasetCard.load(path)
    notes = {"config_name": "notes", "data_files": "notes.parquet"}
    info = {"config_name": "notes", "features": [{"name": "note", "dtype": "string"}]}
    card.data.configs = [notes, *card.data.configs]
    card.data.dataset_info = [info, {"config_name": "default", "splits": [{"name": "train", "num_examples": 99}]}]
    card.save(path)
    again = DatasetCard.load(write(tmp_path, [{"seed": 2}, {"seed": 3}]))
    assert [found["config_name"] for found in again.data.configs] == ["default", "notes"]
    assert notes in again.data.configs and again.data.dataset_info == [info]
    load = partial(load_dataset, str(tmp_path / "films"), split="train", streaming=True)
    assert [row["note"] for row in load("notes")] == ["mine"]
    assert sorted(row["name"] for row in load()) == ["clip 0", "clip 1"]


def test_other_files_beside_the_shards_are_no_rows(tmp_path):
    write(tmp_path, [{"seed": 1}])
    parquet.write_table(pyarrow.table({"note": ["mine"]}), tmp_path / "films/data/train-notes.parquet")
    write(tmp_path, [{"seed": 2}])
    assert [row["name"] for row in load_dataset(str(tmp_path / "films"), split="train", streaming=True)] == ["clip 0"]


def test_single_texts_are_lists_of_one(facts):
    card = dataset_card(facts, "me/films", earlier="---\ntags: foo\nlicense: [mit, cc-by-4.0]\n---\n# Mine\n")
    assert card.data.tags == ["foo", "pyratok", "video-tokens"] and card.data.license == ["mit", "cc-by-4.0"]


@pytest.mark.parametrize(
    "metadata",
    [
        *(
            "license: 1",
            "license: yes",
            "license: [mit, 2]",
            "license: {a: b}",
            "tags: [1, a]",
            "tags: 1",
            "tags: {a: b}",
        ),
        *(
            "configs: text",
            "configs: [a]",
            "configs: [{config_name: 1}]",
            "configs: [{config_name: a}, {config_name: a}]",
        ),
        *("dataset_info: text", "dataset_info: [1]", "1: a", "self: a"),
    ],
)
def test_metadata_of_other_types_are_refused_before_anything_is_replaced(tmp_path, metadata):
    path = write(tmp_path, [{"seed": 1}])
    path.write_text(f"---\n{metadata}\n---\n# Mine\n")
    before = {path: path.read_bytes() for path in (tmp_path / "films").rglob("*") if path.is_file()}
    with pytest.raises(pyratok.PyraTokError, match=r"the card that is there, README\.md, cannot be"):
        write(tmp_path, [{"seed": 2}, {"seed": 3}], shard_bytes=1)
    assert {path: path.read_bytes() for path in (tmp_path / "films").rglob("*") if path.is_file()} == before


def test_size_categories_are_those_of_the_hub():
    expected = {0: "n<1K", 999: "n<1K", 1000: "1K<n<10K", 9999: "1K<n<10K", 10_000: "10K<n<100K"}
    expected |= {10**6: "1M<n<10M", 10**9: "1B<n<10B", 10**12 - 1: "100B<n<1T", 10**12: "n>1T", 10**15: "n>1T"}
    assert {count: size_category(count) for count in expected} == expected
