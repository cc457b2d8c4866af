"""What people look at: the page of an output, the curves that it shows, plots as files.

Here belongs how results are shown. Everything is made from manifests and score tracks; nothing is decided here that
another room knows. Imports every other room; no other room imports this one.
"""
