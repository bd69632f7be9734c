"""A pipeline becomes KFP IR and a code bundle."""
