"""A causal language model that is asked about a video: prompts of words and of a video's embeddings, and what it answers."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from transformers import Cache, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import ModelOutput

VIDEO = "<<<video>>>"
"""Stands for the video while a chat template is filled in; it never reaches the language model."""


class PromptedLanguage:
    """A language model and its tokenizer.

    The video comes right before the question: in the user's turn if the tokenizer has a chat template, else at the beginning.

    Args:
        model: any causal language model of transformers that takes `inputs_embeds`; used as it is, in evaluation mode.
        tokenizer: its tokenizer.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase):
        self.model, self.tokenizer = model, tokenizer
        self.has_template = bool(getattr(tokenizer, "chat_template", None))

    @property
    def hidden_size(self) -> int:
        """Width of the embeddings."""
        return self.model.config.get_text_config().hidden_size

    @torch.no_grad()
    def embedding_rms(self) -> float:
        """Root mean square of the embeddings of words, as the model hands them to its first layer."""
        ids = torch.arange(min(self.model.get_input_embeddings().num_embeddings, 65536))
        return float(self._embedded(ids).float().square().mean().sqrt())

    def prompt(self, question: str, video: torch.Tensor | None) -> torch.Tensor:
        """The embeddings (N, hidden_size) of a question about a video, given as (P, hidden_size), or about none."""
        before, after = self._around_the_video(question)
        return torch.cat([before, after] if video is None else [before, video.to(before.device, before.dtype), after])

    def answer_ids(self, answer: str) -> list[int]:
        """The ids of an answer, without the end of the turn."""
        return self._ids(answer if self.has_template else f" {answer}")

    @torch.no_grad()
    def mean_embedding(self, text: str) -> torch.Tensor:
        """The mean (hidden_size,) of the embeddings of a text's words."""
        return self._embedded(torch.tensor(self.answer_ids(text))).mean(dim=0)

    @torch.no_grad()
    def mean_log_probabilities(self, prompt: torch.Tensor, answers: Sequence[str]) -> torch.Tensor:
        """Mean log-probability per token (nats) of each answer after a prompt (N, hidden_size): float32 (K,).

        The prompt is read once; the answers go on from it as one padded batch.
        """
        ids, known = self._padded([self.answer_ids(answer) for answer in answers])  # (K, A)
        length, first = len(prompt), self._read(prompt)
        logits = first.logits.expand(len(ids), -1, -1)  # (K, 1, vocabulary)
        if ids.shape[1] > 1:
            cache = _for_batch(first.past_key_values, len(ids))
            inputs = self._embedded(ids[:, :-1])
            seen = torch.ones(len(ids), length + inputs.shape[1], dtype=torch.long, device=prompt.device)
            positions = length + torch.arange(inputs.shape[1], device=prompt.device).expand(len(ids), -1)
            # What stands after the end of an answer is seen by nothing before it.
            rest = self.model(inputs_embeds=inputs, past_key_values=cache, attention_mask=seen, position_ids=positions)
            logits = torch.cat([logits, rest.logits], dim=1)
        return -_mean_losses(logits, ids, known)

    def losses(
        self, videos: Sequence[torch.Tensor | None], questions: Sequence[str], answers: Sequence[str]
    ) -> torch.Tensor:
        """Mean cross-entropy per token (nats) of right answers, the end of the turn included: float32 (B,).

        The gradient goes to the videos, (P_i, hidden_size) each. What stands before them is the same for all and is read once.
        """
        end = [] if self.tokenizer.eos_token_id is None else [self.tokenizer.eos_token_id]
        ids, known = self._padded([self.answer_ids(answer) + end for answer in answers])  # (B, A)
        begin = self._around_the_video(questions[0])[0]  # (S, hidden_size)
        prompts = [self.prompt(q, video)[len(begin) :] for q, video in zip(questions, videos, strict=True)]
        longest = max(map(len, prompts))
        # Prompts end and answers begin in the same column.
        left = torch.stack([F.pad(prompt, (0, 0, longest - len(prompt), 0)) for prompt in prompts])
        is_there = torch.stack([torch.arange(longest) >= longest - len(prompt) for prompt in prompts]).to(known.device)
        mask = torch.cat(
            [is_there.new_ones(len(ids), len(begin)), is_there, known], dim=1
        ).long()  # (B, S + longest + A)
        out = self.model(
            inputs_embeds=torch.cat([left, self._embedded(ids)], dim=1),
            attention_mask=mask,
            position_ids=(mask.cumsum(dim=1) - 1).clamp_min(0)[:, len(begin) :],
            past_key_values=_for_batch(self._read(begin).past_key_values, len(ids)) if len(begin) else None,
            use_cache=len(begin) > 0,
            logits_to_keep=ids.shape[1] + 1,
        )
        return _mean_losses(out.logits[:, :-1], ids, known)

    @torch.no_grad()
    def generate(
        self,
        prompt: torch.Tensor,
        max_new_tokens: int,
        temperature: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> str:
        """What the model goes on with after a prompt (N, hidden_size); temperature 0 always takes the likeliest token."""
        choice = {"do_sample": False, "temperature": None, "top_k": None, "top_p": None}
        if temperature > 0:
            choice = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
        end = self.tokenizer.eos_token_id
        devices = [prompt.device] if prompt.device.type == "cuda" else []
        with torch.random.fork_rng(devices, enabled=generator is not None):
            if generator is not None:  # transformers draws from the generators of the process
                torch.manual_seed(int(torch.randint(2**62, (1,), generator=generator, device=generator.device)))
            ids = self.model.generate(
                inputs_embeds=prompt[None],
                attention_mask=torch.ones(1, len(prompt), dtype=torch.long, device=prompt.device),
                max_new_tokens=max_new_tokens,
                pad_token_id=self.tokenizer.pad_token_id if end is None else end,
                **choice,
                **({} if end is None else {"eos_token_id": end}),
            )
        return self.tokenizer.decode(ids[0], skip_special_tokens=True).strip()

    def _around_the_video(self, question: str) -> tuple[torch.Tensor, torch.Tensor]:
        """The embeddings of what stands before a video, the same for all questions, and of what stands after it."""
        if self.has_template:
            turn = [{"role": "user", "content": VIDEO + question}]
            text = self.tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
            before, found, after = text.partition(VIDEO)
            if not found:
                raise ValueError(
                    "the chat template of the language model leaves out what the user says: give another model"
                )
            start = self._ids(before)
        else:
            start, after = self.tokenizer("").input_ids, f"Question: {question}\nAnswer:"
        before, after = (self._embedded(torch.tensor(ids, dtype=torch.long)) for ids in (start, self._ids(after)))
        return before, after

    @torch.no_grad()
    def _read(self, prompt: torch.Tensor) -> ModelOutput:
        """The logits after a prompt (N, hidden_size), and what the model keeps of it in mind."""
        length = len(prompt)
        return self.model(
            inputs_embeds=prompt[None],
            attention_mask=torch.ones(1, length, dtype=torch.long, device=prompt.device),
            position_ids=torch.arange(length, device=prompt.device)[None],
            use_cache=True,
            logits_to_keep=1,
        )

    def _ids(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False).input_ids

    def _embedded(self, ids: torch.Tensor) -> torch.Tensor:
        """(...) -> (..., hidden_size), where the embeddings are."""
        table = self.model.get_input_embeddings()
        return table(ids.to(table.weight.device))

    def _padded(self, answers: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Ids (K, A) with zeros after the end, and a mask (K, A), True where there are any."""
        longest = max(map(len, answers))
        ids = torch.tensor([[*answer, *[0] * (longest - len(answer))] for answer in answers])
        known = torch.arange(longest) < torch.tensor([len(answer) for answer in answers])[:, None]
        device = self.model.device
        return ids.to(device), known.to(device)


def _for_batch(cache: Cache, size: int) -> Cache:
    """The same cache, of one prompt before, for `size` continuations of it."""
    cache.batch_repeat_interleave(size)
    return cache


def _mean_losses(logits: torch.Tensor, ids: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy over the ids that are known: logits (K, A, vocabulary), ids and known (K, A) -> float32 (K,)."""
    losses = F.cross_entropy(logits.float().transpose(1, 2), ids, reduction="none")  # (K, A)
    return (losses * known).sum(dim=1) / known.sum(dim=1)
