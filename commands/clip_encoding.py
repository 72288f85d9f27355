"""Videos into tokens, with a model that is loaded once."""

from ..hub_cards.dataset_facts import TokenKind
from ..modeling_pyratok.modeling_pyratok import PyraTokModel
from ..modeling_pyratok.video_reading import VideoReader
from ..modeling_pyratok.video_tokens import VideoTokens
from ..pipelines.token_streams import TokenCollector, chosen_levels, keep_levels, recorded_id
from .frame_source import FrameSource
from .model_use import Work, load_quietly, place


class ClipEncoder:
    """A tokenizer that encodes one file after another.

    Args:
        model_id: a Hub id or a folder, which is recorded in the tokens.
        work: how the model is to be used.
        max_frames: encode no more of a file; None for all.
        dtype, device: as in `place`.

    Raises PyraTokError for a model that cannot be loaded, or that does not allow what `work` asks for.
    """

    def __init__(self, model_id: str, work: Work, max_frames: int | None, dtype: str, device: str | None) -> None:
        self._model: PyraTokModel = load_quietly(model_id)
        work.check(self._model, (1, 1))
        self.levels = chosen_levels(self._model, work.levels)
        self.fingerprint = self._model.weights_fingerprint()
        self.max_frames = max_frames
        self.model_id = recorded_id(model_id)
        self._work = work
        place(self._model, dtype, device)

    @property
    def kind(self) -> TokenKind:
        """What all tokens that it makes have in common."""
        config = self._model.config
        return TokenKind(
            level_strides=tuple(tuple(pair) for pair in config.level_strides),
            codebook_bits=config.codebook_bits,
            spatial_multiple=config.spatial_multiple,
            levels=tuple(self.levels),
            weights_fingerprint=self.fingerprint,
            model_id=self.model_id,
        )

    def encode(self, reader: VideoReader, caption: str | None = None) -> VideoTokens:
        """The tokens of a file, with a caption that the tokenizer does not see. Raises VideoReadError."""
        model, work = self._model, self._work
        collector, source = TokenCollector(model), FrameSource(reader, self.max_frames, model.device)
        for piece in model.encode_stream(source, chunk_frames=work.chunk_frames, **work.tiles):
            collector.add(keep_levels(model, piece.video_codes, work.levels), piece.video_size)
            for _ in range(piece.video_size[0]):  # each frame is let go as soon as its chunk is done
                source.take()
        return collector.tokens(reader.frame_rate.average, self.model_id, self.fingerprint, caption)


def uneven_frames(clip: str, reader: VideoReader, tokens: VideoTokens) -> str | None:
    """A warning if the frames that were read do not keep to the rate that the file states, which tokens cannot hold."""
    if reader.frame_rate.is_kept:
        return None
    return (
        f"Warning: the frames of {clip!r} do not keep to the {float(reader.info.fps):.6g} per second that it states; "
        f"the token file has their average, {float(tokens.fps):.6g}, and not their times."
    )
