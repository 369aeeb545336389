"""What WireGuard itself defines: keys, addresses, endpoints, and the wg-quick format."""
