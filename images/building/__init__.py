"""What `build.py` knows: which images there are, what goes into them, and the tools that build."""
