"""Everything that is asked of a site: what addresses name, yt-dlp in a child, its errors, politeness, secrets, a guard.

Here belongs what knows of yt-dlp or of hosts. Imports `storage` and `child`, never `video`: what has the
network looks into no file.
"""
