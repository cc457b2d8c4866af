"""Zero-shot classifiers: how near an action's sentences are to a frame, against sentences of no action."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from clipscout.transforms.core.classifiers import responses
from clipscout.transforms.core.classifiers.classifier import Classifier
from clipscout.transforms.core.classifiers.open_clip_models import registered
from clipscout.transforms.core.classifiers.specs import LoadSettings


class _ImageTower(nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.model.encode_image(pixels, normalize=True)


class ZeroShotClassifier(Classifier):
    """An open_clip model. The score of an action is its softmax share against the background sentences.

    As in CLIP (arXiv 2103.00020, section 3.1.4) the embeddings of an action's sentences are averaged and normalised.
    """

    def __init__(self, model: Any, settings: LoadSettings) -> None:
        import open_clip

        super().__init__(_ImageTower(model), settings)
        assert settings.spec.prompts is not None
        self._prompts = settings.spec.prompts
        self._model = model.to(self.device)
        self._tokenizer = open_clip.get_tokenizer(registered(settings.spec.architecture.removeprefix("open_clip:")))
        self._scale = float(model.logit_scale.detach().exp())
        self._embeddings: dict[str, np.ndarray] = {}
        self._background = np.stack([self._embed([sentence]) for sentence in self._prompts.background])

    def respond(
        self, outputs: np.ndarray, wanted: Sequence[Sequence[str]], any_label: bool = False
    ) -> responses.Responses:
        """Turns image embeddings into responses.

        Args:
          outputs: float32[n, size] embeddings, what `outputs` gave.
          wanted: The names of each action; their shares are summed.
          any_label: Let the response be the best share of any wanted name.
        """
        names = {name for action in wanted for name in action}
        return responses.of_texts(outputs, self.texts(names), wanted, any_label)

    def texts(self, names: Iterable[str]) -> responses.Texts:
        """Returns what frames are compared with: an embedding is made once per worker."""
        for name in names:
            if name not in self._embeddings:
                # not str.format: a name is not to reach into objects
                sentences = [template.replace("{}", name) for template in self._prompts.templates]
                self._embeddings[name] = self._embed(sentences)
        return responses.Texts({name: self._embeddings[name] for name in names}, self._background, self._scale)

    def _embed(self, sentences: list[str]) -> np.ndarray:
        """Returns float32[size]: the normalised average over sentences."""
        with torch.inference_mode():
            each = self._model.encode_text(self._tokenizer(sentences).to(self.device), normalize=True)
            mean = each.float().mean(dim=0)
            return (mean / mean.norm()).cpu().numpy()
