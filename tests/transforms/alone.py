"""Runs one transform on lists of elements, and gives back lists."""

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from clipscout.transforms.records import Flush

#: What came out; the local runner's one worker lives in this process.
_KEPT: dict[str, list] = {}


class _Keep(beam.DoFn):
    def __init__(self, name):
        self._name = name

    def process(self, element):
        _KEPT.setdefault(self._name, []).append(element)


def alone(transform, *inputs):
    """Returns what a transform makes, as a list for each of its outputs by name; a single output is called `out`.

    Args:
      transform: It is put at the root of a pipeline where there is no input.
      inputs: A list of elements for each collection that it takes.
    """
    _KEPT.clear()
    with beam.Pipeline(runner=FnApiRunner(), options=PipelineOptions([])) as pipeline:
        given = [
            pipeline | f"Given{number}" >> beam.Create(elements, reshuffle=False)
            for number, elements in enumerate(inputs)
        ]
        where = pipeline if not given else given[0] if len(given) == 1 else tuple(given)
        made = where | transform
        outputs = made._asdict() if hasattr(made, "_asdict") else {"out": made}
        names = [name for name, collection in outputs.items() if isinstance(collection, beam.PCollection)]
        for name in names:
            _ = outputs[name] | f"Keep_{name}" >> beam.ParDo(_Keep(name))
    return {name: [one for one in _KEPT.get(name, []) if not isinstance(one, Flush)] for name in names}
