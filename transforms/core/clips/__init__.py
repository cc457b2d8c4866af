"""From spans to files that play at once: exact and copied cuts, their pictures, sound and posters, and a look at each.

Here belongs what encodes or copies. Imports `storage`, `child` and `video`; runs in children.
"""
