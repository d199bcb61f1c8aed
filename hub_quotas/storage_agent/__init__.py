"""The storage agent: applies storage limits where the file system is, and reports what is used.

It needs the standard library and nothing of the rest of hub_quotas, so that it runs on a file
server that knows no hub.
"""
