from hub_groups import activate

activate(c)
