"""The embedded world: a small synthetic world, from a seed, in the formats of the real data."""

from gptbench.data.world.write import write_world

__all__ = ["write_world"]
