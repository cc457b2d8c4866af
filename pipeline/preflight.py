"""Preflight: what can be known to fail is found in seconds, before anything runs. All faults come at once."""

import json
import uuid
from dataclasses import replace
from typing import Any

import numpy as np

from pipeline.config import Config
from transforms.core import storage
from transforms.core.classifiers.specs import SpecError
from transforms.core.rows import FORMATS, format_of
from transforms.queries import match_files

_RECORD = "job.json"


def check(config: Config) -> list[str]:
    """Returns a line for each reason why the job would fail; an empty list means go.

    The output folder is made, and the run's settings are recorded in it.
    """
    faults = _input_faults(config) + _web_faults(config)
    output_fault = _output_fault(config.output)
    if output_fault:
        return [*faults, output_fault]
    faults += _settings_faults(config)
    if not faults:
        faults += _classifier_faults(config)
    if not faults:
        storage.write_bytes(storage.join(config.output, _RECORD), json.dumps(config.shaping(), indent=2).encode())
    return faults


def _input_faults(config: Config) -> list[str]:
    faults = []
    for pattern in config.inputs:
        try:
            files = match_files(pattern)
        except storage.StorageError as error:
            faults.append(f"--input: {error}")
            continue
        if not files:
            faults.append(f"--input: no file matches {pattern!r}")
        for name in files:
            if format_of(name) is None:
                faults.append(f"--input: {name} is none of {', '.join(FORMATS)} (plain or .gz)")
    return faults


def _web_faults(config: Config) -> list[str]:
    faults = []
    for pattern in config.excludes:
        try:
            if not match_files(pattern):
                faults.append(f"--exclude: no file matches {pattern!r}")
        except storage.StorageError as error:
            faults.append(f"--exclude: {error}")
    web = config.fetch.web
    for name, alone in (("cookies", replace(web, proxy="")), ("proxy", replace(web, cookies=""))):
        try:
            alone.resolved()
        except (storage.StorageError, UnicodeDecodeError):
            faults.append(f"--{name}: the file cannot be read")  # the value itself may be a secret
    return faults


def _output_fault(output: str) -> str:
    probe = storage.join(output, f".clipscout-{uuid.uuid4().hex}")
    try:
        storage.write_bytes(probe, b"")
        storage.delete(probe)
    except storage.StorageError as error:
        return f"--output: cannot write to {output!r}: {error}"
    return ""


def _settings_faults(config: Config) -> list[str]:
    """An output continues under the same settings; other ones replace its results only when asked to."""
    try:
        stored: dict[str, Any] = json.loads(storage.read_bytes(storage.join(config.output, _RECORD)))
    except storage.StorageError as error:
        return [] if error.code == "not_found" else [f"--output: {error}"]
    except ValueError:
        return [f"--output: {storage.join(config.output, _RECORD)} is damaged; remove it to start anew"]
    now = json.loads(json.dumps(config.shaping()))
    changed = [f"{name}: {stored.get(name)} there, {now[name]} now" for name in now if stored.get(name) != now[name]]
    if changed and config.replace:  # what was decided under other settings is not decided any more
        for name in storage.list_files(config.output, "failures"):
            storage.delete(storage.join(config.output, name))
    if not changed or config.replace:
        return []
    return [
        f"--output: {config.output!r} holds results of other settings ({'; '.join(changed)}); "
        "give another --output, or --replace to redo what depends on them"
    ]


def _classifier_faults(config: Config) -> list[str]:
    """Loads the classifier and scores one blank frame, unless the output has scores of this very classifier."""
    if storage.list_files(config.output, f"scores/{config.scoring.fingerprint()}/"):
        return []
    from transforms.core.classifiers import torch_models  # torch: seconds, and only where it is needed

    try:
        classifier = torch_models.load(config.scoring.load_rule())
        spec = config.scoring.spec
        window = (spec.window.frames,) if spec.window else ()
        blank = np.zeros((1, *window, spec.preprocessing.input_height, spec.preprocessing.input_width, 3), np.uint8)
        if not np.isfinite(classifier.outputs(blank)).all():
            return [f"--classifier: {spec.name} gives scores that are not finite numbers"]
    except SpecError as error:
        return [f"--classifier: {error}"]
    return []
