"""The sound of one file, carried into another beside new pictures: copied as it is where the container takes it.

Times are kept relative to the start of the source file, as `VideoReader.timed_frames` gives them, so sound and
picture stay in step. Of several sound tracks the first is taken (players call it the default one).
"""

import os
from typing import BinaryIO

import av

from .errors import VideoReadError
from .media_opening import error_reason, open_container, open_source, source_name

ENCODER_RATES = {"libopus": (48000,), "libmp3lame": (48000, 44100, 32000), "aac": (48000, 44100, 32000)}
"""Sampling rates that an encoder is given, in Hz; another rate is converted to the first."""

BITS_PER_CHANNEL = 96_000
"""Bits per second and channel of sound that is encoded again: not told from the original by most ears."""


class AudioCopier:
    """Moves the sound of `source` into an output container, bit by bit, as the pictures are written.

    `copied_codecs`: codec names that the container takes as they are; None for any. Other codecs are decoded and
    encoded again with `encoder`, in stereo at most. `keeps_priming`: the container takes the encoder's run-up
    before time 0. `report` says what happens: "copied", "re-encoded", "none" for a source without sound, "left out"
    for sound that no decoder here reads.

    Raises VideoReadError as a `VideoReader` does if `source` cannot be opened.
    """

    def __init__(
        self, source: str | os.PathLike, copied_codecs: frozenset[str] | None, encoder: str, keeps_priming: bool
    ) -> None:
        self._name = source_name(source)
        self._file: BinaryIO = open_source(source)
        try:
            self._container = open_container(self._file, self._name)
        except BaseException:
            self._file.close()
            raise
        self._output: av.container.OutputContainer | None = None
        self._encoder_name, self._keeps_priming = encoder, keeps_priming
        self._pending: av.Packet | None = None
        self._stream = next(iter(self._container.streams.audio), None)
        if self._stream is None or self._stream.codec_context is None:
            self.report = "none" if self._stream is None else "left out"
            return
        codec = self._stream.codec_context.codec.canonical_name
        self.report = "copied" if copied_codecs is None or codec in copied_codecs else "re-encoded"
        self._packets = self._container.demux(self._stream)
        self._origin = (self._container.start_time or 0) / av.time_base  # seconds

    def attach(self, output: av.container.OutputContainer) -> None:
        """Add the sound's stream to `output`; before anything is written to it."""
        if self.report not in ("copied", "re-encoded"):
            return
        self._output = output
        if self.report == "copied":
            try:
                self._out = output.add_stream_from_template(self._stream)
                return
            except ValueError:  # a container that takes nearly any codec does not take this one
                self.report = "re-encoded"
        rates = ENCODER_RATES[self._encoder_name]
        rate = self._stream.rate if self._stream.rate in rates else rates[0]
        layout = "mono" if self._stream.channels == 1 else "stereo"
        self._out = output.add_stream(self._encoder_name, rate=rate, layout=layout)
        self._out.codec_context.bit_rate = BITS_PER_CHANNEL * (1 if layout == "mono" else 2)
        self._out.codec_context.open()
        context = self._out.codec_context
        self._resampler = av.AudioResampler(context.format, layout, rate, context.frame_size or None)

    def copy_until(self, seconds: float) -> None:
        """Write the sound that begins before `seconds` (on the source's clock) and was not written yet."""
        if self._output is None:
            return
        while (packet := self._pending or self._next_packet()) is not None:
            self._pending = None
            if packet.pts is not None and float(packet.pts * packet.time_base) - self._origin >= seconds:
                self._pending = packet
                return
            self._write(packet)

    def finish(self) -> None:
        """Write what an encoder still holds."""
        if self._output is not None and self.report == "re-encoded":
            for frame in [*self._resampler.resample(None), None]:
                self._mux(self._out.encode(frame))

    def close(self) -> None:
        """Release the source."""
        self._container.close()
        self._file.close()

    def _next_packet(self) -> av.Packet | None:
        try:
            packet = next(self._packets, None)
        except (av.FFmpegError, OSError) as error:
            raise VideoReadError(f"the sound of {self._name} cannot be read: {error_reason(error)}.") from error
        if packet is not None and packet.is_corrupt:
            raise VideoReadError(f"the sound of {self._name} is damaged or cut short.")
        return packet

    def _decoded(self, packet: av.Packet) -> list[av.AudioFrame]:
        try:
            return packet.decode()
        except av.FFmpegError as error:
            raise VideoReadError(f"the sound of {self._name} does not decode: {error_reason(error)}.") from error

    def _write(self, packet: av.Packet) -> None:
        if self.report == "copied":
            if packet.pts is None:  # the mark of the end, or data without a time, which no container takes
                return
            shift = round(self._origin / packet.time_base)
            packet.pts -= shift
            packet.dts = packet.pts if packet.dts is None else packet.dts - shift
            packet.stream = self._out
            self._mux([packet])
            return
        for frame in self._decoded(packet):  # the mark of the end makes the decoder give what it still holds
            frame.pts -= round(self._origin / frame.time_base)
            for piece in self._resampler.resample(frame):
                self._mux(self._out.encode(piece))

    def _mux(self, packets: list[av.Packet]) -> None:
        """Write packets, less those mostly before time 0: some containers would move the pictures back for them."""
        for packet in packets:
            if self._keeps_priming or 2 * packet.pts + (packet.duration or 0) >= 0:
                self._output.mux(packet)
