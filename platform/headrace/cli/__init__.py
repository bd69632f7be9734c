"""The front door: a file per verb, all printing in one place. Decides nothing about runs."""
