"""The job as a whole: options, configuration, graph and run."""

__version__ = "0.1.0"
