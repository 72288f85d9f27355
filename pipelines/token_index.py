"""Video search by text: an index of the token files of a folder, ranked by how well they fit. No pixels are needed for it."""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F

from ..modeling_pyratok.errors import PyraTokError, TokenFileError, system_reason
from ..modeling_pyratok.input_checks import check_levels
from ..modeling_pyratok.text_alignment import PyraTokTextAlignment
from ..modeling_pyratok.token_fields import check_fingerprint
from ..modeling_pyratok.token_files import TOKEN_FILE_SUFFIX, read_token_file
from ..modeling_pyratok.video_tokens import VideoTokens
from ..modeling_pyratok.weights_fingerprint import fingerprint
from .token_file_listing import FileState, list_token_files
from .token_index_file import IndexFileError, IndexKey, TokenEntry, is_index_file, read_index_file, write_index_file

INDEX_NAME = ".pyratok-index.safetensors"
"""The index of a folder, in it, unless another place is given."""

ROWS_AT_ONCE = 4096
"""Files whose embeddings are worked on at a time."""


@dataclass(frozen=True)
class SearchHit:
    """A token file that was found.

    path: where it is. name: its path within the folder. score: the cosine with the text, in [-1, 1]. duration: seconds.
    """

    path: Path
    name: str
    score: float
    caption: str | None
    duration: float
    num_frames: int


class TokenIndex:
    """Embeddings of the token files under a folder, kept in a file and brought up to date when it is asked for.

    A clip has an embedding for each of its levels alone and one for all of them, so that one index serves every choice of
    levels: of other choices the mean of their levels' own stands in for what seeing them together would give. A file is read
    again if its size, its time of modification or the checksum that it ends with has changed. Token files are called
    NAME.safetensors; subfolders are searched, linked folders and names that begin with a dot are not.

    Args:
        folder: where the token files are.
        alignment: compares tokens with text; it stays where it is (CPU, GPU).
        tokenizer_fingerprint: of the tokenizer that the alignment was trained with; tokens of other weights are left out.
        file: the index's file, NAME.safetensors; by default `.pyratok-index.safetensors` in the folder. It is a cache: one that
            is damaged or of another model is made anew, and without one, or where it cannot be written, all works as well.

    Raises PyraTokError if the folder is none, or if something else than an index is at `file`, and ValueError for a fingerprint
    that is none.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        alignment: PyraTokTextAlignment,
        tokenizer_fingerprint: str,
        file: str | os.PathLike[str] | None = None,
    ) -> None:
        check_index_places(folder, file)
        if tokenizer_fingerprint is None:
            raise ValueError("tokenizer_fingerprint is a SHA-256, got None")
        check_fingerprint(tokenizer_fingerprint)
        self.folder = Path(folder)
        self.file = self.folder / INDEX_NAME if file is None else Path(file)
        self.notes: list[str] = []
        """What became of the index's file, in sentences, if that was not the ordinary."""
        self.passed_over: tuple[str, ...] = ()
        """Names of files with the extension of token files that are none, the weights of models for example."""
        self._unreadable: dict[str, str] = {}
        self._alignment = alignment
        config = alignment.config
        self._key = IndexKey(
            fingerprint(alignment.state_dict()), tokenizer_fingerprint, config.num_levels, config.text_hidden_size
        )
        self._entries: list[TokenEntry] = []
        self._embeddings = torch.zeros(0, config.num_levels + 1, config.text_hidden_size)
        self._is_written = True
        """Whether the file, if there is one, says what is known here."""
        self._read()

    @classmethod
    def build(
        cls,
        folder: str | os.PathLike[str],
        alignment: PyraTokTextAlignment,
        tokenizer_fingerprint: str,
        file: str | os.PathLike[str] | None = None,
        progress: Callable[[Sequence[str]], Iterable[str]] = iter,
    ) -> "TokenIndex":
        """The index of a folder as it is now: what the file knows already is not read again. Arguments as above and below."""
        index = cls(folder, alignment, tokenizer_fingerprint, file)
        index.update(progress)
        return index

    def __len__(self) -> int:
        """The number of files that can be searched."""
        return len(self._embeddings)

    @property
    def entries(self) -> tuple[TokenEntry, ...]:
        """What can be searched, by name."""
        return tuple(entry for entry in self._entries if entry.problem is None)

    @property
    def embeddings(self) -> torch.Tensor:
        """Float32 (N, L + 1, text_hidden_size), of each of `entries`: from each level alone, 0 if it lacks the level, and last
        from all that it has; otherwise of length 1."""
        return self._embeddings

    @property
    def left_out(self) -> dict[str, str]:
        """Name -> reason, of token files that cannot be searched: damaged, unreadable, or of other weights."""
        found = {entry.name: entry.problem for entry in self._entries if entry.problem is not None}
        return dict(sorted((found | self._unreadable).items()))

    def lacking(self, levels: Iterable[int] | None) -> list[str]:
        """Names of the files that `search` leaves out because they lack one of `levels`. Raises ValueError as `search` does."""
        wanted = self._levels(levels)
        return [] if levels is None else [entry.name for entry in self.entries if not set(wanted) <= set(entry.levels)]

    def update(self, progress: Callable[[Sequence[str]], Iterable[str]] = iter) -> int:
        """Bring the index up to date with the folder, and write its file if anything has changed.

        Stopped midway (Ctrl-C), it keeps what it has read so far.

        Args:
            progress: goes through the names of the files to be read and shows how far it is: `tqdm`, or rich's `track`.

        Returns the number of files that were read.
        """
        listing = list_token_files(self.folder)
        found, self._unreadable = listing.states, dict(listing.unreadable)
        own = self.file.resolve()
        self.passed_over = tuple(name for name in listing.others if (self.folder / name).resolve() != own)
        known = {entry.name: entry for entry in self._entries}
        kept = {name for name, state in found.items() if name in known and known[name].state == state}
        stale = sorted(found.keys() - kept)
        fresh: dict[str, tuple[TokenEntry, torch.Tensor | None]] = {}
        try:
            for name in progress(stale):
                try:
                    contents = read_token_file(self.folder / name)
                except TokenFileError as problem:  # it may be readable the next time, so this is not kept
                    self._unreadable[name] = str(problem)
                else:
                    fresh[name] = self._entry(name, found[name], contents)
        finally:
            if fresh or len(kept) < len(known):
                self._replace(kept, fresh)
                self._is_written = False
            if not self._is_written:
                self._write()
        return len(fresh)

    def search(
        self, pooled_text: torch.Tensor, levels: Iterable[int] | None = None, limit: int = 10
    ) -> list[list[SearchHit]]:
        """For each text the files that fit it best, best first; equal scores by name.

        Args:
            pooled_text: (Q, text_hidden_size), `TextEncoder(texts).pooled()`.
            levels: 1..L; a file that lacks one of them is left out (`lacking`). None for all levels that a file has.
            limit: so many hits for a text at most.

        Raises ValueError for texts of another shape, or that are empty, for levels that are unknown or repeated, and for a
        limit below 1.
        """
        if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
            raise ValueError(f"limit is a whole number from 1 up, got {limit!r}")
        wanted, text = self._levels(levels), self._directions(pooled_text)
        every = self._key.num_levels
        rows = (every,) if len(wanted) == every else tuple(level - 1 for level in wanted)  # those of the embeddings
        entries, lacking = self.entries, set(self.lacking(levels))
        scores = torch.zeros(len(text), 0)  # (Q, up to `limit`), best first
        chosen = torch.zeros(len(text), 0, dtype=torch.long)  # the rows that they belong to
        for start in range(0, len(entries), ROWS_AT_ONCE):
            some = entries[start : start + ROWS_AT_ONCE]
            kept = torch.tensor([row for row, entry in enumerate(some) if entry.name not in lacking], dtype=torch.long)
            found = self._cosines(text, self._embeddings[start : start + ROWS_AT_ONCE], rows)[:, kept]
            both = torch.cat([scores, found], dim=1)
            their_rows = torch.cat([chosen, (start + kept).expand(len(text), -1)], dim=1)
            # Rows are in the order of names, and those found before come first: a stable sort keeps ties in that order.
            order = both.argsort(dim=1, descending=True, stable=True)[:, :limit]
            scores, chosen = both.gather(1, order), their_rows.gather(1, order)
        return [
            [self._hit(entries[row], score) for row, score in zip(*found, strict=True)]
            for found in zip(chosen.tolist(), scores.tolist(), strict=True)
        ]

    @staticmethod
    def _cosines(text: torch.Tensor, embeddings: torch.Tensor, levels: tuple[int, ...]) -> torch.Tensor:
        """Texts (Q, W) with embeddings (n, L + 1, W): (Q, n). levels: numbers of the embeddings whose mean counts, from 0.

        In double precision and then rounded, so that equal files have equal scores, wherever they stand.
        """
        total = torch.zeros_like(embeddings[:, 0])  # (n, W)
        for level in levels:
            total += embeddings[:, level]
        return (text @ F.normalize(total, dim=-1).double().T).float()

    def _hit(self, entry: TokenEntry, score: float) -> SearchHit:
        path = self.folder / entry.name
        return SearchHit(path, entry.name, score, entry.caption, entry.duration, entry.num_frames)

    def _levels(self, levels: Iterable[int] | None) -> tuple[int, ...]:
        """The levels that count, sorted. Raises ValueError."""
        return check_levels(levels, (torch.empty(0),) * self._key.num_levels, self._key.num_levels)

    def _directions(self, pooled_text: torch.Tensor) -> torch.Tensor:
        """The texts (Q, W) in double precision, of length 1. Raises ValueError."""
        width = self._key.text_hidden_size
        if not isinstance(pooled_text, torch.Tensor) or pooled_text.dim() != 2 or pooled_text.shape[1] != width:
            got = tuple(pooled_text.shape) if isinstance(pooled_text, torch.Tensor) else type(pooled_text).__name__
            raise ValueError(f"pooled_text is a tensor (texts, {width}), got {got}")
        text = pooled_text.detach().cpu().double()
        lengths = text.norm(dim=1)
        if not (lengths.isfinite() & (lengths > 0)).all():
            raise ValueError(f"pooled_text has an empty text, or none of numbers: lengths {lengths.tolist()!r:.100}")
        return F.normalize(text, dim=1)

    def _entry(self, name: str, state: FileState, contents: bytes) -> tuple[TokenEntry, torch.Tensor | None]:
        """What the index keeps of a file: its entry, and (L + 1, W), None if it cannot be searched."""
        try:
            tokens = VideoTokens.from_bytes(contents)
            self._check_fits(tokens)
        except TokenFileError as problem:
            return TokenEntry(name, state, str(problem)), None
        entry = TokenEntry(name, state, None, tokens.levels, tokens.video_size[0], tokens.fps, tokens.caption)
        return entry, embed_levels(self._alignment, tokens.video_codes)

    def _check_fits(self, tokens: VideoTokens) -> None:
        """Raise TokenFileError for tokens of another tokenizer: their codes mean something else."""
        if tokens.weights_fingerprint is None:
            raise TokenFileError("it does not say which weights made its tokens")
        if tokens.weights_fingerprint != self._key.tokenizer_fingerprint:
            raise TokenFileError(
                f"its tokens were made by other weights than this model's (by the model {tokens.model_id!r})"
            )
        config = self._alignment.config
        theirs = (tuple(map(tuple, tokens.level_strides)), tokens.codebook_bits)
        if theirs != (config.level_strides, config.codebook_bits):
            raise TokenFileError(
                f"its levels have the strides {theirs[0]} and {theirs[1]} bits, those of the text alignment "
                f"{config.level_strides} and {config.codebook_bits}"
            )

    def _replace(self, kept: set[str], fresh: dict[str, tuple[TokenEntry, torch.Tensor | None]]) -> None:
        """Let go of all entries but `kept`, and add the fresh ones, in the order of names."""
        rows = {entry.name: row for row, entry in enumerate(self.entries)}
        old = {entry.name: entry for entry in self._entries if entry.name in kept}
        entries = old | {name: entry for name, (entry, _) in fresh.items()}
        self._entries = [entries[name] for name in sorted(entries)]
        before = self._embeddings
        vectors = [fresh[entry.name][1] if entry.name in fresh else before[rows[entry.name]] for entry in self.entries]
        self._embeddings = torch.stack(vectors) if vectors else before[:0]

    def _read(self) -> None:
        """Take over what the file knows."""
        try:
            self._entries, self._embeddings = read_index_file(self.file, self._key)
        except FileNotFoundError:
            pass
        except (IndexFileError, OSError) as problem:
            reason = system_reason(problem) if isinstance(problem, OSError) else problem
            self.notes.append(f"the index {str(self.file)!r} is made anew: {reason}")
            self._is_written = False

    def _write(self) -> None:
        """Write the file, if that is possible."""
        try:
            write_index_file(self.file, self._key, self._entries, self._embeddings)
            self._is_written = True
        except PyraTokError as problem:
            self.notes.append(f"the index is not kept: {problem}")


def embed_levels(alignment: PyraTokTextAlignment, video_codes: Sequence[torch.Tensor | None]) -> torch.Tensor:
    """A video from each of its levels alone, and last from all that are there, as `embed_video` gives it.

    video_codes: per level (1, T_l, H_l, W_l) or None. Returns float32 (L + 1, text_hidden_size) on the CPU; 0 for a level that
    is None.
    """
    found = torch.zeros(len(video_codes) + 1, alignment.config.text_hidden_size)
    for row, codes in enumerate([*video_codes, True]):
        if codes is not None:
            found[row] = alignment.embed_video(video_codes, None if row == len(video_codes) else (row + 1,))[0].cpu()
    return found


def check_index_places(folder: str | os.PathLike[str], file: str | os.PathLike[str] | None) -> None:
    """Check what `TokenIndex` does of its places, before there is a model.

    Raises PyraTokError if the folder is none, or if something else than an index is at `file`, which would be lost.
    """
    if not Path(folder).is_dir():
        what = "is a file; give the folder that it is in" if Path(folder).exists() else "does not exist"
        raise PyraTokError(f"the folder {os.fspath(folder)!r} {what}")
    if file is None:
        return
    name = os.fspath(file)
    if Path(name).suffix != TOKEN_FILE_SUFFIX:
        raise PyraTokError(f"the file of an index is called NAME{TOKEN_FILE_SUFFIX}, got {name!r}")
    if os.path.exists(name) and not os.path.isfile(name):
        raise PyraTokError(f"{name!r} is a folder, a device or a pipe; give the name of a file for the index")
    if os.path.isfile(name) and os.path.getsize(name) and not is_index_file(name):
        raise PyraTokError(f"{name!r} is there and is no index; give another name, or remove it first")
