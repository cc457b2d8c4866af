"""Every element that flows between stages: frozen, validated on construction, small but for frame batches."""

from clipscout.transforms.records.features import DUPLICATES, ONE_PER_VIDEO, SEEN, ClipFeature, ClipMatch, DecodedClip
from clipscout.transforms.records.requests import ActionQuery, Ask, Twin, Video, VideoRequest
from clipscout.transforms.records.samples import (
    DecodeReport,
    Flush,
    FrameBatch,
    ScoredSamples,
    ScoredSegment,
    Scores,
    ScoreTrack,
    Segment,
    StoredTrack,
    wanted_of,
)
from clipscout.transforms.records.spans import (
    SOUND_NOT_FETCHED,
    CandidateSpan,
    Clip,
    EarlierClip,
    ScoredVideo,
    VideoSpans,
)

__all__ = [
    "DUPLICATES",
    "ONE_PER_VIDEO",
    "SEEN",
    "SOUND_NOT_FETCHED",
    "ActionQuery",
    "Ask",
    "CandidateSpan",
    "Clip",
    "ClipFeature",
    "ClipMatch",
    "DecodeReport",
    "DecodedClip",
    "EarlierClip",
    "Flush",
    "FrameBatch",
    "ScoreTrack",
    "ScoredSamples",
    "ScoredSegment",
    "ScoredVideo",
    "Scores",
    "Segment",
    "StoredTrack",
    "Twin",
    "Video",
    "VideoRequest",
    "VideoSpans",
    "wanted_of",
]
