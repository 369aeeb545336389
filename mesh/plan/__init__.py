"""The mesh as data: its participants, which of them are peers, and what each host is told. Pure."""
