"""What a job tells in the end: rows of the manifests, the funnel, and the highlights of a summary.

Here belongs what is written for people and for programs that come after. May import every other room.
"""
