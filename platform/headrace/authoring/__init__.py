"""Functions become KFP components. Pure: reads source files, starts nothing."""
