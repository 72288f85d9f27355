"""Video search: the index of a folder of token files, its file, and the ranking."""

import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from token_examples import FINGERPRINT, STRIDES, make_tokens

from pyratok import PyraTokError, PyraTokTextAlignment, PyraTokTextAlignmentConfig
from pyratok.modeling_pyratok.token_files import canonical_json
from pyratok.pipelines import token_index, token_index_file
from pyratok.pipelines.token_index import INDEX_NAME, TokenIndex, embed_levels

OTHER = "0" * 64
LEVEL_SETS = [None, (1,), (2,), (3,), (4,), (2, 4), (4, 3, 1)]


def new_alignment(seed: int = 0, bits: int = 16) -> PyraTokTextAlignment:
    torch.manual_seed(seed)
    sizes = {"codebook_size": 8, "text_hidden_size": 12, "context_size": 8, "context_layers": 1}
    config = PyraTokTextAlignmentConfig(level_strides=STRIDES, codebook_bits=bits, **sizes)
    return PyraTokTextAlignment(config).eval()


@pytest.fixture(scope="module")
def alignment() -> PyraTokTextAlignment:
    return new_alignment()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six token files, two of them in a subfolder, of several sizes."""
    place = tmp_path / "tokens"
    (place / "more" / "deep").mkdir(parents=True)
    for number, name in enumerate(["a", "b", "c", "d", "more/e", "more/deep/f"]):
        size = (1 + 4 * number, 16 + 8 * number, 24)
        make_tokens(size, seed=number, caption=f"number {number}", fps=Fraction(25)).save(
            place / f"{name}.safetensors"
        )
    return place


class Read(list):
    """As `progress`: remembers which files were read."""

    def __call__(self, names: Sequence[str]) -> Iterable[str]:
        self.extend(names)
        return names


def build(folder: Path, alignment: PyraTokTextAlignment, **options: object) -> tuple[TokenIndex, list[str]]:
    """An index that is up to date, and the files that were read for it."""
    read = Read()
    return TokenIndex.build(folder, alignment, FINGERPRINT, progress=read, **options), list(read)


def names_of(index: TokenIndex) -> list[str]:
    return [entry.name for entry in index.entries]


@pytest.mark.parametrize("levels", LEVEL_SETS)
def test_the_ranking_is_that_of_a_direct_computation(folder, alignment, levels, monkeypatch):
    monkeypatch.setattr(token_index, "ROWS_AT_ONCE", 4)
    index, _ = build(folder, alignment)
    text = torch.randn(3, 12, generator=torch.Generator().manual_seed(1))
    scores = {}
    for path in folder.rglob("[!.]*.safetensors"):
        codes = token_index.VideoTokens.load(path).video_codes
        sets = [levels] if levels is None or len(levels) == 1 else [(level,) for level in levels]
        embedding = F.normalize(sum(alignment.embed_video(codes, one) for one in sets), dim=-1)
        scores[path.relative_to(folder).as_posix()] = (embedding @ F.normalize(text, dim=-1).T)[0]
    for query, hits in enumerate(index.search(5 * text, levels)):
        assert [hit.name for hit in hits] == sorted(scores, key=lambda name: -scores[name][query])
        for hit in hits:
            assert hit.score == pytest.approx(float(scores[hit.name][query]), abs=1e-6)
    assert [hits[:2] for hits in index.search(text, levels)] == index.search(text, levels, limit=2)


def test_a_hit_says_what_was_found(folder, alignment):
    hit = next(
        hit for hit in build(folder, alignment)[0].search(torch.ones(1, 12))[0] if hit.name == "more/e.safetensors"
    )
    assert hit.path == folder / "more/e.safetensors" and hit.caption == "number 4"
    assert (hit.num_frames, hit.duration) == (17, 17 / 25)
    assert -1 <= hit.score <= 1


def test_the_embeddings_are_the_alignments_own(alignment):
    codes = make_tokens((9, 64, 64), levels=(1, 2, 4)).video_codes
    found = embed_levels(alignment, codes)
    assert found.shape == (5, 12) and not found[2].any()
    for level in (1, 2, 4):
        torch.testing.assert_close(found[level - 1], alignment.embed_video(codes, (level,))[0], atol=1e-6, rtol=0)
    torch.testing.assert_close(found[4], alignment.embed_video(codes)[0], atol=1e-6, rtol=0)


def test_only_what_has_changed_is_read_again(folder, alignment):
    index, read = build(folder, alignment)
    assert len(read) == len(index) == 6 and index.notes == []
    assert build(folder, alignment)[1] == []
    make_tokens(seed=9).save(folder / "g.safetensors")
    os.utime(folder / "a.safetensors", ns=(1, 1))
    (folder / "b.safetensors").unlink()
    before = (folder / "c.safetensors").stat()
    make_tokens((9, 32, 24), seed=8, caption="number 2", fps=Fraction(25)).save(folder / "c.safetensors")
    os.utime(folder / "c.safetensors", ns=(before.st_mtime_ns, before.st_mtime_ns))
    assert (folder / "c.safetensors").stat().st_size == before.st_size
    index, read = build(folder, alignment)
    assert read == ["a.safetensors", "c.safetensors", "g.safetensors"]
    assert names_of(index) == [f"{name}.safetensors" for name in ["a", "c", "d", "g", "more/deep/f", "more/e"]]
    kept = (folder / INDEX_NAME).read_bytes()
    (folder / INDEX_NAME).unlink()
    anew, read = build(folder, alignment)
    assert len(read) == 6 and torch.equal(anew.embeddings, index.embeddings) and anew.entries == index.entries
    assert (folder / INDEX_NAME).read_bytes() == kept  # equal indexes have equal bytes


def test_an_index_that_lives_on_is_brought_up_to_date(folder, alignment):
    index, _ = build(folder, alignment)
    shutil.rmtree(folder / "more")
    make_tokens(seed=9).save(folder / "g.safetensors")
    assert index.update() == 1 and index.update() == 0
    assert [name[0] for name in names_of(index)] == ["a", "b", "c", "d", "g"]
    assert index.search(torch.ones(1, 12)) == build(folder, alignment)[0].search(torch.ones(1, 12))
    for path in folder.glob("[!.]*"):
        path.unlink()
    assert index.update() == 0 and len(index) == 0 and index.search(torch.ones(2, 12)) == [[], []]


def test_a_folder_that_was_moved_keeps_its_index(folder, alignment):
    build(folder, alignment)
    moved = folder.rename(folder.with_name("moved"))
    index, read = build(moved, alignment)
    assert read == [] and index.search(torch.ones(1, 12), limit=1)[0][0].path.is_file()


def test_files_that_cannot_be_searched_are_named_with_the_reason(folder, alignment):
    whole = (folder / "a.safetensors").read_bytes()
    (folder / "cut.safetensors").write_bytes(whole[:-40])
    (folder / "stump.safetensors").write_bytes(whole[:60])
    (folder / "flipped.safetensors").write_bytes(whole[:-50] + bytes([whole[-50] ^ 1]) + whole[-49:])
    make_tokens(weights_fingerprint=OTHER, model_id="theirs").save(folder / "more/other.safetensors")
    make_tokens(weights_fingerprint=None).save(folder / "nobody.safetensors")
    make_tokens(strides=((4, 8), (4, 16))).save(folder / "levels.safetensors")
    make_tokens(bits=12).save(folder / "bits.safetensors")
    (folder / "gone.safetensors").symlink_to("nowhere")
    index, _ = build(folder, alignment)
    assert len(index) == 6
    for name, reason in {
        "cut": "checksum is wrong",
        "stump": "its beginning is damaged",
        "flipped": "checksum is wrong",
        "more/other": "other weights than this model's (by the model 'theirs')",
        "nobody": "does not say which weights",
        "levels": "its levels have the strides ((4, 8), (4, 16)) and 16 bits",
        "bits": "and 12 bits",
        "gone": "no such file",
    }.items():
        assert reason in index.left_out[f"{name}.safetensors"], name
    assert len(index.left_out) == 8
    again, read = build(folder, alignment)
    assert read == [] and again.left_out == index.left_out  # they are not read again as long as they are the same
    (folder / "cut.safetensors").write_bytes(whole)
    again, read = build(folder, alignment)
    assert read == ["cut.safetensors"] and "cut.safetensors" in names_of(again) and len(again.left_out) == 7


def test_what_is_no_token_file_is_passed_over(folder, alignment):
    save_file({"weight": torch.zeros(3)}, folder / "model.safetensors")
    (folder / "empty.safetensors").touch()
    (folder / "film.mp4").write_text("a film")
    os.mkfifo(folder / "pipe.safetensors")
    (folder / ".hidden").mkdir()
    make_tokens().save(folder / ".hidden/a.safetensors")
    make_tokens().save(folder / ".a.safetensors")
    index, _ = build(folder, alignment)
    assert len(index) == 6 and index.left_out == {}
    assert index.passed_over == ("empty.safetensors", "model.safetensors", "pipe.safetensors")


def test_a_file_that_cannot_be_read_this_time_is_read_the_next(folder, alignment, monkeypatch):
    def refuse(path: Path) -> bytes:
        raise token_index.TokenFileError(f"cannot read {str(path)!r}: busy")

    with monkeypatch.context() as broken:
        broken.setattr(token_index, "read_token_file", refuse)
        index, _ = build(folder, alignment)
    assert len(index) == 0 and "busy" in index.left_out["a.safetensors"]
    assert index.update() == 6 and index.left_out == {}


def test_names_of_any_bytes(folder, alignment):
    strange = os.fsdecode(b"caf\xe9\n\xf0\x9f\x8e\xac.safetensors")
    shutil.copy(folder / "a.safetensors", folder / strange)
    build(folder, alignment)
    index, read = build(folder, alignment)
    assert read == [] and index.notes == [] and strange in names_of(index)


def test_an_index_in_a_place_of_its_own(folder, alignment, tmp_path):
    index, _ = build(folder, alignment, file=folder / "index.safetensors")
    assert not (folder / INDEX_NAME).exists()
    index, read = build(folder, alignment, file=folder / "index.safetensors")
    assert (len(index), read, index.passed_over) == (6, [], ())
    mode = stat.S_IMODE((folder / "index.safetensors").stat().st_mode)
    assert mode == stat.S_IMODE((folder / "a.safetensors").stat().st_mode)


@pytest.mark.parametrize("how", ["missing folder", "something in its place", "disk"])
def test_where_an_index_cannot_be_written_all_works_without(folder, alignment, how, monkeypatch):
    options = {"file": folder / "missing" / "index.safetensors"} if how == "missing folder" else {}
    if how == "something in its place":
        (folder / INDEX_NAME).mkdir()
    if how == "disk":

        def fail(*_: object, **__: object) -> None:
            raise SafetensorError("I/O error: No space left on device")

        monkeypatch.setattr(token_index_file, "save_file", fail)
    before = sorted(folder.rglob("*"))
    index, read = build(folder, alignment, **options)
    assert len(index) == len(read) == 6 and len(index.search(torch.ones(1, 12))[0]) == 6
    assert "the index is not kept: cannot write" in index.notes[-1]
    assert sorted(folder.rglob("*")) == before


def test_stopped_midway_it_keeps_what_was_read(folder, alignment):
    def stop(names: Sequence[str]) -> Iterator[str]:
        yield from names[:2]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        TokenIndex.build(folder, alignment, FINGERPRINT, progress=stop)
    index, read = build(folder, alignment)
    assert len(index) == 6 and read == [f"{name}.safetensors" for name in ["c", "d", "more/deep/f", "more/e"]]


@pytest.mark.parametrize("fingerprint, seed", [(OTHER, 0), (FINGERPRINT, 1)])
def test_an_index_of_another_model_is_made_anew(folder, alignment, fingerprint, seed):
    TokenIndex.build(folder, new_alignment(seed), fingerprint)
    index, read = build(folder, alignment)
    assert len(index) == len(read) == 6 and "another model" in index.notes[0]
    assert build(folder, alignment)[1] == []


def reseal(path: Path, change: object) -> None:
    """Write the index again, with a right checksum, after `change(metadata, records, tensors)`."""
    with safe_open(path, "pt") as file:
        metadata = json.loads(file.metadata()[token_index_file.METADATA_KEY])
        tensors = {name: file.get_tensor(name) for name in ("embeddings", "entries")}
    records = json.loads(tensors["entries"].numpy().tobytes())
    metadata.pop("sha256")
    change(metadata, records, tensors)
    tensors["entries"] = torch.frombuffer(bytearray(canonical_json(records).encode()), dtype=torch.uint8)
    parts = (tensors["entries"], tensors["embeddings"])
    metadata["sha256"] = metadata.get("sha256") or token_index_file._digest_of(metadata, *parts)
    save_file(tensors, path, metadata={token_index_file.METADATA_KEY: canonical_json(metadata)})


def renamed(record: dict, **values: object) -> dict:
    record |= values
    return record


FORGERIES = {
    "newer": (lambda metadata, records, tensors: metadata.update(version=2), "format version 2"),
    "no version": (lambda metadata, records, tensors: metadata.update(version="1"), "metadata"),
    "more fields": (lambda metadata, records, tensors: metadata.update(more=1), "other fields"),
    "checksum": (lambda metadata, records, tensors: metadata.update(sha256=OTHER), "checksum is wrong"),
    "fewer embeddings": (
        lambda metadata, records, tensors: tensors.update(embeddings=tensors["embeddings"][:3]),
        "do not belong together",
    ),
    "other width": (
        lambda metadata, records, tensors: tensors.update(embeddings=tensors["embeddings"][..., :3].contiguous()),
        "embeddings are F32",
    ),
    "half": (lambda metadata, records, tensors: tensors.update(embeddings=tensors["embeddings"].half()), "F16"),
    "more tensors": (lambda metadata, records, tensors: tensors.update(more=torch.zeros(1)), "it holds"),
    "order": (lambda metadata, records, tensors: records.reverse(), "do not belong together"),
    "doubles": (lambda metadata, records, tensors: records.insert(0, records[0]), "do not belong together"),
    "negative": (lambda metadata, records, tensors: renamed(records[0], num_frames=-1), "cannot be"),
    "fraction": (lambda metadata, records, tensors: renamed(records[0], num_frames=0.5), "not a whole number"),
    "no rate": (lambda metadata, records, tensors: renamed(records[0], fps=[1, 0]), "cannot be"),
    "no name": (lambda metadata, records, tensors: records[0].pop("name"), "name"),
    "name": (lambda metadata, records, tensors: renamed(records[0], name=3), "an entry is none"),
    "caption": (lambda metadata, records, tensors: renamed(records[0], caption=[]), "caption"),
    "digest": (lambda metadata, records, tensors: renamed(records[0], sha256="x"), "an entry is none"),
    "no entry": (lambda metadata, records, tensors: records.insert(0, 3), "cannot be read"),
}


@pytest.mark.parametrize("kind", FORGERIES)
def test_an_index_that_is_not_right_is_made_anew(folder, alignment, kind):
    change, reason = FORGERIES[kind]
    expected = build(folder, alignment)[0].search(torch.ones(1, 12))
    good = (folder / INDEX_NAME).read_bytes()
    reseal(folder / INDEX_NAME, lambda *parts: None)
    assert (folder / INDEX_NAME).read_bytes() == good
    reseal(folder / INDEX_NAME, change)
    index, read = build(folder, alignment)
    assert len(read) == 6 and index.search(torch.ones(1, 12)) == expected
    assert len(index.notes) == 1 and "is made anew" in index.notes[0] and reason in index.notes[0]
    assert (folder / INDEX_NAME).read_bytes() == good


def test_an_index_that_is_damaged_is_made_anew(folder, alignment):
    expected = build(folder, alignment)[0].search(torch.ones(1, 12))
    good = (folder / INDEX_NAME).read_bytes()
    generator = torch.Generator().manual_seed(0)
    places = torch.randint(len(good), (20,), generator=generator).tolist()
    damaged = [good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :] for place in places]
    damaged += [good[: len(good) // 2], good[:5], b"", good + b"\0", (2**40).to_bytes(8, "little") + good[8:]]
    for contents in damaged:
        (folder / INDEX_NAME).write_bytes(contents)
        index, read = build(folder, alignment)
        assert len(read) == 6 and len(index.notes) == 1 and index.search(torch.ones(1, 12)) == expected
        assert (folder / INDEX_NAME).read_bytes() == good


def test_an_index_of_nothing(tmp_path, alignment):
    (tmp_path / INDEX_NAME).write_bytes(b"no index")
    index, _ = build(tmp_path, alignment)
    assert len(index) == 0 and "made anew" in index.notes[0] and index.search(torch.ones(1, 12)) == [[]]
    index, _ = build(tmp_path, alignment)
    assert index.notes == []  # an index of no file is one as well


def test_a_file_that_is_no_index_is_left_alone(folder, alignment):
    mine = folder / "a.safetensors"
    before = mine.read_bytes()
    with pytest.raises(PyraTokError, match="is no index"):
        TokenIndex(folder, alignment, FINGERPRINT, mine)
    assert mine.read_bytes() == before
    for file, reason in ((folder / "index.bin", "NAME.safetensors"), (folder / "x.safetensors", "is a folder")):
        (folder / "x.safetensors").mkdir(exist_ok=True)
        with pytest.raises(PyraTokError, match=reason):
            TokenIndex(folder, alignment, FINGERPRINT, file)


def test_files_may_lack_levels(folder, alignment):
    coarse = make_tokens(levels=(3, 4), seed=7)
    coarse.save(folder / "coarse.safetensors")
    index, _ = build(folder, alignment)
    text = torch.randn(1, 12)
    found = {hit.name: hit.score for hit in index.search(text)[0]}
    expected = alignment(coarse.video_codes, text)
    assert len(found) == 7 and found["coarse.safetensors"] == pytest.approx(float(expected), abs=1e-6)
    assert index.lacking(None) == index.lacking((4, 3)) == [] and index.lacking((1, 3)) == ["coarse.safetensors"]
    assert len(index.search(text, (3,))[0]) == 7
    assert "coarse.safetensors" not in {hit.name for hit in index.search(text, (1, 3))[0]}


def test_wrong_calls_raise(folder, alignment, tmp_path):
    with pytest.raises(PyraTokError, match="does not exist"):
        TokenIndex(tmp_path / "nowhere", alignment, FINGERPRINT)
    with pytest.raises(PyraTokError, match="is a file"):
        TokenIndex(folder / "a.safetensors", alignment, FINGERPRINT)
    for fingerprint in (None, "abc"):
        with pytest.raises(ValueError, match="SHA-256"):
            TokenIndex(folder, alignment, fingerprint)
    index, _ = build(folder, alignment)
    for text in (torch.ones(12), torch.ones(1, 11), [1.0] * 12):
        with pytest.raises(ValueError, match=r"pooled_text is a tensor \(texts, 12\)"):
            index.search(text)
    for value in (0.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="empty text"):
            index.search(torch.full((1, 12), value))
    for limit in (0, -1, True, 1.5):
        with pytest.raises(ValueError, match="limit"):
            index.search(torch.ones(1, 12), limit=limit)
    for levels in ((), (0,), (5,), (1, 1), ("1",)):
        with pytest.raises(ValueError, match="level"):
            index.search(torch.ones(1, 12), levels)
    assert index.search(torch.ones(0, 12)) == []


@settings(max_examples=25, deadline=None)
@given(
    codes=st.dictionaries(st.sampled_from([f"{a}{b}" for a in "abc" for b in "xy"]), st.integers(0, 3), min_size=1),
    limit=st.integers(1, 8),
    rows=st.integers(1, 4),
    seed=st.integers(0, 3),
)
def test_hits_come_by_score_and_then_by_name(codes, limit, rows, seed):
    """Files of one token with one of four codes: equal codes are ties."""
    alignment = new_alignment(bits=2)
    text = torch.randn(2, 12, generator=torch.Generator().manual_seed(seed))
    with tempfile.TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patch:
        patch.setattr(token_index, "ROWS_AT_ONCE", rows)
        for name, code in codes.items():
            tokens = make_tokens((1, 8, 8), bits=2, spatial_multiple=16)
            same = [torch.full_like(level, code) for level in tokens.video_codes]
            fields = {name: getattr(tokens, name) for name in asdict(tokens) if name != "video_codes"}
            token_index.VideoTokens(tuple(same), **fields).save(Path(place, f"{name}.safetensors"))
        found = TokenIndex.build(place, alignment, FINGERPRINT).search(text, limit=limit)
    for query, hits in enumerate(found):
        exact = [[torch.full_like(level, code) for level in tokens.video_codes] for code in range(4)]
        scores = [float(alignment(codes_of, text)[0, query]) for codes_of in exact]
        order = sorted(codes, key=lambda name: (-scores[codes[name]], name))
        assert [hit.name for hit in hits] == [f"{name}.safetensors" for name in order][:limit]
        assert [hit.score for hit in hits] == pytest.approx([scores[codes[name]] for name in order][:limit], abs=1e-6)
        by_code = {}
        for hit in hits:
            assert by_code.setdefault(codes[hit.name[:2]], hit.score) == hit.score  # ties are exact
