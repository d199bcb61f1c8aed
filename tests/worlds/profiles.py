"""A spawner that applies profiles in start(), as KubeSpawner does."""

from pathlib import Path

from jupyterhub.spawner import SimpleLocalProcessSpawner

load_subconfig(str(Path(__file__).parent / "base.py"))
c = get_config()


class ProfileSpawner(SimpleLocalProcessSpawner):
    async def load_user_options(self):
        profile = self.user_options.get("profile")
        if profile == "none":
            raise ValueError("No such profile: none")
        self.mem_limit = profile

    async def start(self):
        await self.load_user_options()
        return await super().start()


c.JupyterHub.spawner_class = ProfileSpawner
