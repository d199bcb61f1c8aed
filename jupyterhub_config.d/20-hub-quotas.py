from hub_quotas import activate

activate(c)
