"""The front door: a file per verb; everything is printed in one place. Decides nothing about runs."""
