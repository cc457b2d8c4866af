"""Zero-shot classifiers: how near an action's sentences are to a frame, against sentences of no action."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from transforms.core.classifiers.resolve import registered
from transforms.core.classifiers.specs import LoadRule
from transforms.core.classifiers.torch_models import Responses, TorchClassifier, stacked


class _ImageTower(nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.model.encode_image(pixels, normalize=True)


class ZeroShotClassifier(TorchClassifier):
    """An open_clip model. The score of an action is its softmax share against the background sentences.

    As in CLIP (arXiv 2103.00020, section 3.1.4) the embeddings of an action's sentences are averaged and normalised.
    """

    def __init__(self, model: Any, rule: LoadRule) -> None:
        import open_clip

        super().__init__(_ImageTower(model), rule)
        assert rule.spec.prompts is not None
        self._prompts = rule.spec.prompts
        self._model = model.to(self.device)
        self._tokenizer = open_clip.get_tokenizer(registered(rule.spec.architecture.removeprefix("open_clip:")))
        self._scale = float(model.logit_scale.detach().exp())
        self._embeddings: dict[str, np.ndarray] = {}
        self._background = np.stack([self._embed([sentence]) for sentence in self._prompts.background])

    def respond(self, outputs: np.ndarray, wanted: Sequence[Sequence[str]], any_label: bool = False) -> Responses:
        """Turns image embeddings into responses.

        Args:
          outputs: float32[n, size] embeddings, what `outputs` gave.
          wanted: The names of each action; their shares are summed.
          any_label: Let the response be the best share of any wanted name.
        """
        names = list(dict.fromkeys(name for action in wanted for name in action))
        logits = {name: self._scale * outputs @ self._embedding(name) for name in names}
        background = self._scale * outputs @ self._background.T
        responses = [_shares([logits[name] for name in action], background).sum(axis=1) for action in wanted]
        joint = _shares([logits[name] for name in names], background)
        best = joint.argmax(axis=1) if names else np.zeros(len(outputs), np.int64)
        scores = joint[np.arange(len(outputs)), best] if names else np.zeros(len(outputs), np.float32)
        if any_label:
            responses = [scores for _ in wanted]
        return Responses(
            stacked(responses, len(outputs)), tuple(names[place] for place in best), scores.astype(np.float32)
        )

    def _embedding(self, name: str) -> np.ndarray:
        """Returns the embedding of an action, made once per worker."""
        if name not in self._embeddings:
            # not str.format: a name is not to reach into objects
            self._embeddings[name] = self._embed([template.replace("{}", name) for template in self._prompts.templates])
        return self._embeddings[name]

    def _embed(self, sentences: list[str]) -> np.ndarray:
        """Returns float32[size]: the normalised average over sentences."""
        with torch.inference_mode():
            each = self._model.encode_text(self._tokenizer(sentences).to(self.device), normalize=True)
            mean = each.float().mean(dim=0)
            return (mean / mean.norm()).cpu().numpy()


def _shares(logits: list[np.ndarray], background: np.ndarray) -> np.ndarray:
    """Returns float[n, len(logits)]: the softmax of the logits together with the background's, without the latter."""
    together = np.concatenate([np.stack(logits, axis=1) if logits else background[:, :0], background], axis=1)
    shares = np.exp(together - together.max(axis=1, keepdims=True))
    return (shares / shares.sum(axis=1, keepdims=True))[:, : len(logits)]
