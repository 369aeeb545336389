"""The mesh as data: who is in it, who is whose peer, and what each host is told. Pure."""
