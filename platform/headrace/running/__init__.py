"""Executes IR on this machine: the scheduler, the fork server, reuse, the journal's writer."""
