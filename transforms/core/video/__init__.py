"""From a hostile file to frames with times: containers, timeline, frames, sampling, colours, shapes, shot boundaries.

Here belongs what reads a video, whoever wants it; what a clip is made of belongs to `clips`. Imports `storage` and
`child`, and never torch: it runs in children.
"""
