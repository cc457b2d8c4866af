"""The supervised child process, in which everything hostile runs: its supervisor, its entry, the protocol between.

Here belongs how a child is started, confined, timed and buried; what runs in it belongs to the subject. Imports
`storage` alone, and neither Beam, torch nor PyAV at its top: every child starts from here.
"""
