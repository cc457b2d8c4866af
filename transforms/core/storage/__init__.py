"""Files, local and in Google Cloud Storage, and what an output keeps: names, records of earlier runs, videos, tracks.

Here belongs what reads, writes, names or locks a file and knows nothing of what is in it, and the stores that later
runs find again. Imports no other room.
"""
