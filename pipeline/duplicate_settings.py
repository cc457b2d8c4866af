"""From typed values to how clips are described and compared."""

from collections.abc import Mapping
from dataclasses import replace

from clipscout.pipeline.faults import Fault, of
from clipscout.pipeline.values import Values
from clipscout.transforms.comparing import MARK, OFF, DuplicateSettings
from clipscout.transforms.core.classifiers.resolve import resolve
from clipscout.transforms.core.classifiers.specs import PROGRAMS, SpecError
from clipscout.transforms.core.duplicates.groups import Choice
from clipscout.transforms.core.duplicates.thresholds import default_similarity
from clipscout.transforms.describe_settings import DescribeSettings
from clipscout.transforms.scoring_settings import ScoringSettings

#: Options that mean nothing where no clips are compared.
_OF_COMPARING = ("duplicate_similarity", "duplicate_features", "reference", "one_clip_per_video")


def described(scoring: ScoringSettings, values: Values, asked: bool, faults: list[Fault]) -> DescribeSettings | None:
    """Returns how clips are described; None where their classifier cannot do it.

    Args:
      scoring: The job's own classifier, and how it is run.
      values: The options.
      asked: Whether the user named what needs features.
      faults: Gets what is wrong.
    """
    name, spec = values.text("duplicate_features"), scoring.spec
    if name:
        try:
            spec = resolve(name)
        except (SpecError, ValueError) as error:
            faults.append(of("duplicate_features", f": {error}"))
            return None
    if spec.architecture in PROGRAMS:
        if name or asked:
            message = f": {spec.name} is a program of its maker's, which nobody can look into; name another classifier"
            faults.append(of("duplicate_features", message, "duplicates"))
        return None
    load = scoring.load_settings()
    same = spec == scoring.spec
    return DescribeSettings(
        load=replace(load, spec=replace(spec, describes=spec.prompts is None)),
        batch_size=scoring.batch_size,
        stall_seconds=scoring.stall_seconds,
        memory_bytes=scoring.memory_bytes,
        max_pixels=scoring.max_pixels,
        threads=scoring.threads,
        tracks=scoring.fingerprint() if same and spec.kind == "zero_shot" else "",
        required=bool(name) or asked,
        named=bool(name),
    )


def compared(
    values: Values, numbers: Mapping[str, float], choices: Mapping[str, str], describe: DescribeSettings | None
) -> DuplicateSettings:
    """Returns what counts as the same, and what becomes of it."""
    choice = Choice(choices["duplicate_keep"], int(numbers["duplicate_seed"]))
    is_off = describe is None or choices["cut"] == "none" or choices["duplicates"] == OFF
    similarity = numbers["duplicate_similarity"]
    if similarity < 0 and describe is not None:
        similarity = default_similarity(describe.spec)
    return DuplicateSettings(
        mode=OFF if is_off else choices["duplicates"],
        similarity=similarity,
        all_actions=choices["duplicate_scope"] == "all",
        choice=choice,
        one_per_video=values.flag("one_clip_per_video"),
        references=values.parts("reference"),
        days=(values.texts.get("output") or "").rstrip("/") if "{date}" in (values.texts.get("output") or "") else "",
        date=values.date(),
        own=not values.flag("replace"),
    )


def contradictions(values: Values, choices: Mapping[str, str]) -> list[Fault]:
    """Returns what is said of comparing where nothing is compared."""
    faults = []
    for option, value in (("duplicates", OFF), ("cut", "none")):
        if choices[option] == value:
            for name in _OF_COMPARING:
                if values.text(name) not in ("", "false"):
                    message = f"--{name} is for clips that are compared, and --{option} is {value!r}"
                    faults.append(Fault(message, (name, option)))
    return faults


def asked_for(texts: Mapping[str, str | None]) -> bool:
    """Tells whether the user named what needs features, and so is not to go without."""
    return (texts.get("duplicates") or MARK) != MARK or any(texts.get(name) for name in _OF_COMPARING[:3])
