"""What a user asks for: query files and their rows, exclude files, times of rows, and labels that fit an action.

Here belongs what a row may be and how it is judged. Imports `storage`, and `web` for what an address is.
"""
