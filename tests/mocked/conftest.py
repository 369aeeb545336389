"""Import the command package once; a deprecated part of it, which we do not use, warns while it is imported."""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import pulumi_command.remote

    # It is loaded on first use only.
    COMMAND = pulumi_command.remote.Command
