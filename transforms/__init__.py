"""The stages of the pipeline: thin Beam transforms over the plain functions in `transforms.core`."""
