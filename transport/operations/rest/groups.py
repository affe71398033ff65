"""Groups, their tags, and the instances bound to them: REST rows 31 to 43."""

from dataclasses import replace

from artemis.store.leases import Entry
from artemis.store.management.decorations import lies_in
from artemis.store.management.draft import Draft
from artemis.store.management.errors import Invalid, NotFound
from artemis.store.management.kinds import (
    GROUP,
    GROUP_MEMBER,
    GROUP_TAG,
    Group,
    GroupMember,
    group_key,
    of_group,
    of_service,
)
from artemis.store.management.records import key_of
from artemis.store.management.visibility import Place
from artemis.store.management.writes import groups, members
from artemis.store.management.writes.checks import identifier, items
from artemis.store.management.writes.inputs import GroupInput
from artemis.store.management.writes.operator import Operator
from artemis.store.management.writes.references import expect_version, group_at, group_of_service, key_text

from ...requests import Reply, Request, Route
from ..decoding import decode
from ..management.desk import Ask, Desk, same
from ..management.reach import Target, check_region, reach_of
from .calls import (
    WriteAsk,
    as_it_is,
    carry_out,
    data,
    expected_version,
    optional_body,
    refusals,
    route,
    who,
)
from .rows import PULL_OUT, Row, group_row, member_row, tag_rows

GROUPS = "/api/routing/groups"
AT_KEY = f"{GROUPS}/{{groupKey}}"


class CreateGroupAsk(WriteAsk, kw_only=True):
    service_id: str | None = None
    region_id: str | None = None
    zone_id: str | None = None
    name: str | None = None
    group_type: str | None = None
    description: str | None = None
    app_id: str | None = None
    status: str | None = None


class ChangeGroupAsk(WriteAsk, kw_only=True):
    description: str | None = None
    status: str | None = None
    group_type: str | None = None


class BindAsk(WriteAsk, kw_only=True):
    instance_id: str | None = None


class BoundInstance(Ask, kw_only=True):
    group_id: str | None = None
    """Id, key or name of a group of the service."""
    instance_id: str | None = None
    operator_id: str | None = None


class BindAllAsk(WriteAsk, kw_only=True):
    instances: list[BoundInstance | None] | None = None


class Tag(Ask, kw_only=True):
    key: str | None = None
    value: str | None = None


class TagsAsk(WriteAsk, kw_only=True):
    tags: list[Tag | None] | None = None


class GroupRows:
    """The handlers."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    # Groups

    async def create(self, request: Request) -> Reply:
        """Create a group. 409 when there is one of this key."""
        ask = decode(CreateGroupAsk, request.body)
        operator = who(self._desk, request, ask, "create")
        given = GroupInput(
            service_id=ask.service_id,
            region_id=ask.region_id,
            zone_id=ask.zone_id,
            name=ask.name,
            app_id=ask.app_id,
            description=ask.description,
            status=ask.status,
        )

        def plan(draft: Draft) -> tuple[Row, int]:
            identifier("groupType", ask.group_type)
            return _shown(draft, groups.create_group(draft, operator, given, ask.group_type))

        row, version = await carry_out(self._desk, plan)
        return data(row, 201, version=version)

    def find(self, request: Request) -> Reply:
        """The groups that match everything given."""
        draft, argument = as_it_is(self._desk), request.argument
        service_id = (argument("serviceId") or "").strip()
        tags = [text.partition(":") for text in request.argument_values("tag")]
        found = [
            group_row(draft, group)
            for group in (draft.find(GROUP, of_service(service_id)) if service_id else draft.all(GROUP))
            if not group.deleted
            and same(group.region_id, argument("regionId"))
            and same(group.zone_id, argument("zoneId"))
            and same(group.name, argument("name"))
            and all(_has_tag(draft, group, key, value if colon else None) for key, colon, value in tags)
        ]
        return data(found)

    def by_id(self, request: Request) -> Reply:
        """One group, by its id."""
        draft, text = as_it_is(self._desk), request.params["groupId"]
        with refusals():
            if not text.isdecimal():
                raise NotFound(f"there is no group {text}")
            row, version = _shown(draft, group_at(draft, text))
        return data(row, version=version)

    def get(self, request: Request) -> Reply:
        """One group, by its key."""
        draft = as_it_is(self._desk)
        with refusals():
            row, version = _shown(draft, group_at(draft, request.params["groupKey"]))
        return data(row, version=version)

    async def change(self, request: Request) -> Reply:
        """Change what is given of a group, and leave the rest."""
        ask = decode(ChangeGroupAsk, request.body)
        operator, version = who(self._desk, request, ask, "update"), expected_version(request)

        def plan(draft: Draft) -> tuple[Row, int]:
            group = group_at(draft, request.params["groupKey"])
            expect_version(draft, GROUP, group, version)
            changed = groups.change_group(
                draft,
                operator,
                group.group_id,
                description=ask.description,
                status=ask.status,
                group_type=ask.group_type,
            )
            return _shown(draft, changed)

        row, version = await carry_out(self._desk, plan)
        return data(row, version=version)

    async def delete(self, request: Request) -> Reply:
        """Remove a group, and what hangs on it."""
        operator = who(self._desk, request, optional_body(WriteAsk, request), "delete")
        version = expected_version(request)

        def plan(draft: Draft) -> None:
            group = group_at(draft, request.params["groupKey"])
            expect_version(draft, GROUP, group, version)
            groups.remove_group(draft, operator, group.group_id)

        await carry_out(self._desk, plan)
        return data(None)

    async def pull_out(self, request: Request) -> Reply:
        """Take what registered with a group out of discovery."""
        return await self._operate(request, out=True)

    async def pull_in(self, request: Request) -> Reply:
        """Put it back, whatever its operations are called."""
        return await self._operate(request, out=False)

    async def _operate(self, request: Request, *, out: bool) -> Reply:
        ask = decode(WriteAsk, request.body)
        operator = who(self._desk, request, ask, PULL_OUT)

        def plan(draft: Draft) -> tuple[Group, bool]:
            identifier("operatorId", operator.operator_id)
            operator.check()
            group = group_at(draft, request.params["groupKey"])
            if out:
                groups.operate_group(draft, operator, group.group_id, PULL_OUT, complete=False)
                was_out = True
            else:
                was_out = groups.pull_in_group(draft, operator, group.group_id) > 0
            check_region(self._desk, group.region_id, known=not out)
            return group, was_out

        group, was_out = await carry_out(self._desk, plan)
        reach = await reach_of(self._desk, [Target.of_group(group)], was_out=was_out)
        row = {"groupId": group.group_id, "groupKey": key_text(group), "isDown": out}
        return data(row | reach.fields())

    # Instances

    def instances(self, request: Request) -> Reply:
        """The registered instances in a group, pulled-out ones included."""
        draft = as_it_is(self._desk)
        with refusals():
            group = group_at(draft, request.params["groupKey"])
        table = self._desk.registry.services.get(group.service_id.lower())
        bound = {member.instance_id.lower() for member in draft.find(GROUP_MEMBER, of_group(group.group_id))}
        region_key = self._desk.management.region_key
        found = [
            entry.json
            for entry in (table.entries.values() if table is not None else ())
            if entry.live
            and (entry.key in bound or _is_inside(entry, group, region_key))
            and same(region_key, request.argument("regionId"))
            and same(entry.zone_key, request.argument("zoneId"))
        ]
        return Reply(200, b'{"success":true,"data":[' + b",".join(found) + b"]}")

    async def bind(self, request: Request) -> Reply:
        """Bind an instance to a group by hand. 409 when it is bound already."""
        ask = decode(BindAsk, request.body)
        operator = who(self._desk, request, ask, "bind")

        def plan(draft: Draft) -> Row:
            identifier("operatorId", operator.operator_id)
            group = group_at(draft, request.params["groupKey"])
            return member_row(group, _bind(draft, operator, group, ask.instance_id))

        return data(await carry_out(self._desk, plan), 201)

    async def unbind(self, request: Request) -> Reply:
        """Unbind an instance. 404 when it is not bound."""
        operator = who(self._desk, request, optional_body(WriteAsk, request), "unbind")

        def plan(draft: Draft) -> None:
            group = group_at(draft, request.params["groupKey"])
            members.remove_member(draft, operator, group.group_id, request.params["instanceId"].strip())

        await carry_out(self._desk, plan)
        return data(None)

    async def bind_all(self, request: Request) -> Reply:
        """Bind several instances to groups of a service: all of them or none."""
        ask = decode(BindAllAsk, request.body)
        operator, service_id = who(self._desk, request, ask, "bind"), request.params["serviceId"]

        def plan(draft: Draft) -> int:
            bound = items("instances", ask.instances)
            for position, item in enumerate(bound):
                name = f"instances[{position}]"
                text = identifier(f"{name}.groupId", item.group_id)
                group = group_of_service(draft, service_id, text)
                instance_id = identifier(f"{name}.instanceId", item.instance_id)
                _bind(draft, _named(operator, item.operator_id), group, instance_id)
            return len(bound)

        return data(await carry_out(self._desk, plan), 201)

    # Tags

    async def put_tags(self, request: Request) -> Reply:
        """Set tags of a group; those not named stay."""
        ask = decode(TagsAsk, request.body)
        operator = who(self._desk, request, ask, "tag")

        def plan(draft: Draft) -> Row:
            operator.check()
            group = group_at(draft, request.params["groupKey"])
            for position, tag in enumerate(items("tags", ask.tags)):
                key = identifier(f"tags[{position}].key", tag.key)
                if tag.value is None or not tag.value.strip():
                    raise Invalid(f"tags[{position}].value is null or empty")
                members.put_tag(draft, operator, group.group_id, key, tag.value)
            return group_row(draft, group)

        return data(await carry_out(self._desk, plan))

    def tags(self, request: Request) -> Reply:
        """The tags of a group."""
        draft = as_it_is(self._desk)
        with refusals():
            group = group_at(draft, request.params["groupKey"])
        return data(tag_rows(draft.find(GROUP_TAG, of_group(group.group_id))))

    async def delete_tag(self, request: Request) -> Reply:
        """Remove one tag of a group. 404 when it has none of this key."""
        operator = who(self._desk, request, optional_body(WriteAsk, request), "untag")

        def plan(draft: Draft) -> Row:
            group, key = group_at(draft, request.params["groupKey"]), request.params["key"].strip()
            if draft.get(GROUP_TAG, key_of(str(group.group_id), key)) is None:
                raise NotFound(f"the group has no tag {key}")
            members.delete_tags(draft, operator, group_id=group.group_id, tag=key, value=None)
            return group_row(draft, group)

        return data(await carry_out(self._desk, plan))

    def routes(self) -> list[Route]:
        return [
            *route("POST", GROUPS, self.create, "create-group"),
            *route("GET", GROUPS, self.find, "find-groups"),
            *route("GET", f"{GROUPS}/by-id/{{groupId}}", self.by_id, "get-group-by-id"),
            *route("GET", AT_KEY, self.get, "get-group"),
            *route("PATCH", AT_KEY, self.change, "change-group"),
            *route("DELETE", AT_KEY, self.delete, "delete-group"),
            *route("POST", f"{AT_KEY}/pull-out", self.pull_out, "pull-out-group"),
            *route("POST", f"{AT_KEY}/pull-in", self.pull_in, "pull-in-group"),
            *route("GET", f"{AT_KEY}/instances", self.instances, "group-instances"),
            *route("POST", f"{AT_KEY}/instances", self.bind, "bind-instance"),
            *route("DELETE", f"{AT_KEY}/instances/{{path:instanceId}}", self.unbind, "unbind-instance"),
            *route("POST", "/api/routing/services/{serviceId}/instances", self.bind_all, "bind-instances"),
            *route("POST", f"{AT_KEY}/tags", self.put_tags, "put-tags"),
            *route("GET", f"{AT_KEY}/tags", self.tags, "get-tags"),
            *route("DELETE", f"{AT_KEY}/tags/{{path:key}}", self.delete_tag, "delete-tag"),
        ]


def _shown(draft: Draft, group: Group) -> tuple[Row, int]:
    return group_row(draft, group), draft.version(GROUP, group_key(group))


def _bind(draft: Draft, operator: Operator, group: Group, instance_id: str | None) -> GroupMember:
    return members.put_member(draft, operator, group.group_id, instance_id, new=True)


def _named(operator: Operator, operator_id: str | None) -> Operator:
    """The operator, or the one that an item names for itself."""
    return replace(operator, operator_id=operator_id.strip()) if operator_id and operator_id.strip() else operator


def _has_tag(draft: Draft, group: Group, key: str, value: str | None) -> bool:
    """Whether a group has a tag; with any value when none is asked for."""
    tag = draft.get(GROUP_TAG, key_of(str(group.group_id), key.strip()))
    return tag is not None and (value is None or tag.value.lower() == value.strip().lower())


def _is_inside(entry: Entry, group: Group, region_key: str) -> bool:
    place = Place(region_key, entry.service.key, entry.key, entry.ip, entry.zone_key, entry.group_key)
    return lies_in(group.path, place)
