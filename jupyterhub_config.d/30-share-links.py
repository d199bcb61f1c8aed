from share_links import activate

activate(c)
