"""A change of the running mesh as one transaction: commit-confirmed, with automatic rollback."""
