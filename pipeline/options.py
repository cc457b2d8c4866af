"""Command-line options: one table, as text in and text out. `config` judges the values.

Imports neither Beam nor torch: `--help` is there at once.
"""

import argparse
import difflib
import re
import sys
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

from clipscout.pipeline.faults import Fault
from clipscout.pipeline.machines import WITH_GPU

LOCAL_RUNNER = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"


@dataclass(frozen=True)
class Option:
    """One option.

    Attributes:
      name: Without the dashes.
      group: Heading in `--help`.
      default: What holds when neither the user nor the preset says anything; None where the help says why.
      kind: `text`, `integer`, `number`, `flag`, or the choices separated by `|`.
      help: One or two sentences.
      low, high: Allowed range of a number.
    """

    name: str
    group: str
    default: str | None
    kind: str
    help: str
    low: float | None = None
    high: float | None = None

    def metavar(self) -> str:
        """Returns what `--help` shows for the value."""
        if "|" in self.kind:
            return "{" + self.kind.replace("|", ",") + "}"
        return {"integer": "N", "number": "X", "flag": "true|false"}.get(self.kind, "TEXT")


_IO, _PRESET, _FIND, _FETCH = "Input and output", "Preset", "Finding videos", "Fetching"
_SCORE, _SPANS, _SELECT, _CLIPS = "Sampling and scoring", "Spans", "Selection over all videos", "Clips"
_DUPLICATES = "Duplicates"
_LIMITS, _RUN, _CLOUD = "Limits on hostile or broken files", "Running", "Dataflow"

#: What holds for videos of the web where nobody says anything.
WEB_LIMITS = {"max_video_seconds": 14_400.0, "max_video_mb": 2000.0}

OPTIONS: tuple[Option, ...] = (
    Option("input", _IO, None, "text", "Query files: paths or globs, local or gs://, separated by commas. JSON Lines, a JSON array, CSV or TSV, plain or gzip. No default: only you know what to look for."),
    Option("output", _IO, None, "text", "Output folder, local or gs://. A run with the same folder continues where the last one stopped. No default: results never land where you did not ask for them."),
    Option("date", _IO, None, "text", "The date, as YYYY-MM-DD, that stands for {date} in --input, --output, --exclude and --reference. Default: today in UTC."),
    Option("replace", _IO, "false", "flag", "The output holds results of other settings: redo what depends on them, replace the manifests and remove the clips that they no longer name. With --preflight_only it is only said what that is."),
    Option("manifest_shards", _IO, "1", "integer", "Files per manifest; raise it for millions of videos.", 1, 10_000),
    Option("preset", _PRESET, "kinetics", "kinetics|notebook", "Defaults of the other options. kinetics: the paper's values (10 s around the 2 strongest responses). notebook: the reference notebook's algorithm, step by step, for comparison. What you set yourself wins."),
    Option("search_prefix", _FIND, "ytsearch", "text", "yt-dlp's search: ytsearch, scsearch, bilisearch, nicosearch, ..."),
    Option("max_videos", _FIND, "20", "integer", "Most videos per row that is a search, a list or a page of several; a row's own max_videos wins.", 1, 10_000),
    Option("min_video_seconds", _FIND, "0", "number", "Refuse shorter videos.", 0),
    Option("max_video_seconds", _FIND, None, "number", "Refuse longer videos. Default: 14400 for videos of the web, no limit for files of your own.", 0),
    Option("licence", _FIND, "any", "any|creative_commons", "Refuse videos under another licence. With ytsearch the search itself is narrowed, and each video's own page is checked again."),
    Option("max_per_channel", _FIND, None, "integer", "Most videos of one channel in the job, best ranks first. Default: no cap.", 1, 1_000_000),
    Option("exclude", _FIND, "", "text", "Files of video ids that are never fetched (e.g. a test set): paths or globs separated by commas; plain, CSV, TSV, or a Kinetics CSV."),
    Option("max_height", _FETCH, "144", "integer", "Wanted height (smaller side) in pixels: the smallest format that serves is taken.", 16, 8192),
    Option("max_height_cap", _FETCH, "720", "integer", "A video without a format that small is taken in the next larger one, never above this.", 16, 8192),
    Option("max_video_mb", _FETCH, None, "number", "Refuse larger files, while they come if their size is not told before. Default: 2000 for videos of the web, no limit for files of your own.", 0.001, 1_000_000),
    Option("download_timeout_seconds", _FETCH, "600", "number", "Longest time for one attempt at a download, by the wall clock.", 1, 86_400),
    Option("download_lanes", _FETCH, "2", "integer", "So many downloads are under way at once, over the whole job (where there are several workers, up to 32 on one of them).", 1, 1000),
    Option("download_interval", _FETCH, "1", "number", "Least seconds between two starts within a lane.", 0, 3600),
    Option("blocked_limit", _FETCH, "3", "integer", "A host that refuses so many times in a row is left alone; what is left of it waits for the next run, and what it refused comes last there. One that does not answer is left alone after as many tries in a row as three videos have.", 1, 1000),
    Option("download_attempts", _FETCH, "3", "integer", "Tries per video where a failure is transient.", 1, 20),
    Option("retry_wait_seconds", _FETCH, "2", "number", "Wait before the second try; it doubles from try to try, with jitter.", 0, 600),
    Option("retry_failed", _FETCH, "", "text", "Codes of permanent failures of earlier runs that are tried again, separated by commas."),
    Option("canary", _FETCH, "", "text", "Addresses of videos that are known to be there, one for each site, separated by commas. Before a job that asks the web starts each is fetched; where one cannot be, the job does not start."),
    Option("fetch_only", _FETCH, "false", "flag", "Find and fetch the videos, and stop there. Another job whose output has them scores and cuts them, on any machine and engine."),
    Option("copy_inputs", _FETCH, "false", "flag", "Store files of your own below the output too, instead of using them in place."),
    Option("cookies", _FETCH, "", "text", "Netscape cookies file, local or gs://, or a secret of Google's Secret Manager (projects/P/secrets/S/versions/latest). Its content appears in no log and no manifest."),
    Option("proxy", _FETCH, "", "text", "Proxy URL, or a file (local or gs://) or secret that holds one, so that it stays off the command line."),
    Option("allow_private_hosts", _FETCH, "false", "text", "Private, loopback and link-local addresses that may be contacted: hosts separated by commas, true for all, false for none."),
    Option("classifier", _SCORE, "lite0", "text", "lite0 (ImageNet, comes with the extra 'demo'), torchvision:NAME[:WEIGHTS] (image and video models), open_clip:MODEL[:PRETRAINED_OR_PATH] (zero-shot, extra 'clip'), or a spec file (.json, .yaml). clipscout labels --classifier ... lists its labels."),
    Option("prompts", _SCORE, None, "text", "Zero-shot: sentences with {} in the action's place, separated by semicolons; their embeddings are averaged. Default: three sentences about a person."),
    Option("background_prompts", _SCORE, None, "text", "Zero-shot: sentences that stand for no action, separated by semicolons; scores are probabilities against them. Default: three."),
    Option("trust_checkpoint", _SCORE, "false", "flag", "Let weights run code of their own, as TorchScript and torch.export do. Only for files whose makers you trust with this machine."),
    Option("model_copies", _SCORE, "0", "integer", "Copies of the model that all processes of a worker share, as on a GPU; 0 gives each process its own.", 0, 64),
    Option("response", _SCORE, "action", "action|any", "What a sample's response is: the wanted action's score, or the best score of any label (the notebook's rule)."),
    Option("preprocessing", _SCORE, "classifier", "classifier|notebook", "How frames become the model's input: as the classifier says, or as the notebook does (128x128, squashed, no antialiasing)."),
    Option("keep_outputs", _SCORE, "true", "flag", "Store all that the classifier said of each sample beside the wanted responses (about 18 MB per hour of video for 1,000 labels; a zero-shot classifier's embeddings are always stored), so that new actions, classes, prompts or another --response decode nothing."),
    Option("sample_fps", _SCORE, "2", "number", "Samples per second: the first frame at or after each tick. A video classifier takes the rate it was trained on instead.", 0.001, 1000),
    Option("frame_stride", _SCORE, None, "integer", "Instead of sample_fps: every n-th frame. No default, because the two exclude each other.", 1, 1_000_000),
    Option("sampling", _SCORE, "frames", "frames|keyframes", "keyframes: score only the frames that the encoder made independent of others; the rest is not even decoded, which is many times faster and as coarse as the encoder chose. Excludes sample_fps and frame_stride."),
    Option("segment_seconds", _SCORE, "600", "number", "Split longer videos into segments that different workers can take; the scores stay the same. 0 does not split.", 0, 86_400),
    Option("precision", _SCORE, "fp32", "fp32|bf16|fp16", "Arithmetic of the classifier. bf16 is faster where the processor has it, fp16 is for GPUs; scores differ slightly."),
    Option("engine", _SCORE, "auto", "auto|torch|openvino", "What runs the classifier on a CPU. auto: OpenVINO where it is installed (extra 'cpu') and says what torch says, to 1e-4 in fp32; else torch. On a GPU it is torch."),
    Option("threads", _SCORE, "0", "integer", "Threads of the classifier on a CPU, and most threads of a decoder (small pictures get one). 0: the machine's cores divided by --workers; a model that --model_copies shares has its part of all cores.", 0, 1024),
    Option("batch_size", _SCORE, "64", "integer", "Frames per call of the model; frames of several videos share a batch.", 1, 65_536),
    Option("device", _SCORE, "auto", "auto|cpu|cuda", "Where the classifier runs. auto takes a GPU where there is one; cuda stops the job where there is none."),
    Option("clip_seconds", _SPANS, "10", "number", "Length of a span, half on each side of the peak. At the video's edges it is shifted; it is shorter only if the video is.", 0.1, 3600),
    Option("top_k", _SPANS, "2", "integer", "Most spans per video and action.", 1, 1000),
    Option("min_score", _SPANS, "0", "number", "Weakest response that may become a span; a row's own column min_score wins. The page report/index.html helps to choose one.", 0, 1e9),
    Option("min_gap_seconds", _SPANS, None, "number", "Least distance between two peaks of one action. Default: clip_seconds.", 0, 86_400),
    Option("edges", _SPANS, "shift", "shift|clamp", "A span that would pass the video's edge is shifted to keep its length, or clamped (the notebook's way, which is shorter)."),
    Option("smooth_seconds", _SPANS, "0", "number", "Width of a moving average over the responses, before anything is picked; 0 for none.", 0, 3600),
    Option("span_mode", _SPANS, "peaks", "peaks|segments", "peaks: clip_seconds around the strongest responses. segments: as long as the response is strong: regions above high_score, grown down to low_score."),
    Option("high_score", _SPANS, "0.5", "number", "span_mode=segments: a region holds a response of at least this.", 0, 1e9),
    Option("low_score", _SPANS, "0.25", "number", "span_mode=segments: a region reaches as far as responses are at least this.", 0, 1e9),
    Option("merge_gap_seconds", _SPANS, "1", "number", "span_mode=segments: regions with a smaller gap become one.", 0, 3600),
    Option("min_span_seconds", _SPANS, "1", "number", "A shorter region grows to this length; no span is shortened below it at a shot boundary.", 0.1, 3600),
    Option("max_span_seconds", _SPANS, "60", "number", "span_mode=segments: a longer region is narrowed around its peak.", 0.1, 86_400),
    Option("shots", _SPANS, "avoid", "avoid|trim|ignore", "Shot boundaries: avoid moves a span into its peak's shot, and shortens it to a shorter shot; trim only cuts off what lies beyond; neither goes below min_span_seconds."),
    Option("within_row_times", _SPANS, "false", "flag", "Look for spans between time_start and time_end (seconds) of their row alone, where a row names them, as those of the Kinetics files do."),
    Option("clips_per_video", _SELECT, None, "integer", "Most spans per action and video, strongest first. Default: no cap beyond top_k.", 1, 1_000_000),
    Option("clips_per_channel", _SELECT, None, "integer", "Most spans per action and channel, strongest first. Default: no cap.", 1, 1_000_000),
    Option("clips_per_action", _SELECT, None, "integer", "Most spans per action over all videos, strongest first. Default: no cap.", 1, 1_000_000_000),
    Option("cut", _CLIPS, "exact", "exact|copy|none", "exact: re-encode, first and last frame right. copy: no re-encoding, fast, widened to the next key frames; the manifest tells the true range. none: spans only."),
    Option("clip_height", _CLIPS, None, "integer", "Scale larger clips down to this height in pixels (with --cut=exact). Default: the video's own.", 16, 8192),
    Option("clip_sound", _CLIPS, "true", "flag", "Clips have the sound of their video, if it has any; where a site keeps it apart from the picture, it is fetched and joined with it. false: clips are silent."),
    Option("clip_hdr", _CLIPS, "tonemap", "tonemap|keep", "Clips of videos with a high dynamic range (PQ, HLG; with --cut=exact): tonemap maps them to the standard range, which plays everywhere; keep leaves it, in ten bits, as HEVC."),
    Option("posters", _CLIPS, "true", "flag", "A picture of each clip's peak beside it."),
    Option("clip_max_height", _CLIPS, None, "integer", "Scan low, fetch high: fetch the web videos that have a span again at this height (smaller side), and cut from those; of an MP4 whose server gives parts, only the seconds around the spans. Default: cut from what was scored.", 16, 8192),
    Option("duplicates", _DUPLICATES, "mark", "mark|drop|off", "Clips that show the same as another one, or as a --reference. mark: the manifests say which, and which one of a group is kept. drop: the others leave spans.* for dropped.*, and their files clips/ for dropped/. off: nothing is compared."),
    Option("duplicate_similarity", _DUPLICATES, None, "number", "Least cosine of the features of two clips that show the same. Default: that of the feature model, which the end of the job names; summary.json and the report have the distribution.", 0, 1),
    Option("duplicate_scope", _DUPLICATES, "action", "action|all", "action: clips of one action are compared. all: also those of different actions."),
    Option("duplicate_keep", _DUPLICATES, "score", "score|draw", "Which clip of a group is kept, and of a video with --one_clip_per_video: that with the highest score, or a draw, as in the paper."),
    Option("duplicate_seed", _DUPLICATES, "0", "integer", "Seed of the draw; the same one draws the same clips.", 0),
    Option("duplicate_features", _DUPLICATES, None, "text", "The classifier whose last layer describes the clips, written as --classifier is. Default: that of --classifier."),
    Option("one_clip_per_video", _DUPLICATES, "false", "flag", "A video gives one clip, over all its actions, as in the paper; the others are marked or dropped as one_per_video before anything is compared."),
    Option("reference", _DUPLICATES, "", "text", "What must stay unseen, e.g. a test set: features as Parquet (clipscout features DIR makes them; every job leaves its own), by paths, globs, folders or the outputs of other jobs, separated by commas. A clip too near to one is marked or dropped as seen. What this output has from earlier runs counts anyway, and where --output holds {date}, what the days before have."),
    Option("stall_seconds", _LIMITS, "120", "number", "A decoder or cutter that is silent for so long is ended, and its video is a failure.", 1, 86_400),
    Option("decode_memory_mb", _LIMITS, "2048", "integer", "Memory cap of a process that downloads, decodes or cuts.", 256, 1_000_000),
    Option("max_pixels", _LIMITS, "67108864", "integer", "Largest picture that is decoded, width times height.", 1, 2**31 - 1),
    Option("max_frames", _LIMITS, "10000000", "integer", "Decode at most so many frames of a video, or of each segment of a long one; the rest is left out and flagged.", 1),
    Option("gpu", _CLOUD, "none", "|".join(("none", *WITH_GPU)), "GPU of the Dataflow workers that decode and score. Machine type, disk, threads and processes follow from it; what you set yourself wins."),
    Option("gpu_mode", _CLOUD, "right_fit", "right_fit|pool", "right_fit: only the workers that decode and score have a GPU (resource hints); downloads and cutting run on others. pool: all workers have one (service option worker_accelerator); the only way with FlexRS."),
    Option("gpu_driver", _CLOUD, "latest", "text", "Driver that Dataflow installs for a --gpu: latest, default (which one is not documented) or the version of a branch, e.g. 580. What torch needs follows from the CUDA that it is built for: 580 or later for CUDA 13."),
    Option("gpu_provisioning", _CLOUD, "STANDARD", "STANDARD|FLEX_START", "FLEX_START waits for machines of a scarce --gpu until there are some, with --gpu_mode=right_fit or pool."),
    Option("gpu_processes", _CLOUD, "one", "one|per_vcpu", "one: a worker has one process, whose threads share one model on its --gpu. per_vcpu: a process and a model per vCPU, which share the GPU through NVIDIA's MPS; for small models that one process cannot keep fed."),
    Option("preflight_only", _RUN, "false", "flag", "Check all that can be known before the job runs, list every fault, forecast time and storage, and stop."),
    Option("forecast_video_seconds", _RUN, "240", "number", "With --preflight_only: how long videos are taken to be that nobody can look into before they are fetched.", 1, 1_000_000),
    Option("forecast_samples_per_second", _RUN, None, "number", "With --preflight_only: samples (windows of a video classifier) that the GPU or worker process scores per second where the job will run. Default: measured on this machine; for a --gpu there is none.", 0.001, 10_000_000),
    Option("max_failure_ratio", _RUN, "1", "number", "The job fails, after everything is written, when a larger part of its rows, of its videos or of its spans ended as a failure (rejections by a stated rule are none).", 0, 1),
    Option("progress", _RUN, "auto", "auto|live|lines|none", "How a local job shows its progress, on stderr. live: one display that is drawn anew. lines: a line every 10 seconds, for logs. auto: live on a terminal, else lines."),
    Option("shared_output", _RUN, "false", "flag", "The local path of --output is one folder for all workers, wherever they run, e.g. on a network drive. Without it runners whose workers may be on other machines refuse a local output."),
    Option("when_stopped", _RUN, "auto", "auto|cancel|leave", "What happens to a job that was submitted to a service when this program is stopped, e.g. by Ctrl-C. cancel: it is cancelled. leave: it goes on, and its id is said. auto: cancel, on Dataflow leave."),
    Option("workers", _RUN, "1", "integer", "Worker processes of the local runner.", 1, 256),
    Option("runner", _RUN, LOCAL_RUNNER, "text", "Any Beam runner, e.g. DataflowRunner. Default: Beam's local runner. Every option of that runner may be given too."),
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser, skip: tuple[str, ...] = ()) -> None:
    """Adds every option to a parser, in groups. What is not given stays None."""
    groups: dict[str, argparse._ArgumentGroup] = {}
    for option in OPTIONS:
        if option.name in skip:
            continue
        if option.group not in groups:
            groups[option.group] = parser.add_argument_group(option.group)
        shown = f" [{option.default}]" if option.default is not None and option.name != "runner" else ""
        text = (option.help + shown).replace("%", "%%")
        optional_value: dict[str, Any] = {"nargs": "?", "const": "true"} if option.kind == "flag" else {}
        groups[option.group].add_argument(
            f"--{option.name}", default=None, metavar=option.metavar(), help=text, **optional_value
        )


class UsageError(ValueError):
    """The command line cannot be parsed; the message is one line."""


class Parser(argparse.ArgumentParser):
    """Raises instead of printing a page of usage."""

    def error(self, message: str) -> NoReturn:
        """Raises UsageError."""
        raise UsageError(message)


def page() -> str:
    """Returns docs/options.md: every option in a table, by group."""
    lines = ["# Options of `clipscout mine`", "", "Made by `python -m clipscout.pipeline.options > docs/options.md`."]
    group = ""
    for option in OPTIONS:
        if option.group != group:
            group = option.group
            lines += ["", f"## {group}", "", "| option | value | default | meaning |", "|---|---|---|---|"]
        default = "" if option.default is None or option.name == "runner" else f"`{option.default}`"
        kind = option.kind.replace("|", ", ") if "|" in option.kind else option.kind
        cells = (f"`--{option.name}`", kind, default.replace("``", ""), option.help.replace("|", "\\|"))
        lines.append(f"| {' | '.join(cells)} |")
    beams = "Options of Beam and its runners (`--runner`, `--project`, `--region`, ...) are accepted as well."
    return "\n".join([*lines, "", beams, ""])


def parser() -> argparse.ArgumentParser:
    """Returns the parser behind `clipscout mine --help`; it raises UsageError."""
    made = Parser(
        prog="clipscout mine",
        usage="clipscout mine --input QUERIES --output FOLDER [OPTIONS]",
        description="Mines candidate clips for video action datasets: queries in, spans and clips out.",
        epilog="Options of Beam and its runners (--runner=..., --project, --region, ...) are accepted as well.",
        allow_abbrev=False,
    )
    add_arguments(made)
    return made


def with_flags_spelled_out(argv: Sequence[str]) -> list[str]:
    """Returns the arguments with `--flag` as `--flag=true`: argparse would take what follows for its value."""
    flags = {f"--{option.name}" for option in OPTIONS if option.kind == "flag"}
    following = [*argv[1:], "--"]
    return [
        f"{argument}=true" if argument in flags and after.startswith("--") else argument
        for argument, after in zip(argv, following, strict=False)
    ]


class Parsed(NamedTuple):
    """What of a command line a parser could use.

    Attributes:
      values: The options' values.
      known: The arguments behind them.
      unknown: The arguments that the parser has no option for.
      faults: Of each option that was left out, because it does not take the value that it was given.
    """

    values: argparse.Namespace
    known: list[str]
    unknown: list[str]
    faults: list[Fault]


def parsed(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> Parsed:
    """Parses what can be parsed.

    Raises:
      UsageError: The command line cannot be parsed whatever is left out.
    """
    left, faults = list(arguments), list[Fault]()
    while True:
        try:
            values, unknown = parser.parse_known_args(left)
            return Parsed(values, _without(left, unknown), unknown, faults)
        except UsageError as error:
            named = re.match(r"argument (?:\S+/)?(--\w+)", str(error))
            if named is None or len(kept := _without_option(left, named[1])) == len(left):
                raise
            faults.append(Fault(str(error), (named[1].removeprefix("--"),)))
            left = kept


def unknown_option_fault(argument: str, known: Iterable[str] | None = None) -> Fault:
    """Returns the fault for an argument that nobody knows, with the closest option; its value may be a secret.

    Args:
      argument: The argument.
      known: Names of the options that there are; those of `clipscout mine` where it is None.
    """
    known = [option.name for option in OPTIONS] if known is None else known
    name = argument.split("=")[0]
    if not name.startswith("-"):
        return Fault(f"unknown argument {name!r}; a value follows its option, and a glob stands in quotes")
    close = difflib.get_close_matches(name.lstrip("-"), known, n=1)
    hint = f"; did you mean --{close[0]}?" if close else ""
    return Fault(f"unknown argument {name!r}{hint}")


def asks_for_help(argv: Sequence[str]) -> bool:
    """Tells whether only the page of all options is asked for."""
    return not {"-h", "--help"}.isdisjoint(argv)


def taken(arguments: Sequence[str], names: Container[str]) -> tuple[list[str], list[str]]:
    """Divides arguments into those of some options, with the values that follow them, and the others."""
    own: list[str] = []
    others: list[str] = []
    to: list[str] = others
    for argument in arguments:
        if argument.startswith("--"):
            to = own if argument[2:].partition("=")[0] in names else others
        to.append(argument)
    return own, others


def _without_option(arguments: list[str], name: str) -> list[str]:
    """Returns the arguments but for an option and the value that follows it."""
    kept, before = [], ""
    for argument in arguments:
        if argument.partition("=")[0] != name and (before != name or argument.startswith("--")):
            kept.append(argument)
        before = argument
    return kept


def _without(arguments: list[str], unknown: list[str]) -> list[str]:
    """Returns the arguments but for the unknown ones, which stand among them in the same order."""
    kept, left = [], list(unknown)
    for argument in arguments:
        if left and argument == left[0]:
            left.pop(0)
        else:
            kept.append(argument)
    return kept


if __name__ == "__main__":
    sys.stdout.write(page())
