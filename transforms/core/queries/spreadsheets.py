"""Text in cells of a CSV that a spreadsheet may open: what it would run as a formula is written as text."""

_BEGINS_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def defused(text: str) -> str:
    """Returns a cell's text with an apostrophe before what would be a formula."""
    return f"'{text}" if text.startswith(_BEGINS_FORMULA) else text


def plain(cell: str) -> str:
    """Returns the text of a cell without the apostrophe of `defused`."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_BEGINS_FORMULA) else cell
