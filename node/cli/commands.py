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
    Command(
        "pull-out", "operating", "pull_out", "Management", "Take instances, servers, zones, groups out of discovery."
    ),
    Command("pull-in", "operating", "pull_in", "Management", "Put them back."),
    Command("groups", "groups", "groups", "Management", "List and change groups, their tags and members."),
    Command("rules", "rules", "rules", "Management", "List and change route rules and weights."),
    Command("canary", "canary", "canary", "Management", "List and change who is sent to canaries."),
    Command("explain", "looking_back", "explain", "Management", "Say why an instance is, or is not, in an answer."),
    Command("audit", "looking_back", "audit", "Management", "Show who did what."),
    Command("export", "configuring", "export", "Management", "Write groups, rules and canaries as a TOML file."),
    Command("apply", "configuring", "apply", "Management", "Bring groups, rules and canaries to what a file says."),
    Command("backup", "keeping", "backup", "Management", "Copy the decisions of operators to a file."),
    Command("restore", "keeping", "restore", "Management", "Put such a file in place of a node's data."),
)

PLUGIN_AREA: Final = "Cluster and tools"
