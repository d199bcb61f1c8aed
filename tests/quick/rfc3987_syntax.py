"""In the way of a package that takes a second to import, in each hub and each JupyterLab.

jsonschema asks it whether a text is an IRI, and does without where it can't be imported. Nothing
that the tests start has a schema that says so.
"""

raise ImportError("not in tests")
