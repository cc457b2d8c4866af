"""The reference notebook's algorithm as one plain script, steps 2 to 6: the yardstick for results and for speed.

It is written as the notebook is (the whole video as one tensor, index / rate as time); nothing of Clipscout is used.
"""

import sys

import av
import torch
from torch import nn

SKIP_FRAMES = 2
BATCH = 64
CLIP_LEN = 5
scored_frames = 0
MEAN, STD = (0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989)


def read_video(path):
    """Returns uint8[t, h, w, 3] and the frame rate, as torchvision.io.read_video did."""
    with av.open(path) as container:
        frames = [torch.from_numpy(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
        return torch.stack(frames), float(container.streams.video[0].average_rate)


def candidate(path, model):
    """Returns winning frame, its label's index, its probability, and the span in seconds."""
    video, rate = read_video(path)
    pixels = video[::SKIP_FRAMES].permute(0, 3, 1, 2).float() / 255
    pixels = nn.functional.interpolate(pixels, size=(128, 128), mode="bilinear", align_corners=False)
    pixels = (pixels - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1)
    global scored_frames
    scored_frames = len(pixels)
    predictions = []
    with torch.no_grad():
        for start in range(0, len(pixels), BATCH):
            predictions.append(model(pixels[start : start + BATCH]).softmax(dim=-1))
    probabilities, labels = torch.cat(predictions).max(dim=-1)
    best = int(probabilities.argmax())
    frame = best * SKIP_FRAMES
    half = int(CLIP_LEN / 2 * rate)
    span = max(0, frame - half) / rate, min(len(video), frame + half) / rate
    return frame, int(labels[best]), float(probabilities[best]), span


if __name__ == "__main__":
    from torchvision import models

    architecture, weights, video_path = sys.argv[1:]
    state = torch.load(weights, weights_only=True)
    classes = next(reversed(state.values())).shape[0]
    network = models.get_model(architecture, weights=None, num_classes=classes)
    network.load_state_dict(state)
    print(candidate(video_path, network.eval()))
