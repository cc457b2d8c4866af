"""Python loads this at the start of every process of the suite: it adds the guard of `tests/egress.py`.

Then it runs the `sitecustomize` that would have been loaded without it, where there is one.
"""

import os
import sys
from importlib.machinery import PathFinder

_HERE = os.path.dirname(os.path.abspath(__file__))

if "CLIPSCOUT_TEST_EGRESS_LOG" in os.environ:
    _guard = os.path.join(os.path.dirname(_HERE), "egress.py")
    _names = {"__name__": "egress", "__file__": _guard}
    with open(_guard, encoding="utf-8") as _file:
        exec(compile(_file.read(), _guard, "exec"), _names)
    _names["watch"]()

_other = PathFinder.find_spec("sitecustomize", [path for path in sys.path if os.path.abspath(path) != _HERE])
if _other is not None and _other.origin:
    with open(_other.origin, encoding="utf-8") as _file:
        exec(compile(_file.read(), _other.origin, "exec"), {"__name__": "sitecustomize", "__file__": _other.origin})
