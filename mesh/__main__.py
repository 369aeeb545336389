"""`python -m mesh`."""

from mesh.cli.app import main

main()
