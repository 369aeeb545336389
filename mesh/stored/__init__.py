"""What earlier runs left in the state: its forms, and reading them. Pure."""
