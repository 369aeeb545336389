"""A WireGuard full mesh on existing Linux hosts, as Pulumi resources."""
