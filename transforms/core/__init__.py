"""Plain functions and classes that know nothing of Beam, in rooms by subject.

Importing this package imports nothing heavy: decoder, cutter and downloader children start from here. `tally` and
`intervals` stand outside the rooms, since all of them count, and several join stretches. The rooms import each other
downwards only:

    results
    spans  clips
    queries  classifiers
    video
    web
    child
    storage
"""
