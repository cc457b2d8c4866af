"""The job as a whole: options, configuration, graph and run; and the commands."""
