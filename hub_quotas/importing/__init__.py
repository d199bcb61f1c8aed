"""What other tools say about limits, as a policy of ours, and what of it can't be said. Pure.

One module for each kind of source; each has `convert`, which takes what was read and gives a
`report.Converted`. Files are read and written by `hub_quotas.import_command`.
"""
