"""What runs inside a step: find the function, open the engine, close it."""
