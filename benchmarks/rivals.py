"""The same sampling with other libraries; the benchmark installs them, the product does not."""


def opencv(path: str, fps: float) -> int:
    """OpenCV: decode all, convert and resize the samples."""
    import cv2

    cv2.setNumThreads(1)
    capture = cv2.VideoCapture(path, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    rate = capture.get(cv2.CAP_PROP_FPS)
    index = samples = 0
    tick = -1
    while capture.grab():
        if int(index / rate * fps + 1e-6) > tick:
            tick = int(index / rate * fps + 1e-6)
            _, frame = capture.retrieve()
            cv2.cvtColor(cv2.resize(frame, (128, 128)), cv2.COLOR_BGR2RGB)
            samples += 1
        index += 1
    return samples


def torchcodec(path: str, fps: float) -> int:
    """torchcodec: frames by time, resized by torch."""
    from torch.nn.functional import interpolate
    from torchcodec.decoders import VideoDecoder

    decoder = VideoDecoder(path, num_ffmpeg_threads=1, seek_mode="approximate")
    count = int(decoder.metadata.duration_seconds * fps)
    samples = 0
    for start in range(0, count, 16):
        times = [place / fps for place in range(start, min(start + 16, count))]
        frames = decoder.get_frames_played_at(times).data
        samples += len(interpolate(frames.float(), (128, 128)))
    return samples


def decord(path: str, fps: float) -> int:
    """decord: frames by index, resized by its scaler."""
    from decord import VideoReader, cpu

    reader = VideoReader(path, ctx=cpu(0), width=128, height=128, num_threads=1)
    rate, count = reader.get_avg_fps(), len(reader)
    indices = [round(place * rate / fps) for place in range(int(count / rate * fps))]
    indices = [index for index in indices if index < count]
    return sum(len(reader.get_batch(indices[start : start + 16]).asnumpy()) for start in range(0, len(indices), 16))


SAMPLERS = {"opencv": opencv, "decord": decord, "torchcodec": torchcodec}
