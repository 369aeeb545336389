"""Read meshes that other tools or hands made, and write them into a stack file; one module for each kind."""
