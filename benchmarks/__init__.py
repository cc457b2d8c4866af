"""`make bench`: the numbers that the README quotes."""
