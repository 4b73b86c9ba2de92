"""What a reader sees in a page's tables, whatever classes dress them."""

from html.parser import HTMLParser


class _Rows(HTMLParser):
    """Texts of the cells of every table row."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self._inside = False

    def handle_starttag(self, tag, attrs):
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th") and self.rows:
            self.rows[-1].append("")
            self._inside = True

    def handle_endtag(self, tag):
        self._inside = self._inside and tag not in ("td", "th")

    def handle_data(self, data):
        if self._inside:
            self.rows[-1][-1] += data


def rows(page: str) -> list[list[str]]:
    """Every table's rows as texts, headers included."""
    reader = _Rows()
    reader.feed(page)
    return reader.rows
