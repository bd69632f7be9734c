"""Words."""


def count(text: str) -> list[tuple[str, int]]:
    """Every word with how often it comes."""
    words = text.split()
    return sorted((word, words.count(word)) for word in set(words))
