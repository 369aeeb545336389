"""The rules of the stack file that concern several entries."""
