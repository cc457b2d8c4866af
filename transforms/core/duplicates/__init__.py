"""Clips that show the same: features on storage, how near they are to each other, and which of a group is kept.

Nothing here decodes or runs a model: what is compared was described before.
"""
