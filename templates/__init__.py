"""The Flex Template for Dataflow, and its schedules."""
