"""Trains a token projector: `python -m pyratok.training.question_training VIDEOS OUTPUT [--questions FOLDER]`.

The tokenizer and the language model stay as they are; what learns is the projector between them: first by telling captions
apart, then as well by the likelihood of captions after a request for one, and of right answers after their questions.
OUTPUT/projector is the result; metrics.jsonl, checkpoints and the tokens lie beside it. A run that was stopped goes on from its
last checkpoint when the same command is given again.
"""

import argparse
import dataclasses
import logging
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from tqdm import tqdm

from ..configuration.configuration_token_projector import PyraTokTokenProjectorConfig
from ..modeling_pyratok.errors import PyraTokError
from ..modeling_pyratok.modeling_pyratok import PyraTokModel
from ..modeling_pyratok.token_projector import PyraTokTokenProjector
from ..pipelines.bundled_model import BUNDLED_ID
from ..pipelines.language_model_loading import load_language_model
from ..pipelines.model_loading import load_model
from ..pipelines.prompted_language import PromptedLanguage
from ..pipelines.question_answering_pipeline import PROJECTOR
from .checkpoints import write_folder
from .data_sources import open_rows
from .held_out_files import VALIDATION, open_split_rows
from .learning_rate import learning_rate_share
from .question_contrast import CaptionContrast
from .question_files import read_answers
from .question_samples import AnsweredVideo, Codes, TokenizedVideo, described, random_views, tokenized, whole_video
from .question_token_store import stored
from .run_records import MetricsFile
from .small_checkpoints import load_small_checkpoint, save_small_checkpoint

logger = logging.getLogger(__name__)

REQUESTS = ("Describe the video.", "What is in the video?", "What does the video show?", "What happens in the video?")
"""What captions are answers to; the first is asked in validation."""

VIEW_STREAM, ORDER_STREAM, STEP_STREAM = 0, 1, 2
"""Names of the random streams under the run's seed."""

LOG_EVERY = 10


@dataclass(frozen=True)
class QuestionSettings:
    """What a run is made of.

    data: a folder of captioned videos or another source of `open_rows`. more_data: such sources of which all is trained on.
    questions: folders of MVBench's form. model: the tokenizer. places, moments: of `PyraTokTokenProjectorConfig`.
    views: of each file; side: their largest short side in pixels. levels_left_out: share of steps that see some levels alone.
    contrast_share: of the steps, that tell captions apart and no more; contrast_weight: of that in the other steps.
    """

    data: str
    more_data: tuple[str, ...] = ()
    questions: tuple[str, ...] = ()
    model: str = BUNDLED_ID
    language_model: str = "smollm2-135m"
    steps: int = 800
    contrast_share: float = 0.5
    contrast_weight: float = 0.3
    batch_size: int = 8
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    warmup_share: float = 0.05
    levels_left_out: float = 0.2
    places: int = 2
    moments: int = 2
    views: int = 4
    side: int = 144
    validate_every: int = 100
    checkpoint_minutes: float = 3.0
    mixed_precision: str = "bf16"
    seed: int = 0


@dataclass
class QuestionRun:
    """A run under way: its parts, its samples, and how many steps it has made."""

    settings: QuestionSettings
    output: Path
    accelerator: Accelerator
    projector: PyraTokTokenProjector
    optimizer: torch.optim.Optimizer
    language: PromptedLanguage
    contrast: CaptionContrast
    train: list[TokenizedVideo]
    validation: list[TokenizedVideo]
    metrics: MetricsFile
    step: int = 0


def train_projector(settings: QuestionSettings, output: Path) -> QuestionRun:
    """Run the training to its end, going on from the newest checkpoint in `output` if there is one.

    Raises PyraTokError for data, models or checkpoints that cannot be used, and for a loss that is not finite.
    """
    run = _new_run(settings, output)
    given = _recorded(settings)
    run.step = load_small_checkpoint(output / "checkpoints", run.projector, run.optimizer, given)
    run.metrics.rewind(run.step if run.step else -1)
    saved, window = time.monotonic(), []
    with tqdm(total=settings.steps, initial=run.step, unit="step", desc="training") as bar:
        if run.step == 0:
            blind = {"loss_without_video": validation_loss(run, seen=False)}
            run.metrics.append({"step": 0, "kind": "validation", "loss": validation_loss(run), **blind})
        while run.step < settings.steps:
            window.append(training_step(run))
            bar.update()
            last = run.step == settings.steps
            if run.step % LOG_EVERY == 0 or last:
                means = _means(window)
                run.metrics.append({"step": run.step, "kind": "train", **means})
                bar.set_postfix({name: f"{value:.3f}" for name, value in means.items()}, refresh=False)
                window = []
            if run.step % settings.validate_every == 0 or last:
                run.metrics.append({"step": run.step, "kind": "validation", "loss": validation_loss(run)})
            if last or (not window and time.monotonic() - saved >= 60 * settings.checkpoint_minutes):
                write_folder(output / PROJECTOR, run.projector.save_pretrained)
                save_small_checkpoint(output / "checkpoints", run.step, run.projector, run.optimizer, given)
                saved = time.monotonic()
    return run


def training_step(run: QuestionRun) -> dict[str, float]:
    """One step on videos, views and questions that the seed and the number of the step determine; its terms of the loss."""
    settings, step = run.settings, run.step
    generator = np.random.default_rng(np.random.SeedSequence(settings.seed, spawn_key=(STEP_STREAM, step)))
    levels = _levels(generator, settings.levels_left_out, run.projector.config.num_levels)
    asked, captions = [], []
    for number in _numbers(settings, step, len(run.train)):
        video = run.train[number]
        question, answer = video.answers[generator.integers(len(video.answers))]
        request = REQUESTS[generator.integers(len(REQUESTS))]
        asked.append((video.views[generator.integers(len(video.views))], question or request, answer))
        captions.append(answer if question is None else None)
    terms = _terms(run, asked, captions, levels)
    loss = terms.get("loss", 0.0) + terms.get("contrast", 0.0) * (settings.contrast_weight if "loss" in terms else 1.0)
    run.accelerator.backward(loss)
    norm = run.accelerator.clip_grad_norm_(run.projector.parameters(), 1.0)
    if not torch.isfinite(loss) or not torch.isfinite(norm):
        raise PyraTokError(
            f"step {step + 1} is not finite (loss {float(loss):.4g}, gradient {float(norm):.4g}); lower --learning-rate, or "
            "give --precision no"
        )
    share = learning_rate_share(step, settings.steps, max(round(settings.warmup_share * settings.steps), 1), 0.02)
    for group in run.optimizer.param_groups:
        group["lr"] = settings.learning_rate * share
    run.optimizer.step()
    run.optimizer.zero_grad()
    run.step += 1
    return {name: float(value.detach()) for name, value in terms.items()}


def _terms(
    run: QuestionRun,
    asked: Sequence[tuple[Codes, str, str]],
    captions: Sequence[str | None],
    levels: Sequence[int] | None,
) -> dict[str, torch.Tensor]:
    """The terms of the loss of a step: `contrast` of the videos with a caption, and `loss` but in the first steps."""
    settings = run.settings
    with run.accelerator.autocast():
        prefixes = [_prefix(run, codes, levels) for codes, _, _ in asked]
        told = [(prefix, caption) for prefix, caption in zip(prefixes, captions, strict=True) if caption is not None]
        terms = {"contrast": run.contrast.losses(*zip(*told, strict=True)).mean()} if told else {}
        if not told or run.step >= settings.contrast_share * settings.steps:
            _, questions, answers = zip(*asked, strict=True)
            terms["loss"] = run.language.losses(prefixes, questions, answers).mean()
    return terms


@torch.no_grad()
def losses_of(run: QuestionRun, asked: Sequence[tuple[Codes | None, str, str]]) -> torch.Tensor:
    """The loss (B,) of each answer, nats per token, from (codes, question, answer); without codes the video is not seen."""
    with run.accelerator.autocast():
        prefixes = [None if codes is None else _prefix(run, codes) for codes, _, _ in asked]
        _, questions, answers = zip(*asked, strict=True)
        return run.language.losses(prefixes, questions, answers)


def _prefix(run: QuestionRun, codes: Codes, levels: Sequence[int] | None = None) -> torch.Tensor:
    """(P, language_hidden_size)."""
    return run.projector([level.long().to(run.accelerator.device) for level in codes], levels)[0]


def validation_loss(run: QuestionRun, seen: bool = True) -> float:
    """The mean loss on the first answer of every video that was held out; not `seen`, what the language model says blindly."""
    found: list[float] = []
    size = run.settings.batch_size
    for start in range(0, len(run.validation), size):
        videos = run.validation[start : start + size]
        first = [(video.views[0] if seen else None, *video.answers[0]) for video in videos]
        found += losses_of(
            run, [(codes, question or REQUESTS[0], answer) for codes, question, answer in first]
        ).tolist()
    return sum(found) / len(found)


def _new_run(settings: QuestionSettings, output: Path) -> QuestionRun:
    accelerator = Accelerator(mixed_precision=settings.mixed_precision)
    if accelerator.num_processes > 1:
        raise PyraTokError(f"a projector is trained by one process, and {accelerator.num_processes} were started")
    model = load_model(settings.model).to(accelerator.device).requires_grad_(False)
    train, validation = _samples(settings, output, model)
    language_model, tokenizer = load_language_model(settings.language_model)
    language = PromptedLanguage(language_model.to(accelerator.device), tokenizer)
    projector = _new_projector(settings, model, language).to(accelerator.device)
    learning = [weight for weight in projector.parameters() if weight.requires_grad]
    groups = [
        {"params": [weight for weight in learning if weight.dim() > 1], "weight_decay": settings.weight_decay},
        {"params": [weight for weight in learning if weight.dim() <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.95))
    contrast = CaptionContrast(language, _captions(train))
    metrics = MetricsFile(output / "metrics.jsonl")
    return QuestionRun(
        settings, output, accelerator, projector, optimizer, language, contrast, train, validation, metrics
    )


def _samples(
    settings: QuestionSettings, output: Path, model: PyraTokModel
) -> tuple[list[TokenizedVideo], list[TokenizedVideo]]:
    """The tokens to train on and those to validate on; kept in `output`."""
    rows = open_split_rows(settings.data, "train", VALIDATION)
    videos = described(rows.train)
    for source in settings.more_data:
        videos += described(open_rows(source, None))
    for folder in settings.questions:
        videos += read_answers(folder)

    def views(video: AnsweredVideo, number: int) -> tuple[Codes, ...]:
        return random_views(model, video, settings.views, settings.side, (settings.seed, VIEW_STREAM, number))

    def whole(video: AnsweredVideo, _: int) -> tuple[Codes, ...]:
        return whole_video(model, video)

    drawn = {"views": settings.views, "side": settings.side, "seed": settings.seed}
    found = []
    for name, asked, codes_of, how in (
        ("train", videos, views, drawn),
        ("validation", described(rows.validation), whole, {}),
    ):
        told = [[v.name, v.answer, v.question, v.start, v.end] for v in asked]
        made_from = {"weights": model.weights_fingerprint(), "videos": told, **how}
        bar = partial(tqdm, desc=f"tokens for {name}", unit="file")
        make = partial(tokenized, asked, codes_of, bar)
        found.append(stored(output / f"tokens_{name}.safetensors", made_from, make))
    return found[0], found[1]


def _new_projector(
    settings: QuestionSettings, model: PyraTokModel, language: PromptedLanguage
) -> PyraTokTokenProjector:
    """With weights drawn by the run's seed, and the tokenizer's codebook."""
    config = PyraTokTokenProjectorConfig(
        num_levels=model.config.num_levels,
        codebook_bits=model.config.codebook_bits,
        codebook_size=model.config.hidden_size,
        hidden_size=2 * model.config.hidden_size,
        language_hidden_size=language.hidden_size,
        embedding_rms=language.embedding_rms(),
        places=settings.places,
        moments=settings.moments,
        language_model=settings.language_model,
        weights_fingerprint=model.weights_fingerprint(),
    )
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        projector = PyraTokTokenProjector(config)
    projector.share_codebook(model.codebook)
    return projector


def _captions(videos: Sequence[TokenizedVideo]) -> list[str]:
    return [answer for video in videos for question, answer in video.answers if question is None]


def _means(window: Sequence[dict[str, float]]) -> dict[str, float]:
    """The mean of each term over the steps that have it."""
    names = sorted({name for terms in window for name in terms})
    found = {name: [terms[name] for terms in window if name in terms] for name in names}
    return {name: sum(values) / len(values) for name, values in found.items()}


def _numbers(settings: QuestionSettings, step: int, count: int) -> list[int]:
    """Which videos a step sees: one random order of all of them after the other, so that each comes equally often."""
    found = []
    for place in range(step * settings.batch_size, (step + 1) * settings.batch_size):
        epoch, position = divmod(place, count)
        order = np.random.default_rng(np.random.SeedSequence(settings.seed, spawn_key=(ORDER_STREAM, epoch)))
        found.append(int(order.permutation(count)[position]))
    return found


def _levels(generator: np.random.Generator, share: float, num_levels: int) -> list[int] | None:
    """All levels (None), or in a share of the steps a random part of them: so that any subset is understood."""
    if generator.random() >= share:
        return None
    count = int(generator.integers(1, num_levels + 1))
    return sorted(int(level) + 1 for level in generator.permutation(num_levels)[:count])


def _recorded(settings: QuestionSettings) -> dict[str, Any]:
    """The settings that a run keeps, as JSON gives them back."""
    kept = dataclasses.asdict(settings)
    del kept["checkpoint_minutes"]
    return {name: list(value) if isinstance(value, tuple) else value for name, value in kept.items()}


def _settings(arguments: Sequence[str] | None) -> tuple[QuestionSettings, Path]:
    parser = argparse.ArgumentParser(
        prog="python -m pyratok.training.question_training", description=__doc__.splitlines()[0]
    )
    parser.add_argument("data", help="a folder of videos with captions, with train/ and validation/ inside or without")
    parser.add_argument("output", type=Path, help="receives projector/, metrics.jsonl and checkpoints/")
    parser.add_argument(
        "--more-data", action="append", default=[], help="a further folder of videos or pictures with captions"
    )
    parser.add_argument(
        "--questions", action="append", default=[], help="a folder with json/ and video/ of MVBench's form"
    )
    parser.add_argument("--model", help="the tokenizer: `pyratok`, a folder or a Hub id")
    parser.add_argument("--language-model", help="smollm2-135m, a folder or a Hub id")
    parser.add_argument("--precision", dest="mixed_precision", choices=("no", "bf16"), help="of the computation")
    for field in dataclasses.fields(QuestionSettings):
        if field.type in (int, float):
            name = field.name.replace("_", "-")
            parser.add_argument(f"--{name}", type=field.type, help=f"default: {field.default}")
    given = vars(parser.parse_args(arguments))
    output = given.pop("output")
    values = {
        name: tuple(value) if isinstance(value, list) else value for name, value in given.items() if value is not None
    }
    return QuestionSettings(**values), output


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code, 2 for a clear error."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    settings, output = _settings(arguments)
    try:
        train_projector(settings, output)
    except (PyraTokError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
