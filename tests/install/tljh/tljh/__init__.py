"""What stands in for The Littlest JupyterHub, as far as its plugins see of it."""
