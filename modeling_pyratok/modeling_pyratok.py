"""The PyraTok tokenizer: a causal video VAE with a pyramid of language-aligned binary quantizers between its halves."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from diffusers import AutoencoderKLWan
from diffusers.utils.accelerate_utils import apply_forward_hook
from huggingface_hub.errors import StrictDataclassError
from torch import nn
from transformers import PreTrainedModel
from transformers.utils import can_return_tuple

from ..configuration.configuration_pyratok import PyraTokConfig
from ..configuration.remote_code import SharesCode
from .attention_maps import maps_on_grids, recorded_attention
from .backbone import decode_latents, encode_features, encode_features_and_latent, modules_without_use, unpatchify
from .backbone_loading import backbone_settings, copy_backbone_weights, load_backbone
from .binary_codebook import BinaryCodebook, codes_to_bits
from .chunks import check_chunk_frames, chunk_bounds, chunks_of_stream, level_bounds, pad_chunk
from .errors import PyraTokError
from .input_checks import (
    check_codes,
    check_levels,
    check_next_piece,
    check_options,
    check_present_levels,
    check_target,
    check_text,
    check_video,
)
from .lapq import LaPQPyramid, PyramidOutput
from .level_dropout import level_subsets
from .level_fusion import LevelFusion
from .lora import LoraMerging, add_lora, lora_layers
from .lora_files import LoraFiles
from .outputs import PyraTokDecoderOutput, PyraTokEncoderOutput, PyraTokOutput
from .residual_quantizer import ResidualQuantizer, ResidualSum
from .safe_weights import SafeWeights
from .shares_card import SharesCard
from .streaming_state import StreamingState
from .tiling import Tile, blend_tiles, plan_tiles
from .token_grids import TEMPORAL_STRIDE, level_grids, padded_size
from .tokenizer_losses import tokenizer_losses
from .weight_initialization import initialize_module
from .weights_name import WeightsName

PASSED_BY_TRANSFORMERS = frozenset(("output_attentions", "num_items_in_batch"))
"""What transformers' utilities and its Trainer hand to every `forward`; here it has no effect."""


class PyraTokPreTrainedModel(SafeWeights, SharesCard, SharesCode, PreTrainedModel):
    """What transformers needs to know about PyraTok models."""

    config_class = PyraTokConfig
    base_model_prefix = "pyratok"
    main_input_name = "pixel_values_videos"
    input_modalities = ("video",)
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    # The executor reads the weights of layers without calling them, so the model stays whole on one device.
    _no_split_modules = None

    def _init_weights(self, module: nn.Module) -> None:
        initialize_module(module)


class PyraTokModel(WeightsName, LoraMerging, LoraFiles, PyraTokPreTrainedModel):
    """Video <-> tokens at several depths of a causal video VAE.

    Videos are (B, T, C, H, W) in [-1, 1], of any T, H, W from 1 up: they are padded inside (see `token_grids`) and come back in
    their true size. Codes are per level (B, T_l, H_l, W_l), int64 in [0, 2**codebook_bits).

    `encode` and `decode` work in chunks of `chunk_frames`, which bounds memory; with one chunk length they compute exactly what
    `encode_stream` and `decode_stream` compute. With `tile_size` frames are processed in overlapping tiles of at most that many
    pixels per side, blended where they overlap; codes then differ somewhat from those without tiles.
    """

    def __init__(self, config: PyraTokConfig):
        super().__init__(config)
        self.backbone = AutoencoderKLWan(**config.backbone_config)
        self.codebook = BinaryCodebook(config.codebook_bits, config.hidden_size)
        if self._is_residual:
            self.codebook.projection.starts_as_reversal = True  # bits to channels, see `ResidualQuantizer`
        self.pyramid = ResidualQuantizer(config) if self._is_residual else LaPQPyramid(config)
        self.fusion = ResidualSum() if self._is_residual else LevelFusion(config)
        self._encode_features, self._decode_latents = self._encoder, decode_latents
        if config.lora_rank:
            without_use = modules_without_use(self.backbone, self._last_stage, self._is_residual)
            add_lora(self.backbone.encoder, config.lora_rank, config.lora_alpha, excluded=without_use)
        self._freeze()
        self.post_init()

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> "PyraTokModel":
        """As in transformers; parameters that the configuration freezes come back frozen (transformers unfreezes all)."""
        loaded = super().from_pretrained(*args, **kwargs)
        (loaded[0] if isinstance(loaded, tuple) else loaded)._freeze()
        return loaded

    @classmethod
    def from_backbone(
        cls, vae: AutoencoderKLWan | str | os.PathLike, loading_options: dict[str, Any] | None = None, **config: Any
    ) -> "PyraTokModel":
        """A new tokenizer around a pretrained VAE, whose weights are kept bit for bit, in their type and on their device.

        Args:
            vae: an `AutoencoderKLWan`, a folder of diffusers, a Hub id, or a single .safetensors file, whose tensors may have
                diffusers' names or those of Wan's own checkpoints (2.1 and 2.2).
            loading_options: for diffusers' `AutoencoderKLWan.from_pretrained`, for example `{"subfolder": "vae"}`.
            config: settings of `PyraTokConfig` other than `backbone_config`.

        Raises:
            TypeError: if `vae` is none of these, or for an unknown setting. PyraTokError, a ValueError: if the configuration
                does not fit the VAE, or a file holds none.
        """
        vae = load_backbone(vae, **(loading_options or {}))
        try:
            settings = PyraTokConfig(backbone_config=backbone_settings(vae), **config)
        except StrictDataclassError as problem:
            raise PyraTokError(f"these settings do not fit the VAE: {problem.__cause__ or problem}") from problem
        model = cls(settings).to(vae.device, vae.dtype)
        copy_backbone_weights(vae, model.backbone)
        return model.eval()

    def _freeze(self) -> None:
        """Freeze what is not trained: the backbone if so configured, and the parts of it that tokens do not pass through."""
        self.backbone.requires_grad_(not self.config.freeze_backbone)
        for _, layer in lora_layers(self.backbone):
            layer.lora_A.requires_grad_(True)
            layer.lora_B.requires_grad_(True)
        for module in modules_without_use(self.backbone, self._last_stage, self._is_residual):
            module.requires_grad_(False)
        if self._is_residual:
            self.codebook.requires_grad_(False)
            self.pyramid.requires_grad_(self.config.residual_text_scale != 0)

    @property
    def _is_residual(self) -> bool:
        return self.config.quantizer == "residual"

    @property
    def _encoder(self) -> Callable:
        return encode_features_and_latent if self._is_residual else encode_features

    @property
    def _last_stage(self) -> int:
        return max(self.config.level_stages)

    def compile_backbone(self, **options: Any) -> None:
        """Run the encoder and the decoder through `torch.compile(**options)` from now on.

        The first chunk and later ones are compiled apart, and every new size again; `dynamic=True` avoids the latter.
        """
        self._encode_features = torch.compile(self._encoder, **options)
        self._decode_latents = torch.compile(decode_latents, **options)

    # --- tokens --------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    @can_return_tuple
    @apply_forward_hook
    def encode(
        self,
        pixel_values_videos: torch.Tensor,
        text_embeds: torch.Tensor | None = None,
        text_mask: torch.Tensor | None = None,
        chunk_frames: int | None = 16,
        tile_size: int | None = None,
        tile_overlap: int | None = None,
    ) -> PyraTokEncoderOutput:
        """Video -> tokens.

        Args:
            pixel_values_videos: (B, T, C, H, W) in [-1, 1].
            text_embeds: (B, S, text_hidden_size), or None: a learned null embedding stands in.
            text_mask: (B, S), nonzero where there is text.
            chunk_frames: frames per step, a multiple of 4, or None for the whole video at once.
            tile_size, tile_overlap: in pixels, multiples of `config.spatial_multiple`; None for no tiles.

        Raises:
            ValueError: for wrong shapes, chunk lengths or tile sizes.
        """
        check_video(pixel_values_videos)
        check_chunk_frames(chunk_frames)
        check_text(text_embeds, text_mask, pixel_values_videos.shape[0], self.config.text_hidden_size)
        batch, frames, _, height, width = pixel_values_videos.shape
        grids = level_grids((frames, height, width), self.config.level_strides, self.config.spatial_multiple)
        codes = [torch.empty(batch, *grid, dtype=torch.long, device=pixel_values_videos.device) for grid in grids]
        features: list[torch.Tensor] = []
        state, filled = None, [0] * len(grids)
        for start, end in chunk_bounds(frames, chunk_frames):
            pyramid, state = self._encode_chunk(
                pixel_values_videos[:, start:end], text_embeds, text_mask, state, tile_size, tile_overlap
            )
            features = features or [
                level.new_empty(batch, level.shape[1], *grid)
                for level, grid in zip(pyramid.features, grids, strict=True)
            ]
            for level, (level_codes, level_features) in enumerate(zip(pyramid.codes, pyramid.features, strict=True)):
                window = slice(filled[level], filled[level] + level_codes.shape[1])
                codes[level][:, window] = level_codes
                features[level][:, :, window] = level_features
                filled[level] = window.stop
        return PyraTokEncoderOutput(tuple(codes), tuple(features), (frames, height, width))

    @torch.no_grad()
    @can_return_tuple
    @apply_forward_hook
    def decode(
        self,
        video_codes: Sequence[torch.Tensor | None],
        video_size: Sequence[int],
        chunk_frames: int | None = 16,
        levels: Iterable[int] | None = None,
        tile_size: int | None = None,
        tile_overlap: int | None = None,
    ) -> PyraTokDecoderOutput:
        """Tokens -> video.

        Args:
            video_codes: per level (B, T_l, H_l, W_l); levels that are left out may be None.
            video_size: true (T, H, W).
            chunk_frames: frames per step, a multiple of 4, or None for the whole video at once.
            levels: which levels to decode, 1..L in any order; by default all that are not None. A learned embedding stands
                in for the others; with the residual quantizer they add nothing.
            tile_size, tile_overlap: as in `encode`.

        Raises:
            ValueError: for codes that do not fit the size, unknown or repeated levels, or none.
        """
        check_chunk_frames(chunk_frames)
        levels = check_levels(levels, video_codes, self.config.num_levels)
        grids = level_grids(video_size, self.config.level_strides, self.config.spatial_multiple)
        check_codes(video_codes, levels, grids, self.config.codebook_bits)
        frames, height, width = video_size
        latent_frames = 1 + (padded_size(video_size, 1)[0] - 1) // TEMPORAL_STRIDE
        video, state, filled = None, None, 0
        for start, end in chunk_bounds(
            latent_frames, None if chunk_frames is None else chunk_frames // TEMPORAL_STRIDE
        ):
            bounds = [level_bounds(start, end, temporal) for temporal, _ in self.config.level_strides]
            chunk = [
                codes[:, slice(*bound)] if level in levels else None
                for level, (codes, bound) in enumerate(zip(video_codes, bounds, strict=True), start=1)
            ]
            chunk_grids = [(b[1] - b[0], *grid[1:]) for b, grid in zip(bounds, grids, strict=True)]
            pixels, state = self._decode_chunk(chunk, chunk_grids, state, tile_size, tile_overlap)
            if video is None:
                video = pixels.new_empty(pixels.shape[0], frames, pixels.shape[2], height, width)
            kept = min(pixels.shape[1], frames - filled)
            video[:, filled : filled + kept] = pixels[:, :kept, :, :height, :width]
            filled += kept
        return PyraTokDecoderOutput(video.clamp_(-1, 1))

    @apply_forward_hook
    @torch.no_grad()
    def encode_stream(
        self,
        frames: Iterable[torch.Tensor],
        text_embeds: torch.Tensor | None = None,
        text_mask: torch.Tensor | None = None,
        chunk_frames: int | None = 16,
        tile_size: int | None = None,
        tile_overlap: int | None = None,
    ) -> Iterator[PyraTokEncoderOutput]:
        """Tokens of a video of any length, piece by piece, in memory that does not grow with it.

        Args:
            frames: tensors (C, H, W) or (n, C, H, W) in [-1, 1].
            text_embeds, text_mask, chunk_frames, tile_size, tile_overlap: as in `encode`, batch 1.

        Yields:
            The output of `encode` for each chunk; `video_size` is (true frames in this piece, H, W).
        """
        check_chunk_frames(chunk_frames)
        check_text(text_embeds, text_mask, 1, self.config.text_hidden_size)
        state = None
        for chunk in chunks_of_stream(frames, chunk_frames):
            pyramid, state = self._encode_chunk(chunk, text_embeds, text_mask, state, tile_size, tile_overlap)
            size = (chunk.shape[1], *chunk.shape[-2:])
            yield PyraTokEncoderOutput(pyramid.codes, pyramid.features, size)

    @apply_forward_hook
    @torch.no_grad()
    def decode_stream(
        self,
        pieces: Iterable[PyraTokEncoderOutput],
        levels: Iterable[int] | None = None,
        tile_size: int | None = None,
        tile_overlap: int | None = None,
    ) -> Iterator[torch.Tensor]:
        """Video of a stream of tokens.

        Args:
            pieces: what `encode_stream` yields.
            levels, tile_size, tile_overlap: as in `decode`.

        Yields:
            (n, C, H, W) in [-1, 1] for each piece; n is its true number of frames.

        Raises:
            ValueError: as `decode`, and for pieces of several sizes or behind one that only a video's end can be.
        """
        state = size = None
        wanted = None if levels is None else tuple(levels)
        for piece in pieces:
            frames, height, width = piece.video_size
            check_next_piece(piece.video_size, size)
            size = (frames + (size[0] if size else 0), height, width)
            present = check_levels(wanted, piece.video_codes, self.config.num_levels)
            grids = self._piece_grids(piece, is_first=state is None)
            check_codes(piece.video_codes, present, grids, self.config.codebook_bits)
            chunk = [codes if level in present else None for level, codes in enumerate(piece.video_codes, start=1)]
            batch = piece.video_codes[present[0] - 1].shape[0]
            if batch != 1:
                raise ValueError(f"a stream has batch size 1, got a piece of batch size {batch}")
            pixels, state = self._decode_chunk(chunk, grids, state, tile_size, tile_overlap)
            yield pixels[0, :frames, :, :height, :width].clamp(-1, 1)

    def _piece_grids(self, piece: PyraTokEncoderOutput, is_first: bool) -> tuple[tuple[int, int, int], ...]:
        frames, height, width = piece.video_size
        size = (frames if is_first else frames + 1, height, width)
        grids = level_grids(size, self.config.level_strides, self.config.spatial_multiple)
        return grids if is_first else tuple((count - 1, rows, columns) for count, rows, columns in grids)

    def attention_maps(
        self,
        pixel_values_videos: torch.Tensor,
        text_embeds: torch.Tensor,
        text_mask: torch.Tensor | None = None,
        chunk_frames: int | None = 16,
    ) -> tuple[torch.Tensor, ...]:
        """How much each position looks at each word of a text: per level (B, S, T_l, H_l, W_l), 1 in sum over the words.

        Arguments as in `encode`. Of padding, and in a sample without any text, the weights are 0 and those of the null text.

        Raises:
            ValueError: as `encode`, and for a model that does not look at the text: a residual one of text scale 0.
        """
        if self._is_residual and self.config.residual_text_scale == 0:
            raise ValueError("this model does not look at the text: its residual_text_scale is 0")
        with recorded_attention(self.pyramid) as record:
            output = self.encode(pixel_values_videos, text_embeds, text_mask, chunk_frames)
        return maps_on_grids(record, [tuple(codes.shape[1:]) for codes in output.video_codes])

    def embed_codes(self, codes: torch.Tensor) -> torch.Tensor:
        """The shared codebook projection: codes (...) -> (..., hidden_size).

        With the residual quantizer that is -1 or +1 for each channel of the latent, without the level's scale 2^-i.
        """
        return self.codebook.embed_codes(codes)

    # --- one chunk -----------------------------------------------------------------------------------------------------

    def _encode_chunk(
        self,
        video: torch.Tensor,
        text_embeds: torch.Tensor | None,
        text_mask: torch.Tensor | None,
        state: StreamingState | None,
        tile_size: int | None,
        tile_overlap: int | None,
    ) -> tuple[PyramidOutput, StreamingState]:
        video = pad_chunk(video.to(self.dtype), state is None, self.config.spatial_multiple)
        tiles = self._tiles(*video.shape[-2:], tile_size, tile_overlap)
        memories, features = [], []
        for tile, memory in zip(tiles, state.memories if state else (None,) * len(tiles), strict=True):
            tile_features, memory = self._encode_features(self.backbone, tile.crop(video, 1), memory, self._last_stage)
            features.append(tile_features)
            memories.append(memory)
        strides = (*self.config.stage_strides, self.config.stage_strides[-1])  # stages, and the VAE's own latent
        blended = tuple(
            blend_tiles(parts, tiles, stride)
            for parts, (_, stride) in zip(zip(*features, strict=True), strides, strict=False)
        )
        if text_embeds is not None:
            text_embeds = text_embeds.to(self.dtype)
        pyramid = self.pyramid(self.codebook, blended, text_embeds, text_mask, is_first=state is None)
        return pyramid, StreamingState(tuple(memories))

    def _decode_chunk(
        self,
        codes: Sequence[torch.Tensor | None],
        grids: Sequence[tuple[int, int, int]],
        state: StreamingState | None,
        tile_size: int | None,
        tile_overlap: int | None,
    ) -> tuple[torch.Tensor, StreamingState]:
        latents, laterals = self.fusion(self._embed_levels(codes, grids), is_first=state is None)
        stride = self.config.backbone_stride
        height, width = (size * stride for size in latents.shape[-2:])
        tiles = self._tiles(height, width, tile_size, tile_overlap)
        memories, parts = [], []
        for tile, memory in zip(tiles, state.memories if state else (None,) * len(tiles), strict=True):
            tile_laterals = {
                stage: tile.crop(value, self.config.decoder_stage_strides[stage][1])
                for stage, value in laterals.items()
            }
            patches, memory = self._decode_latents(self.backbone, tile.crop(latents, stride), tile_laterals, memory)
            parts.append(unpatchify(patches, self.config.patch_size))
            memories.append(memory)
        return blend_tiles(parts, tiles, 1), StreamingState(tuple(memories))

    def _tiles(self, height: int, width: int, tile_size: int | None, tile_overlap: int | None) -> tuple[Tile, ...]:
        return plan_tiles(height, width, tile_size, tile_overlap, self.config.spatial_multiple)

    def _embed_levels(
        self, codes: Sequence[torch.Tensor | None], grids: Sequence[tuple[int, int, int]]
    ) -> list[torch.Tensor]:
        """Per level (B, hidden, T_l, H_l, W_l); a missing level holds what stands in for it everywhere."""
        batch, like = next(level for level in codes if level is not None).shape[0], self.codebook.projection.weight
        return [
            self.fusion.missing_level(index, like).view(1, -1, 1, 1, 1).expand(batch, -1, *grid)
            if level is None
            else self.codebook(codes_to_bits(level, self.config.codebook_bits, self.dtype)).permute(0, 4, 1, 2, 3)
            for index, (level, grid) in enumerate(zip(codes, grids, strict=True))
        ]

    # --- training ------------------------------------------------------------------------------------------------------

    @can_return_tuple
    def forward(
        self,
        pixel_values_videos: torch.Tensor,
        text_embeds: torch.Tensor | None = None,
        text_mask: torch.Tensor | None = None,
        target_values: torch.Tensor | None = None,
        present_levels: torch.Tensor | None = None,
        output_hidden_states: bool | None = None,
        output_stage_features: bool = False,
        **kwargs: Any,
    ) -> PyraTokOutput:
        """Quantize and reconstruct whole clips, with gradients.

        In training mode random level dropout applies (drawn from torch's global generator, unless `present_levels` says which
        levels are there), so that every subset of levels learns to decode.

        Args:
            pixel_values_videos: (B, T, C, H, W) in [-1, 1].
            text_embeds: (B, S, text_hidden_size), or None.
            text_mask: (B, S), nonzero where there is text.
            target_values: (B, T, C, H, W), what to reconstruct; in training mode the input by default. With a target, or in
                training mode, the loss is computed.
            present_levels: (B, L) bool, the levels that each sample is decoded from, at least one; the learned embedding
                stands in for the others.
            output_hidden_states: whether to return the features before quantization of every level.
            output_stage_features: whether to return what the encoder's stages give.

        Raises:
            ValueError: for wrong shapes, or a sample without any level. TypeError: for an argument that is not known.
        """
        check_options(kwargs, PASSED_BY_TRANSFORMERS)
        check_video(pixel_values_videos)
        if target_values is not None:
            check_target(target_values, pixel_values_videos)
        check_text(text_embeds, text_mask, pixel_values_videos.shape[0], self.config.text_hidden_size)
        batch, frames, _, height, width = pixel_values_videos.shape
        video = pad_chunk(pixel_values_videos.to(self.dtype), True, self.config.spatial_multiple)
        stage_features, _ = self._encode_features(self.backbone, video, None, self._last_stage)
        if text_embeds is not None:
            text_embeds = text_embeds.to(self.dtype)
        pyramid = self.pyramid(self.codebook, stage_features, text_embeds, text_mask, is_first=True)
        if present_levels is None:
            present = self._draw_present_levels(batch, video.device)
        else:
            present = check_present_levels(present_levels, batch, self.config.num_levels).to(video.device)
        embedded = [
            self.fusion.replace_missing(self.codebook(bits).permute(0, 4, 1, 2, 3), level, present[:, level])
            for level, bits in enumerate(pyramid.bits)
        ]
        latents, laterals = self.fusion(embedded, is_first=True)
        patches, _ = self._decode_latents(self.backbone, latents, laterals, None)
        values = unpatchify(patches, self.config.patch_size)[:, :frames, :, :height, :width]
        loss, losses = None, None
        if self.training or target_values is not None:
            target = pixel_values_videos if target_values is None else target_values
            loss, losses = tokenizer_losses(self.config, values, target, pyramid.logits)
        if output_hidden_states is None:
            output_hidden_states = self.config.output_hidden_states
        return PyraTokOutput(
            loss=loss,
            losses=losses,
            video_values=values if self.training else values.clamp(-1, 1),
            video_codes=pyramid.codes,
            bit_logits=pyramid.logits,
            latents=latents,
            hidden_states=pyramid.features if output_hidden_states else None,
            stage_features=stage_features[: self._last_stage] if output_stage_features else None,
        )

    def _draw_present_levels(self, batch: int, device: torch.device) -> torch.Tensor:
        """(B, L) bool: all True, but in training drawn by `level_subsets`."""
        levels = self.config.num_levels
        if not self.training or levels == 1:
            return torch.ones(batch, levels, dtype=torch.bool, device=device)
        seeds = torch.randint(2**62, (batch,)).tolist()
        return level_subsets(seeds, levels, self.config.level_dropout).to(device)

    # --- weights -------------------------------------------------------------------------------------------------------

    def save_pretrained(
        self,
        save_directory: str | os.PathLike,
        is_main_process: bool = True,
        state_dict: dict[str, torch.Tensor] | None = None,
        **kwargs: Any,
    ) -> None:
        """As in transformers; merged LoRA weights are saved unmerged."""
        state_dict = self.unmerged_state_dict() if state_dict is None else state_dict
        super().save_pretrained(save_directory, is_main_process, state_dict, **kwargs)
