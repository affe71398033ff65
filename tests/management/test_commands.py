"""The commands of operators: tables for people, JSON for scripts, and an effect on discovery."""

from functools import partial
from pathlib import Path

import pytest

from ..contract.matching import EPOCH_MS, Including, Whole
from ..contract.nodes import NodeProcess
from .commanding import Prompt
from .world import World


@pytest.fixture
def prompt(world: World, node: NodeProcess) -> Prompt:
    return Prompt(world, node.url)


def cells(line: str) -> list[str]:
    """The columns of a line of a table."""
    return line.split()


NAMES = ("a/b", "..", "a:b", "a b%2F?#", "🐢")


@pytest.mark.parametrize("name", NAMES)
def test_names_of_every_sort_are_understood(prompt: Prompt, name: str) -> None:
    world = prompt.world
    group = prompt.then(lambda: world.group(name))
    key, service = group["groupKey"], world.service
    assert prompt.json("groups", "show", key)["group"]["name"] == name
    assert prompt.json("groups", "show", str(group["groupId"]))["group"]["groupKey"] == key
    prompt.says("groups", "tag", key, "a/b=c")
    prompt.says("groups", "untag", key, "a/b")
    prompt.says("groups", "bind", key, name)
    prompt.says("groups", "unbind", key, name)
    prompt.says("rules", "create", name, "--service", service)
    prompt.says("rules", "weigh", name, key, "7", "--service", service)
    prompt.says("rules", "publish", name, "--service", service)
    assert prompt.json("rules", "show", name, "--service", service)["status"] == "active"
    prompt.says("rules", "drop", name, key, "--service", service)
    prompt.says("rules", "delete", name, "--service", service)
    prompt.says("groups", "delete", key)
    prompt.says("canary", "set", name, "--ip", "10.0.0.1")
    assert prompt.json("canary", "show", name)["serviceId"] == name
    prompt.says("canary", "delete", name)


def test_what_is_exported_is_applied_without_a_difference(prompt: Prompt, tmp_path: Path) -> None:
    """The names go over the wire as people write them, with blanks around them, and come back as they are kept."""
    world, file = prompt.world, tmp_path / "registry.toml"
    for name in (*NAMES, ' "two" words \\ ', "b:c"):
        group = prompt.then(partial(world.group, name, description=f" {name}\r\n", appId=f" {name} "))
        prompt.says("groups", "tag", str(group["groupId"]), f" {name} = {name} ")
        prompt.says("groups", "bind", str(group["groupId"]), name)
        route_id = f"{world.service} {name}"
        prompt.then(partial(world.rule, route_id, publish=False, name=f" {name} ", description=f" {name}\n"))
        prompt.says("rules", "weigh", route_id, str(group["groupId"]), "7", "--near-zone", f" {name} ")
    prompt.then(lambda: world.group("c", zoneId=f"{world.zone}:b"))
    prompt.says("canary", "set", world.service, "--ip", "2001:DB8:0::1", "--ip", "10.1.2.3/8", "--group", " c ")
    prompt.says("export", "--service", world.service, "-o", str(file))
    assert prompt.says("apply", str(file), "--dry-run") == ["no difference"]
    assert prompt.says("apply", str(file), "--prune") == ["no difference"]
    exported = file.read_bytes()
    prompt.says("export", "--service", world.service, "-o", str(file))
    assert file.read_bytes() == exported


def test_a_key_that_can_be_read_in_several_ways_makes_no_group(prompt: Prompt) -> None:
    assert "can be read in several ways" in prompt.fails(2, "groups", "create", f"{prompt.key}:a:b")


# Pulling out


def test_every_sort_of_thing_is_pulled_out_and_in(prompt: Prompt) -> None:
    world = prompt.world
    prompt.then(lambda: world.register("i1", world.instance("i2", zoneId="safe", ip="10.88.0.1")))
    prompt.says("groups", "create", f"{prompt.key}:default")
    for what, told in (
        (("instance", world.service, "i1"), f"i1 of {world.service}: 1 instance of 1 service"),
        (("server", world.server), f"server {world.server}: 1 instance of 1 service"),
        (("zone", world.zone), f"zone {world.zone}: 1 instance of 1 service"),
        (
            ("zone", world.zone, "--service", world.service),
            f"zone {world.zone} of {world.service}: 1 instance of 1 service",
        ),
        (("group", f"{prompt.key}:default"), f"group {prompt.key}:default: 1 instance of 1 service"),
    ):
        assert prompt.says("pull-out", *what, "--reason", "a test") == [f"pulled out {told}"]
        assert prompt.then(world.seen) == ["i2"]
        (newest,) = prompt.json("audit", "--limit", "1")
        assert newest == Including({"operation": "pullout", "operatorId": "alice", "reason": "a test"})
        assert prompt.says("pull-in", *what) == [f"pulled in {told}"]
        assert prompt.then(world.seen) == ["i1", "i2"]


def test_a_group_is_pulled_in_whatever_its_operations_are_called(prompt: Prompt) -> None:
    world = prompt.world
    prompt.then(lambda: world.register("i1"))
    group = prompt.then(lambda: world.group("default"))
    for operation in ("maintenance", "pullout"):
        prompt.then(partial(world.group_out, group, operation=operation))
    assert prompt.says("pull-in", "group", group["groupKey"].upper()) == [
        f"pulled in group {group['groupKey'].upper()}: 1 instance of 1 service"
    ]
    assert prompt.then(world.seen) == ["i1"]
    prompt.says("pull-in", "group", group["groupKey"])


def test_scripts_are_told_what_was_done(prompt: Prompt) -> None:
    world = prompt.world
    done = prompt.json("pull-out", "zone", world.zone, "--operator", "bob", "--reason", "flood")
    assert done == {
        "kind": "zone",
        "zoneId": world.zone,
        "regionId": "lab",
        "serviceId": None,
        "operation": "pullout",
        "operatorId": "bob",
        "reason": "flood",
        "instances": 0,
        "services": 0,
        "warning": "no instance matches this now",
    }
    assert prompt.json("pull-in", "zone", world.zone)["operatorId"] == "alice"
    server = prompt.json("pull-out", "server", world.server)
    assert server == Including({"kind": "server", "serverId": world.server, "regionId": "lab", "instances": 0})


def test_what_nothing_matches_is_warned_about(prompt: Prompt) -> None:
    world = prompt.world
    key = prompt.then(lambda: world.group("blue"))["groupKey"]
    nothing, never = "no instance matches this now", "it was not out"
    for what in (("instance", world.service, "i1"), ("server", "10.7.7.7"), ("zone", world.zone), ("group", key)):
        for direction, warning in (
            ("pull-in", f"{never}; {nothing}"),
            ("pull-out", nothing),
            ("pull-out", nothing),
            ("pull-in", nothing),
        ):
            result = prompt.run(direction, *what)
            assert result.exit_code == 0
            assert result.stdout.endswith(": 0 instances of 0 services\n")
            assert result.stderr == f"artemis: warning: {warning}\n"
    assert "is of the region lab" in prompt.fails(4, "pull-out", "zone", world.zone, "--region", "far")


def test_pulling_out_what_cannot_be_named_is_refused(prompt: Prompt) -> None:
    assert prompt.fails(2, "pull-out", "group", "blue") == (
        "'blue' is not the key of a group, which looks like SERVICE:REGION:ZONE:NAME"
    )
    key = f"{prompt.key}:unheard-of"
    assert prompt.fails(1, "pull-out", "group", key) == f"there is no group {key}"
    assert prompt.fails(4, "pull-out", "server", " ") == "bad-request: serverId is null or empty"
    assert "operatorId is null or empty" in prompt.fails(4, "pull-out", "server", "10.0.0.9", "--operator", " ")


# Groups


def test_groups_are_made_listed_changed_and_deleted(prompt: Prompt) -> None:
    key = f"{prompt.key}:blue"
    assert prompt.says("groups", "create", key, "--description", "the first") == [f"created {key}"]
    assert prompt.says("groups", "tag", key, "team=x", "os=arm") == [f"tagged {key}"]
    assert prompt.says("groups", "untag", key, "OS") == [f"untagged {key}"]
    heading, row = prompt.says("groups", "--service", prompt.world.service, "--tag", "team:x")
    assert cells(heading) == ["GROUP", "TYPE", "STATUS", "TAGS", "DESCRIPTION"]
    assert cells(row) == [key, "physical", "active", "team=x", "the", "first"]
    assert prompt.json("groups", "--zone", prompt.world.zone, "--name", "green") == []
    assert prompt.says("groups", "change", key, "--status", "inactive", "--type", "logical") == [f"changed {key}"]
    (group,) = prompt.json("groups", "--service", prompt.world.service)
    assert group == Including({"status": "inactive", "groupType": "logical", "description": "the first"})
    assert prompt.says("groups", "delete", key) == [f"deleted {key}"]
    assert prompt.fails(1, "groups", "delete", key) == f"there is no group {key}"
    assert prompt.json("groups", "--service", prompt.world.service) == []


def test_instances_are_bound_to_a_group_all_or_none(prompt: Prompt) -> None:
    world, key = prompt.world, f"{prompt.key}:blue"
    prompt.then(lambda: world.register("i1", "i2", "i3"))
    prompt.says("groups", "create", key)
    assert prompt.says("groups", "bind", key, "i1", "i2") == [f"bound i1, i2 to {key}"]
    assert prompt.fails(4, "groups", "bind", key, "i3", "i1") == (
        "conflict: the instance i1 is bound to the group already"
    )
    shown = prompt.json("groups", "show", key)
    assert [instance["instanceId"] for instance in shown["instances"]] == ["i1", "i2"]
    assert prompt.says("groups", "unbind", key, "i1") == [f"unbound i1 from {key}"]
    assert prompt.fails(1, "groups", "unbind", key, "i1") == "the instance i1 is not bound to the group"
    *_, row = prompt.says("groups", "show", key)
    assert cells(row)[0] == "i2"


def test_what_is_no_tag_is_told(prompt: Prompt) -> None:
    assert prompt.fails(2, "groups", "tag", f"{prompt.key}:blue", "team") == "'team' does not look like NAME=VALUE"


def test_options_of_the_list_do_not_get_lost_before_another_command(prompt: Prompt) -> None:
    result = prompt.run("groups", "--service", "orders", "show", f"{prompt.key}:blue")
    assert (result.exit_code, "--service belongs behind `show`" in result.stderr) == (2, True)


# Rules


def test_a_rule_is_made_weighed_published_and_taken_back(prompt: Prompt) -> None:
    world, rule = prompt.world, f"{prompt.world.service}-r"
    prompt.then(lambda: world.register_groups("blue", "green"))
    for name in ("blue", "green"):
        prompt.says("groups", "create", f"{prompt.key}:{name}")
    of = f"{rule} of {world.service}"
    assert prompt.says("rules", "create", rule, "--service", world.service, "--name", "half") == [f"created {of}"]
    assert prompt.says("rules", "weigh", rule, "blue", "1") == [f"blue has the weight 1 in {of}"]
    assert prompt.says("rules", "weigh", rule, "green", "0", "--near-zone", "z9") == [f"green has the weight 0 in {of}"]
    assert prompt.then(world.routed) == ["blue-1", "green-1"]
    assert prompt.says("rules", "publish", rule, "--reason", "go") == [f"published {of}"]
    assert prompt.then(world.routed) == ["blue-1"]
    heading, row = prompt.says("rules", "--service", world.service, "--status", "active")
    assert cells(heading) == ["RULE", "SERVICE", "STATUS", "STRATEGY", "GROUPS", "NAME"]
    assert cells(row) == [rule, world.service, "active", "weighted-round-robin", "blue=1", "green=0", "half"]
    *_, blue, green = prompt.says("rules", "show", rule)
    assert cells(blue) == [f"{prompt.key}:blue", "1", "-", "lab", world.zone]
    assert cells(green) == [f"{prompt.key}:green", "0", "-", "lab", "z9"]
    assert prompt.says("rules", "drop", rule, "blue") == [f"blue is no longer in {of}"]
    assert prompt.then(world.routed) == ["green-1"]
    assert prompt.says("rules", "change", rule, "--strategy", "close-by-visit") == [f"changed {of}"]
    assert prompt.json("rules", "show", rule) == Including({"strategy": "close-by-visit", "name": "half"})
    assert prompt.says("rules", "unpublish", rule) == [f"unpublished {of}"]
    assert prompt.then(world.routed) == ["blue-1", "green-1"]
    assert prompt.says("rules", "delete", rule) == [f"deleted {of}"]
    assert prompt.fails(1, "rules", "show", rule) == f"there is no route rule {rule}"


def test_weighing_what_is_not_there_is_told(prompt: Prompt) -> None:
    rule = f"{prompt.world.service}-r"
    assert prompt.fails(1, "rules", "weigh", rule, "blue", "1") == f"there is no route rule {rule}"
    prompt.says("rules", "create", rule, "--service", prompt.world.service)
    assert prompt.fails(1, "rules", "weigh", rule, "blue", "1") == "there is no group blue"
    assert prompt.run("rules", "weigh", rule, "blue", "10001").exit_code == 2


# Canaries


def test_a_canary_is_set_switched_and_deleted(prompt: Prompt) -> None:
    world, service = prompt.world, prompt.world.service
    prompt.then(lambda: world.register_groups("blue", "canary"))
    told = prompt.says("canary", "set", service, "--ip", "10.1.1.1", "--ip", "10.2.0.0/16")
    assert told == [f"set the canary of {service}"]
    assert prompt.then(lambda: world.routed(ip="10.2.3.4")) == ["canary-1"]
    assert prompt.then(world.routed) == ["blue-1"]
    heading, row = prompt.says("canary", "show", service)
    assert cells(heading) == ["SERVICE", "GROUP", "ENABLED", "CALLERS"]
    assert cells(row) == [service, "canary", "yes", "10.1.1.1", "10.2.0.0/16"]
    assert any(cells(line) == cells(row) for line in prompt.says("canary"))
    assert prompt.says("canary", "disable", service) == [f"disabled the canary of {service}"]
    assert prompt.then(world.routed) == ["blue-1", "canary-1"]
    assert prompt.says("canary", "enable", service) == [f"enabled the canary of {service}"]
    assert prompt.json("canary", "show", service) == Including({"enabled": True, "updatedAt": EPOCH_MS})
    for _ in range(2):
        assert prompt.says("canary", "delete", service) == [f"deleted the canary of {service}"]
    assert prompt.fails(1, "canary", "show", service) == f"the service {service} has no canary configuration"
    assert "neither an ip address nor a network" in prompt.fails(4, "canary", "set", service, "--ip", "localhost")


# Looking back


def test_the_audit_log_is_shown_newest_first(prompt: Prompt) -> None:
    world = prompt.world
    prompt.says("pull-out", "instance", world.service, "i1", "--reason", "leaks")
    prompt.says("pull-in", "instance", world.service, "i1", "--operator", "bob")
    heading, newest, oldest = prompt.says("audit", "--service", world.service, "--instance", "i1", "--since", "1h")
    assert cells(heading) == ["TIME", "OPERATOR", "FROM", "OPERATION", "TYPE", "TARGET", "REASON"]
    target = f"lab/{world.service}/i1"
    assert cells(newest)[2:] == ["bob", "127.0.0.1", "pullin", "instance-operation", target, "-"]
    assert cells(oldest)[2:] == ["alice", "127.0.0.1", "pullout", "instance-operation", target, "leaks"]
    (entry,) = prompt.json("audit", "--target", target, "--by", "alice", "--type", "instance")
    assert entry == Including({"logId": Whole(1), "before": None, "after": Including({"instanceId": "i1"})})
    (entry,) = prompt.json("audit", "--target", target, "--limit", "1")
    assert [
        each["operatorId"] for each in prompt.json("audit", "--target", target, "--before", str(entry["logId"]))
    ] == ["alice"]
    assert prompt.json("audit", "--target", target, "--until", "1h") == []
    assert prompt.json("audit", "--target", target, "--since", "2999-01-01T00:00+00:00") == []
    assert prompt.json("audit", "--server", "unheard.of") == []


@pytest.mark.parametrize("text", ["yesterday", "2h30m", "1y", ""])
def test_a_time_that_is_none_is_told(prompt: Prompt, text: str) -> None:
    assert prompt.fails(2, "audit", "--since", text).startswith(f"--since: {text!r} is not a time such as 2h or ")


def test_an_answer_is_explained(prompt: Prompt) -> None:
    world = prompt.world
    prompt.then(lambda: world.register("i1", "i2"))
    prompt.says("pull-out", "instance", world.service, "i1")
    heading, first, second = prompt.says("explain", world.service, "--ip", "10.1.1.1", "--zone", "z", "--region", "lab")
    assert cells(heading) == ["INSTANCE", "GIVEN", "FILTER", "WHY"]
    assert cells(first)[:3] == ["i1", "no", "pulled-out"]
    assert cells(second)[:2] == ["i2", "yes"]
    assert prompt.json("explain", world.service, "i2")["instances"] == [Including({"instanceId": "i2", "kept": True})]
    assert prompt.fails(1, "explain", world.service, "i1") == f"127.0.0.1 is given no instance of {world.service}"
    assert prompt.fails(4, "explain", "unheard.of") == "bad-request: the service unheard.of has no instances"


@pytest.mark.parametrize("name", ["pull-out", "pull-in", "groups", "rules", "canary", "audit", "explain", "apply"])
def test_every_command_has_examples(prompt: Prompt, name: str) -> None:
    text = "\n".join(prompt.says(name, "--help"))
    assert "Example" in text
    assert f"artemis {name}" in text
