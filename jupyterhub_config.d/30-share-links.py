from share_links import activate

activate(c)  # noqa: F821
