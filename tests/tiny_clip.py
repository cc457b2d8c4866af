"""A small open_clip model of random weights."""

import json

import open_clip
import torch

TINY_CLIP = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}


def save(folder):
    """Writes its configuration and weights, and returns it as the value of `--classifier`."""
    (folder / "tiny.json").write_text(json.dumps(TINY_CLIP))
    open_clip.add_model_config(folder / "tiny.json")
    torch.manual_seed(6)
    torch.save(open_clip.create_model("tiny", pretrained=None).state_dict(), folder / "clip.pt")
    return f"open_clip:{folder}/tiny.json:{folder}/clip.pt"
