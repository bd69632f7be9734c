"""Places where data lives; the only door to object stores."""
