"""Where things run: the built-in local site and its folder. No engines, no pipelines here."""
