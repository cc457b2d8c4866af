"""The counters of a finished local run as lines for a person."""

from apache_beam.metrics.metric import MetricsFilter
from apache_beam.runners.runner import PipelineResult

STAGES = (
    "ReadQueries",
    "FindVideos",
    "DownloadVideos",
    "ScoreVideos",
    "ProposeSpans",
    "FetchBetterVideos",
    "CutClips",
)


def lines(result: PipelineResult) -> list[str]:
    """Returns a line per stage: its counters, then its distributions as sum, mean and maximum.

    A runner that keeps no metrics (a template launch) gives none.
    """
    text = []
    for stage in STAGES:
        try:
            found = result.metrics().query(MetricsFilter().with_namespace(stage))
        except (ValueError, NotImplementedError):
            return []
        parts = {one.key.metric.name: f"{one.result:,}" for one in found["counters"]}
        for one in found["distributions"]:
            value = one.result
            shown = f"{value.sum:,} (mean {value.mean:,.1f}, max {value.max:,})"
            # the frames of a batch and a peak have no meaningful sum
            has_sum = one.key.metric.name.endswith("msec")
            parts[one.key.metric.name] = shown if has_sum else f"mean {value.mean:,.0f}, max {value.max:,}"
        own = {name: shown for name, shown in parts.items() if not _is_of_beam(name)}
        if own:
            text.append(f"{stage:<15}" + "; ".join(f"{name} {own[name]}" for name in sorted(own)))
    return text


def _is_of_beam(name: str) -> bool:
    """RunInference counts under our namespace too, with underscores in its names."""
    return "_" in name and not name.startswith("failed-")
