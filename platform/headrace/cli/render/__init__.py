"""Pictures of runs, models and checks: values in, rich renderables out. Nothing is read here."""
