"""The stack file: its fields, its rules, and everything that is wrong with it."""
