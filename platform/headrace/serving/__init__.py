"""The model server and its life on this machine."""
