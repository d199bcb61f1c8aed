from hub_groups import activate

activate(c)  # noqa: F821
