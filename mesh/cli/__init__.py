"""`python -m mesh`: the commands before and after `pulumi up`."""
