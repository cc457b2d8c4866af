"""Plain functions and classes that know nothing of Beam.

Importing this package imports nothing heavy: decoder, cutter and downloader children start from here.
"""
