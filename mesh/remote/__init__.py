"""The way to the hosts: SSH, credentials, many hosts at once, and sessions with the host program."""
