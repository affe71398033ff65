"""The plain list of commands. A new one is a module beside this file and a line here.

Commands of folders that `node` may not import (`cluster`) are entry points of the group `artemis.commands`.
"""

from dataclasses import dataclass
from typing import Final

PLUGIN_GROUP: Final = "artemis.commands"


@dataclass(frozen=True, slots=True)
class Command:
    """Where a command is, so that only the one that runs is imported, and what it is for."""

    name: str
    module: str
    """Relative to this package."""
    attribute: str
    area: str
    summary: str


COMMANDS: Final = (
    Command("serve", "serve", "serve", "Node", "Run a node."),
    Command("config", "configuration", "config", "Node", "Show the effective configuration and its sources."),
    Command("status", "status", "status", "Node", "Show a node and the cluster as it sees it."),
    Command("services", "discovery", "services", "Registry", "List services."),
    Command("instances", "discovery", "instances", "Registry", "List the instances of a service."),
    Command("watch", "discovery", "watch", "Registry", "Follow a service live."),
    Command("register", "registration", "register", "Registry", "Register an instance."),
    Command("unregister", "registration", "unregister", "Registry", "Take an instance out of the registry."),
)

PLUGIN_AREA: Final = "Cluster and tools"
