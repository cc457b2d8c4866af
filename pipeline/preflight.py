"""Preflight: what can be known to fail is found in seconds, before anything runs. All faults come at once."""

import contextlib
import os
import subprocess
import uuid
from collections.abc import Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions

from clipscout.pipeline import canaries, cloud, job_record, portable, replacing, rows_ahead
from clipscout.pipeline.config import Config, ConfigError, judged
from clipscout.pipeline.faults import Fault, of
from clipscout.pipeline.rows_ahead import Rows
from clipscout.transforms.comparing import OFF
from clipscout.transforms.core import tally
from clipscout.transforms.core.classifiers.specs import SpecError
from clipscout.transforms.core.duplicates import references
from clipscout.transforms.core.duplicates.feature_files import ENDING, FeatureFileError
from clipscout.transforms.core.queries.query_files import FORMATS, format_of
from clipscout.transforms.core.storage import filesystem, leases, secret_manager, stale
from clipscout.transforms.core.storage.matching import files_of_folder, match_files
from clipscout.transforms.core.web.secret_texts import SecretError
from clipscout.transforms.download import failures_manifests
from clipscout.transforms.inference import batch_sizes

_PROBE_SECONDS = 10
#: What a CPU scores as a trial: a whole batch, which tells whether memory holds it, takes long there for windows.
_FEW_ITEMS = 3


class Found(NamedTuple):
    """What preflight found.

    Attributes:
      faults: The reasons why the job would fail; none means go.
      rows: What was seen of the rows.
      plan: What `--replace` will do to the output, as lines; nothing without it.
      notes: What the user should know though the job can start.
    """

    faults: list[Fault]
    rows: Rows
    plan: list[str]
    notes: list[str]


def check(config: Config, beam_options: PipelineOptions) -> list[Fault]:
    """Returns the reasons why the job would fail; an empty list means go. Nothing is left behind."""
    return look(config, beam_options).faults


def look(config: Config, beam_options: PipelineOptions, unjudged: Set[str] = frozenset()) -> Found:
    """Looks for all reasons why the job would fail, and at its rows. Nothing is left behind.

    Args:
      config: The job.
      beam_options: Beam's own options.
      unjudged: Options that cannot be used; what is found of what stands in their place is left out.
    """
    places = _place_faults(config, beam_options)
    faults = [
        *cloud.faults(config, beam_options),
        *portable.faults(config, beam_options),
        *places,
        *_secret_faults(config),
    ]
    rows, asks_web = Rows(), True
    if not any("input" in fault.options for fault in places):
        try:
            labels = None if "classifier" in unjudged else config.scoring.spec.labels
            rows = rows_ahead.look(config.inputs, labels, config.spans.within_row_times, config.preflight_only)
            faults += rows.faults()
            asks_web = rows.asks_web or not rows.complete
        except filesystem.StorageError as error:
            faults.append(of("input", f": {error}"))
    if asks_web:
        faults += _runtime_faults() or canaries.faults(config.canaries, config.fetch)
    usable = not unjudged and not any("output" in fault.options for fault in places)
    plan: list[str] = []
    if usable:
        record_faults, plan = _record(config)
        faults += record_faults
    notes: list[str] = []
    if "classifier" not in unjudged and not config.fetch_only:
        classifier_faults, notes = _tried_classifier(config, look=usable)
        faults += classifier_faults or _duplicate_faults(config, look=usable)
        notes += _duplicate_notes(config)
    return Found([fault for fault in faults if unjudged.isdisjoint(fault.options)], rows, plan, notes)


def check_rest(error: ConfigError) -> list[Fault]:
    """Returns what else is wrong where options cannot be used: the rest is judged as if those had not been given."""
    config, unjudged = judged(error.texts)
    if config is None or error.beam_options is None:
        return []
    return look(config, error.beam_options, unjudged.union(*(fault.options for fault in error.faults))).faults


def begin(config: Config) -> None:
    """Records the run's settings in the output folder, and forgets what was decided under others, or never finished."""
    stale.remove_unfinished(config.output)
    if config.replace and job_record.changes(config.output, config.shaping()):
        for uri in failures_manifests(config.output):
            filesystem.delete(uri)
    job_record.write(config.output, config.shaping())


def _place_faults(config: Config, beam_options: PipelineOptions) -> list[Fault]:
    """Tries every place at once: a storage that does not answer costs its deadline once, not for each of them."""
    checks = [partial(_match_faults, "input", pattern) for pattern in config.inputs]
    checks += [partial(_match_faults, "exclude", pattern) for pattern in config.excludes]
    folders = {"output": config.output} if config.output else {}
    if config.dataflow:
        google = beam_options.view_as(GoogleCloudOptions)
        locations = {name: getattr(google, name) or "" for name in ("temp_location", "staging_location")}
        locations["template_location"] = (google.template_location or "").rpartition("/")[0]
        folders |= {name: uri for name, uri in locations.items() if filesystem.is_remote(uri)}
    checks += [partial(_folder_faults, name, uri) for name, uri in folders.items()]
    with ThreadPoolExecutor(max(1, len(checks))) as pool:
        running = [pool.submit(check) for check in checks]
        return [fault for found in running for fault in found.result()]


def _match_faults(option: str, pattern: str) -> list[Fault]:
    try:
        files = match_files(pattern)
        folder = not files and not pattern.endswith("/") and filesystem.is_folder(pattern)
    except filesystem.StorageError as error:
        return [of(option, f": {error}")]
    if folder:
        return [of(option, f": {pattern!r} is a folder; {files_of_folder(pattern)}")]
    if not files:
        return [of(option, f": no file matches {pattern!r}")]
    wrong = [name for name in files if option == "input" and format_of(name) is None]
    return [of("input", f": {name} is none of {', '.join(FORMATS)} (plain or .gz)") for name in wrong]


def _folder_faults(option: str, folder: str) -> list[Fault]:
    fault = _write_fault(folder)
    return [of(option, f": cannot write to {folder!r}: {fault}")] if fault else []


def _secret_faults(config: Config) -> list[Fault]:
    faults = []
    web = config.fetch.web
    for name, alone in (("cookies", replace(web, proxy="")), ("proxy", replace(web, cookies=""))):
        try:
            alone.resolved()
        except filesystem.StorageError as error:  # the value itself may be a secret, a secret's name is none
            is_named = secret_manager.is_secret(getattr(web, name))
            faults.append(of(name, f": {error}" if is_named else ": the file cannot be read"))
        except SecretError as error:
            faults.append(of(name, f": {error}"))
    return faults


def _runtime_faults() -> list[Fault]:
    """Starts the JavaScript runtime that yt-dlp needs for YouTube; it takes 10 ms."""
    try:
        import deno

        subprocess.run([deno.find_deno_bin(), "--version"], check=True, capture_output=True, timeout=_PROBE_SECONDS)
    except (ImportError, OSError, subprocess.SubprocessError) as error:
        return [Fault(f"yt-dlp's JavaScript runtime does not start ({error}); pip install --force-reinstall deno")]
    return []


def _write_fault(folder: str) -> str:
    """Writes and removes a file below a folder; returns what went wrong, or nothing."""
    made = [] if filesystem.is_remote(folder) else _missing_folders(folder)
    probe = filesystem.join(folder, f".clipscout-{uuid.uuid4().hex}")
    try:
        filesystem.write_bytes(probe, b"")
        filesystem.delete(probe)
    except filesystem.StorageError as error:
        return str(error).removeprefix(f"{probe}: ")
    finally:
        for path in made:
            with contextlib.suppress(OSError):
                os.rmdir(path)
    return ""


def _missing_folders(path: str) -> list[str]:
    """Returns the folders that have to be made for a path, innermost first."""
    path, missing = os.path.abspath(path), []
    while not os.path.exists(path):
        missing.append(path)
        path = os.path.dirname(path)
    return missing


def _record(config: Config) -> tuple[list[Fault], list[str]]:
    """An output that no run is writing to continues under the same settings; others replace results only when asked to.

    Returns:
      The faults, and where it is asked for what replacing will do.
    """
    try:
        if held := leases.holder(config.output):
            return [of("output", f": {held}")], []
        changes = job_record.changes(config.output, config.shaping())
        if config.fetch_only and next(filesystem.walk_files(config.output, "scores/"), None):
            message = (
                f": {config.output!r} holds scores, and its manifests would name no span any more; fetch into another"
            )
            return [of("fetch_only", message, "output")], []
        if config.replace:
            return [], replacing.plan(config, changes)
    except filesystem.StorageError as error:
        return [of("output", f": {error}")], []
    except job_record.RecordError as error:
        return [of("output", f": {error}")], []
    if not changes:
        return [], []
    message = (
        f": {config.output!r} holds results of other settings ({'; '.join(changes.values())}); "
        "give another --output, or --replace to redo what depends on them"
    )
    return [of("output", message)], []


def _tried_classifier(config: Config, *, look: bool) -> tuple[list[Fault], list[str]]:
    """Loads the classifier and scores a blank batch, unless a look shows that the output has scores of this one.

    Returns:
      Its faults, and what is to be known of it.
    """
    try:
        stored = filesystem.walk_files(config.output, f"scores/{config.scoring.fingerprint()}/") if look else ()
        has_scores = any(name.endswith(".parquet") for name in stored)
    except filesystem.StorageError as error:
        return [of("output", f": {error}")], []
    if has_scores:
        return [], []
    settings = config.scoring.load_settings()
    _, items = batch_sizes(settings, config.scoring.batch_size)
    if config.gpu != "none" or config.dataflow:  # workers have the GPU; here the weights and their shapes are tried
        settings = replace(settings, device="cpu", precision="fp32")
    try:
        with tally.doing("importing PyTorch", slow_seconds=10):
            from clipscout.transforms.core.classifiers import loading  # torch: seconds, and only where it is needed

        model = loading.load(settings)
        items = min(items, _FEW_ITEMS) if model.device == "cpu" else items
        with tally.doing(f"trying out {settings.spec.name} on a batch of {items}", slow_seconds=10):  # of windows: long
            model.try_out(items)
    except (SpecError, filesystem.StorageError) as error:
        return [of("classifier", f": {error}")], []
    notes = [f"{settings.spec.name} runs in torch: {model.why_torch}"] if model.why_torch else []
    if model.precision != settings.precision:
        notes.append(f"this processor has no {settings.precision}: {settings.spec.name} runs in {model.precision}")
    return [], notes


def _duplicate_notes(config: Config) -> list[str]:
    if config.describe is None and config.cut.mode != "none":
        name = config.scoring.spec.name
        return [f"duplicates are not looked for: {name} is a program; --duplicate_features names what describes clips"]
    return []


def _duplicate_faults(config: Config, *, look: bool) -> list[Fault]:
    """Looks at what clips are to be held against; tries out a classifier that is named, unless it is known to work."""
    rule, describe = config.duplicates, config.describe
    if rule.mode == OFF or describe is None:
        return []
    faults, model = [], describe.model()
    for path in rule.references:
        try:
            faults += [of("reference", f": {line}") for line in references.check(references.named(path, model), model)]
        except (FeatureFileError, filesystem.StorageError) as error:
            faults.append(of("reference", f": {error}"))
    if describe.required and not config.dataflow:
        try:
            described = filesystem.walk_files(model.folder(config.output)) if look else ()
            if any(name.endswith(ENDING) for name in described):  # it could, in an earlier run
                return faults
            from clipscout.transforms.core.classifiers import loading  # torch: seconds, and only where it is needed

            loading.load(describe.load).try_out(1)
        except (SpecError, filesystem.StorageError) as error:
            faults.append(of("duplicate_features", f": {error}", "duplicates"))
    return faults
