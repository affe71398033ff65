"""`artemis export` and `artemis apply`: a file under version control, its difference to a node, and its effect."""

from pathlib import Path

import pytest

from ..contract.matching import Including
from ..contract.nodes import NodeProcess
from .commanding import Prompt
from .world import World


@pytest.fixture
def prompt(world: World, node: NodeProcess) -> Prompt:
    return Prompt(world, node.url)


def document(world: World, weights: tuple[int, int] = (70, 30)) -> str:
    """A split between blue and green, and a canary."""
    return f"""
[[groups]]
service = "{world.service}"
zone = "{world.zone}"
name = "blue"
description = "the \\"old\\" ones"
tags = {{ team = "x", "two words" = "ü" }}
members = ["loner"]

[[groups]]
service = "{world.service}"
zone = "{world.zone}"
name = "green"
app = "shop"
type = "logical"

[[rules]]
service = "{world.service}"
id = "split"
name = "old and new"
status = "active"

[[rules.groups]]
group = "blue"
weight = {weights[0]}

[[rules.groups]]
group = "green"
weight = {weights[1]}

[[canaries]]
service = "{world.service}"
ips = ["10.1.0.0/16"]
"""


def apply(prompt: Prompt, text: str, *flags: str) -> list[str]:
    """What applying a document prints; it is given on standard input."""
    return prompt.says("apply", "-", *flags, given=text.encode())


def test_a_document_is_applied_once_and_changes_nothing_the_second_time(prompt: Prompt) -> None:
    world, key = prompt.world, prompt.key
    prompt.then(lambda: world.register_groups("blue", "green", "canary"))
    text = document(world)
    assert apply(prompt, text, "--reason", "release 42") == [
        f"+ group {key}:blue",
        f"+ tag {key}:blue team  value: x",
        f"+ tag {key}:blue two words  value: ü",
        f"+ member {key}:blue loner",
        f"+ group {key}:green",
        f"+ rule {world.service} split",
        f"+ rule group {world.service} split {key}:blue  weight: 70",
        f"+ rule group {world.service} split {key}:green  weight: 30",
        f"+ canary {world.service}",
        "9 created",
    ]
    chosen = [prompt.then(world.routed) for _ in range(10)]
    assert (chosen.count(["blue-1"]), chosen.count(["green-1"])) == (7, 3)
    assert prompt.then(lambda: world.routed(ip="10.1.2.3")) == ["canary-1"]
    entries = prompt.json("audit", "--limit", "9")
    assert all(
        entry == Including({"operation": "apply", "operatorId": "alice", "reason": "release 42"}) for entry in entries
    )
    assert apply(prompt, text) == ["no difference"]
    assert prompt.json("audit", "--limit", "9") == entries, "what changes nothing leaves no trace"


def test_what_is_exported_is_no_difference_and_rebuilds_everything(prompt: Prompt, tmp_path: Path) -> None:
    world, file = prompt.world, tmp_path / "registry.toml"
    apply(prompt, document(world))
    prompt.says("rules", "create", "second", "--service", world.service, "--strategy", "close-by-visit")
    prompt.says("rules", "weigh", "second", "green", "5", "--service", world.service, "--near-region", "far")
    prompt.says("rules", "publish", "second", "--service", world.service)
    prompt.says("rules", "publish", "split", "--service", world.service)
    prompt.says("groups", "create", f"{prompt.key}:spare", "--description", 'quote " backslash \\ \x7f tab\t ✓')
    prompt.says("canary", "disable", world.service)
    assert prompt.says("export", "--service", world.service, "-o", str(file)) == [f"exported to {file}"]
    assert prompt.says("apply", str(file)) == ["no difference"]
    exported = file.read_text(encoding="utf-8")
    assert "\n".join(prompt.says("export", "--service", world.service)) + "\n" == exported
    before = prompt.json("export", "--service", world.service)
    for name in ("split", "second"):
        prompt.says("rules", "delete", name, "--service", world.service)
    for name in ("blue", "green", "spare"):
        prompt.says("groups", "delete", f"{prompt.key}:{name}")
    prompt.says("canary", "delete", world.service)
    assert prompt.json("export", "--service", world.service) == {}
    prompt.says("apply", str(file))
    assert prompt.json("export", "--service", world.service) == before
    assert prompt.says("export", "--service", world.service)[3:] == exported.splitlines()[3:]


def test_every_kind_of_difference_is_shown_and_then_gone(prompt: Prompt) -> None:
    world, key = prompt.world, prompt.key
    apply(prompt, document(world))
    changed = (
        document(world, (60, 30))
        .replace('team = "x", "two words" = "ü"', 'team = "y"')
        .replace('["loner"]', '["another"]')
        .replace('app = "shop"', 'status = "inactive"')
        .replace('name = "old and new"', 'strategy = "close-by-visit"')
        .replace('ips = ["10.1.0.0/16"]', 'ips = ["10.1.0.0/16", "::1"]\nenabled = false')
    )
    differences = [
        f"~ tag {key}:blue team  value: x -> y",
        f"- tag {key}:blue two words  value: ü -> none",
        f"+ member {key}:blue another",
        f"- member {key}:blue loner",
        f"~ group {key}:green  app: shop -> {world.service}, status: active -> inactive",
        f"~ rule {world.service} split  name: old and new -> none, strategy: weighted-round-robin -> close-by-visit",
        f"~ rule group {world.service} split {key}:blue  weight: 70 -> 60",
        f"~ canary {world.service}  ips: [10.1.0.0/16] -> [10.1.0.0/16 ::1], enabled: yes -> no",
    ]
    dry = prompt.run("apply", "-", "--dry-run", given=changed.encode())
    assert (dry.exit_code, dry.stdout.splitlines()) == (
        1,
        [*differences, "1 would be created, 5 would be changed, 2 would be removed"],
    )
    assert apply(prompt, document(world)) == ["no difference"], "a dry run changes nothing"
    assert apply(prompt, changed) == [*differences, "1 created, 5 changed, 2 removed"]
    assert apply(prompt, changed, "--dry-run") == ["no difference"]
    assert apply(prompt, document(world))[-1] == "2 created, 5 changed, 1 removed"


def test_the_order_of_groups_and_of_rules_counts(prompt: Prompt) -> None:
    world = prompt.world
    prompt.then(lambda: world.register_groups("blue", "green"))
    rule = '[[rules]]\nservice = "{0}"\nid = "{1}"\nstatus = "active"\nstrategy = "close-by-visit"\n'
    link = '[[rules.groups]]\ngroup = "{0}"\nweight = 1\n'
    groups = document(world).partition("[[rules]]")[0]

    def text(*names: str) -> str:
        first, second = (rule.format(world.service, name) for name in names)
        return groups + first + link.format("blue") + second + link.format("green")

    apply(prompt, text("a", "b"))
    assert prompt.then(world.routed) == ["green-1"], "the last one decides"
    reordered = groups + "".join(
        rule.format(world.service, name) + link.format(group) for name, group in (("b", "green"), ("a", "blue"))
    )
    assert apply(prompt, reordered) == [f"~ rule {world.service} a  the rule that decides: b -> a", "1 changed"]
    assert prompt.then(world.routed) == ["blue-1"]
    assert apply(prompt, reordered) == ["no difference"]
    both = groups + rule.format(world.service, "a") + link.format("green") + link.format("blue")
    key = prompt.key
    assert apply(prompt, both)[:2] == [
        f"+ rule group {world.service} a {key}:green  weight: 1",
        f"~ rule {world.service} a  order of groups: [{key}:blue {key}:green] -> [{key}:green {key}:blue]",
    ]
    assert apply(prompt, both)[-1] == "no difference"


def test_what_the_document_does_not_mention_is_named_and_removed_when_asked(prompt: Prompt) -> None:
    world, key = prompt.world, prompt.key
    apply(prompt, document(world))
    groups = document(world).partition("[[rules]]")[0]
    hint = "  (not in the file; --prune removes it)"
    assert apply(prompt, groups) == [
        f"? rule {world.service} split{hint}",
        f"? canary {world.service}{hint}",
        "no difference",
    ]
    assert apply(prompt, groups, "--prune") == [
        f"- rule {world.service} split",
        f"- canary {world.service}",
        "2 removed",
    ]
    only = f'services = ["{world.service.upper()}"]'
    assert apply(prompt, only) == [f"? group {key}:blue{hint}", f"? group {key}:green{hint}", "no difference"]
    assert apply(prompt, only, "--prune")[-1] == "2 removed"
    assert prompt.json("groups", "--service", world.service) == []
    assert apply(prompt, only, "--prune") == ["no difference"]


def test_services_that_are_not_in_the_document_are_left_alone(prompt: Prompt) -> None:
    other = f"{prompt.world.service}.other"
    prompt.says("groups", "create", f"{other}:lab:z:blue")
    apply(prompt, document(prompt.world), "--prune")
    assert len(prompt.json("groups", "--service", other)) == 1


def test_a_document_that_cannot_be_applied_whole_is_not_applied_at_all(prompt: Prompt) -> None:
    world = prompt.world
    bad = document(world).replace('group = "green"', 'group = "red"')
    assert prompt.fails(1, "apply", "-", given=bad.encode()) == "there is no group red"
    bad = document(world, (70, 10_001))
    message = "bad-request: rules[0].groups[1].weight must be from 0 to 10000, not 10001"
    for flags in ((), ("--dry-run",)):
        assert prompt.fails(4, "apply", "-", *flags, given=bad.encode()) == message
    assert prompt.json("export", "--service", world.service) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\nb", "standard input: not valid TOML: Expected '=' after a key in a key/value pair (at line 1, column 2)"),
        ("[[group]]", "standard input: the file: Object contains unknown field `group`"),
        ('[[rules]]\nid = "a"\nweights = []', "standard input: rules[0]: Object contains unknown field `weights`"),
        (
            '[[rules]]\n[[rules.groups]]\nweight = "x"',
            "standard input: rules[0].groups[0].weight: Expected `int | null`",
        ),
        ("[[groups]]\nmembers = 'a'", "standard input: groups[0].members: Expected `array`, got `str`"),
    ],
)
def test_a_file_that_is_wrong_is_told_with_the_place(prompt: Prompt, text: str, message: str) -> None:
    assert prompt.fails(2, "apply", "-", given=text.encode()).startswith(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[groups]]\nzone = 'z'", "groups[0].service is null or empty"),
        (
            "[[groups]]\nservice = 's'\nzone = 'z'\nname = 'n'\nstatus = 'on'",
            "groups[0].status must be one of active, ",
        ),
        ("[[rules]]\nservice = 's'\nid = 'r'", "rules[0].status is null or empty"),
        ("[[rules]]\nservice = 's'\nid = 'r'\nstatus = 'active'\nstrategy = 'x'", "rules[0].strategy must be one of "),
        ("[[canaries]]\nservice = 's'", "canaries[0].ips is null"),
        ("[[canaries]]\nservice = 's'\nips = ['x']", "canaries[0].ips[0] 'x' is neither an ip address nor a network"),
        ("[[canaries]]\nservice = 's'\nips = []\n" * 2, "canaries[1] is canaries[0] once more"),
        ("services = ['']", "services[0] is null or empty"),
    ],
)
def test_what_makes_no_sense_is_named_in_the_words_of_the_file(prompt: Prompt, text: str, message: str) -> None:
    assert prompt.fails(4, "apply", "-", given=text.encode()).startswith(f"bad-request: {message}")


def test_a_file_that_is_not_there_is_told(prompt: Prompt, tmp_path: Path) -> None:
    missing = tmp_path / "missing.toml"
    assert prompt.fails(2, "apply", str(missing)) == f"{missing}: No such file or directory"


def test_scripts_get_the_differences(prompt: Prompt) -> None:
    text = document(prompt.world)
    result = prompt.run("apply", "-", "--dry-run", "--json", given=text.encode())
    assert result.exit_code == 1
    assert '"dryRun": true' in result.stdout
    assert '"sign": "+"' in result.stdout


def test_keywords_that_only_the_other_api_takes_survive_a_round_trip(prompt: Prompt) -> None:
    world = prompt.world
    rule = {"serviceId": world.service, "name": "odd", "status": "Active", "strategy": "by-moonlight"}
    prompt.then(lambda: world.rpc("group/insert-route-rules", routeRules=[rule]))
    prompt.then(lambda: world.rpc("canary/update-canary-ips", serviceId=world.service, appId="app", canaryIps=["i1"]))
    exported = "\n".join(prompt.says("export", "--service", world.service))
    assert apply(prompt, exported) == ["no difference"]
