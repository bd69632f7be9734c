"""`headrace clean` in three parts: what is there, what to remove (a plan), removing it."""
