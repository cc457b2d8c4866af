"""From score tracks to spans: peaks and regions, kept clear of shot boundaries, and the best of a whole job.

Here belongs what decides which seconds are wanted. Imports `queries`.
"""
