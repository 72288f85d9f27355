"""All videos and pictures of a folder into token files, going on where an earlier run was stopped."""

import dataclasses
import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..modeling_pyratok.atomic_writing import atomic_path
from ..modeling_pyratok.errors import PyraTokError, TokenFileError
from ..modeling_pyratok.token_files import TOKEN_FILE_SUFFIX
from ..modeling_pyratok.video_reading import VideoReader
from ..modeling_pyratok.video_tokens import VideoTokens
from ..training.caption_files import CaptionFiles
from .clip_encoding import ClipEncoder, uneven_frames

RECORD = ".pyratok-encoding.json"
"""Says with which options the token files of a folder were made, and since when: a token file itself does not."""


@dataclass(frozen=True)
class Clip:
    """A video or picture, where its tokens go, and its caption."""

    path: Path
    name: str
    """The path within the folder, with slashes."""
    target: Path
    caption: str | None


@dataclass
class FolderEncoding:
    """What came of a folder. Paths are as they were given."""

    written: int = 0
    """Token files that were made."""
    kept: int = 0
    """Token files that were up to date; of some only the caption or the model's name was replaced."""
    captions: int = 0
    """Token files with a caption, of both kinds."""
    frames: int = 0
    tokens: int = 0
    files: dict[str, Path] = field(default_factory=dict)
    """The token files, of both kinds, by the names of their clips."""
    warnings: list[str] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)
    """Path -> what was wrong with it."""


def clips_of(folder: str, target: str, files: Sequence[Path]) -> list[Clip]:
    """For each file under `folder` its token file in `target`: its path within `folder`, extension and all, and `.safetensors`.

    Raises PyraTokError if `target` cannot be a folder, and for captions that cannot be read.
    """
    if Path(target).suffix == TOKEN_FILE_SUFFIX or (os.path.lexists(target) and not os.path.isdir(target)):
        raise PyraTokError(f"{folder!r} is a folder, so its tokens go into a folder as well; {target!r} is none")
    captions = CaptionFiles(folder)
    clips = []
    for file in files:
        name = file.relative_to(folder)
        tokens = Path(target, name.parent, f"{name.name}{TOKEN_FILE_SUFFIX}")
        clips.append(Clip(file, name.as_posix(), tokens, captions.caption_of(file)))
    return clips


class OptionsRecord:
    """Which options the token files of a folder are made with, and since when, by the clock of its disk.

    Args:
        target: the folder; it need not be there.
        options: what JSON can say.
        anew: do not go by what was recorded: nothing that is there is up to date.
    """

    def __init__(self, target: str, options: dict[str, object], anew: bool = False) -> None:
        self._file, self._options = Path(target, RECORD), options
        self.since: int | None = None
        """In ns, as `st_mtime_ns`; None if nothing was made with these options so far."""
        if not anew:
            try:
                known = json.loads(self._file.read_text("utf-8"))
                if known["options"] == options and type(known["since"]) is int:
                    self.since = known["since"]
            except (OSError, ValueError, KeyError, TypeError, RecursionError):
                pass  # then nothing is known of the token files that are there

    def write(self) -> None:
        """Note, before the first token file is written, that these options count from now on. Makes the folder.

        Raises PyraTokError or OSError if it cannot.
        """
        if self.since is None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with atomic_path(self._file) as temporary:
                self.since = temporary.stat().st_mtime_ns
                record = {"options": self._options, "since": self.since}
                temporary.write_text(json.dumps(record, sort_keys=True) + "\n", "utf-8")


def encode_clips(
    clips: Sequence[Clip],
    encoder: ClipEncoder,
    record: OptionsRecord,
    progress: Callable[[Sequence[Clip]], Iterable[Clip]],
) -> FolderEncoding:
    """Encode all clips, but those whose token files are up to date: whole, of these weights and these levels, made with
    the record's options, and no older than the clip. Those are given the clip's caption and the model's name as they are now.

    Raises PyraTokError if none of the clips can be read, or if a token file cannot be written.
    """
    report = FolderEncoding()
    for clip in progress(clips):
        tokens = _up_to_date(clip, encoder, record)
        if tokens is not None:
            report.kept += 1
            # The name too: the same weights may be a folder at first and on the Hub when the tokens are pushed.
            if (tokens.caption, tokens.model_id) != (clip.caption, encoder.model_id):
                tokens = dataclasses.replace(tokens, caption=clip.caption, model_id=encoder.model_id)
                tokens.save(clip.target)
        else:
            try:
                with VideoReader(clip.path) as reader:
                    tokens = encoder.encode(reader, clip.caption)
                    warning = uneven_frames(str(clip.path), reader, tokens)
            except PyraTokError as problem:
                report.unreadable[str(clip.path)] = str(problem)
                continue
            record.write()
            clip.target.parent.mkdir(parents=True, exist_ok=True)
            tokens.save(clip.target)
            report.written += 1
            report.warnings += [] if warning is None else [warning]
        report.files[clip.name] = clip.target
        report.captions += tokens.caption is not None
        report.frames += tokens.video_size[0]
        report.tokens += tokens.num_tokens
    if report.unreadable and not report.written + report.kept:
        first = next(iter(report.unreadable.values()))
        raise PyraTokError(f"none of the {len(clips)} files can be read; the first: {first}")
    return report


def _up_to_date(clip: Clip, encoder: ClipEncoder, record: OptionsRecord) -> VideoTokens | None:
    """The clip's tokens, if they need not be made anew."""
    if record.since is None:
        return None
    try:
        if clip.target.stat().st_mtime_ns < max(record.since, clip.path.stat().st_mtime_ns):
            return None
        tokens = VideoTokens.load(clip.target)
    except (OSError, TokenFileError):
        return None
    fits = tokens.weights_fingerprint == encoder.fingerprint and tokens.levels == encoder.levels
    return tokens if fits else None
