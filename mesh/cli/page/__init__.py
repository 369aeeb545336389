"""A mesh as one HTML file: what is on it, how it is drawn, and the server that renews it."""
