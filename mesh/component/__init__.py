"""The Pulumi resources of one mesh, and the component for programs of others."""
