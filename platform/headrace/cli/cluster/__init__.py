"""Runs on a cluster as the command line sees them: found, followed, ended, cleaned up after."""
