"""Which keys exist, why one changes, and when it expires. Pure."""
