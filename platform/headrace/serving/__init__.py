"""The model server: protocols, batching, the process and its life on this machine.

No pipeline, step or engine is known here; models come through the registry's door.
"""
