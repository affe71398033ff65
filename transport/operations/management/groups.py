"""Groups, tags, operations on groups, members, and logical instances: RPC endpoints 56 to 68 and 70 to 76."""

from collections.abc import Sequence

from artemis.store.management.draft import Draft
from artemis.store.management.kinds import (
    GROUP,
    GROUP_MEMBER,
    GROUP_OPERATION,
    GROUP_TAG,
    LOGICAL_INSTANCE,
    Group,
    GroupOperation,
    GroupTag,
    of_group,
    of_service,
)
from artemis.store.management.records import key_of
from artemis.store.management.writes import groups, members
from artemis.store.management.writes.inputs import (
    GroupInput,
    GroupMemberInput,
    GroupOperationsInput,
    GroupTagsInput,
    LogicalInstanceInput,
)

from ...requests import Reply, Request, Route
from ..answers import answer, encode_json
from ..decoding import decode
from .desk import Ask, ContextAsk, Desk, PlaceAsk, post, same
from .reach import Target, check_region, reach_of


class GroupsAsk(ContextAsk, kw_only=True):
    groups: list[GroupInput | None] | None = None


class GroupIdsAsk(ContextAsk, kw_only=True):
    group_ids: list[int | None] | None = None


class TagsAsk(ContextAsk, kw_only=True):
    group_tags_list: list[GroupTagsInput | None] | None = None


class DeleteTagsAsk(ContextAsk, kw_only=True):
    group_id: int = 0
    tag: str | None = None
    value: str | None = None


class OperateGroupsAsk(ContextAsk, kw_only=True):
    group_operations_list: list[GroupOperationsInput | None] | None = None
    operation_complete: bool = False


class OperateGroupAsk(ContextAsk, kw_only=True):
    group_id: int = 0
    """Not looked at: a group is named by the rest."""
    service_id: str | None = None
    region_id: str | None = None
    zone_id: str | None = None
    name: str | None = None
    app_id: str | None = None
    description: str | None = None
    status: str | None = None
    operation_complete: bool = False


class MembersAsk(ContextAsk, kw_only=True):
    group_instances: list[GroupMemberInput | None] | None = None


class MemberIdsAsk(ContextAsk, kw_only=True):
    group_instance_ids: list[int | None] | None = None


class LogicalAsk(ContextAsk, kw_only=True):
    service_instances: list[LogicalInstanceInput | None] | None = None


class LogicalIdsAsk(ContextAsk, kw_only=True):
    service_instance_ids: list[int | None] | None = None


class GroupFilter(Ask, kw_only=True):
    """`groupId` is ignored by contract where groups are looked for."""

    group_id: int = 0
    service_id: str | None = None
    region_id: str | None = None
    zone_id: str | None = None
    name: str | None = None
    app_id: str | None = None
    status: str | None = None
    instance_id: str | None = None


class GroupHandlers:
    """The handlers."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    # Groups

    async def insert_groups(self, request: Request) -> Reply:
        """Create groups, or change existing ones."""
        return await self._upsert_groups(request, "insert groups failed.")

    async def update_groups(self, request: Request) -> Reply:
        """The same."""
        return await self._upsert_groups(request, "update groups failed.")

    async def _upsert_groups(self, request: Request, text: str) -> Reply:
        ask = decode(GroupsAsk, request.body)
        who = self._desk.who(request, ask)
        return await self._desk.write(lambda draft: groups.upsert_groups(draft, who, ask.groups), text)

    async def delete_groups(self, request: Request) -> Reply:
        """Delete groups by id; they come back as they were when they are inserted again."""
        ask = decode(GroupIdsAsk, request.body)
        who = self._desk.who(request, ask)
        return await self._desk.write(
            lambda draft: groups.delete_groups(draft, who, ask.group_ids), "delete group failed."
        )

    def get_all_groups(self, request: Request) -> Reply:
        """Every group."""
        decode(PlaceAsk, request.body)
        return self._groups(self._desk.table(GROUP).all())

    def get_groups(self, request: Request) -> Reply:
        """Groups by filter."""
        refused = self._desk.limited("get.groups", "groups")
        if refused is not None:
            return refused
        wanted = decode(GroupFilter, request.body)
        table = self._desk.table(GROUP)
        service_id = (wanted.service_id or "").strip()
        found = [
            group
            for group in (table.find(of_service(service_id)) if service_id else table.all())
            if same(group.region_id, wanted.region_id)
            and same(group.zone_id, wanted.zone_id)
            and same(group.name, wanted.name)
            and same(group.app_id, wanted.app_id)
            and same(group.status, wanted.status)
        ]
        return self._groups(found)

    def _groups(self, found: Sequence[Group]) -> Reply:
        return answer(b'"groups":' + encode_json([group_row(group) for group in found if not group.deleted]))

    # Tags

    async def insert_group_tags(self, request: Request) -> Reply:
        """Set tags of groups."""
        return await self._upsert_tags(request, "insert group tag failed.")

    async def update_group_tags(self, request: Request) -> Reply:
        """The same."""
        return await self._upsert_tags(request, "update group tag failed.")

    async def _upsert_tags(self, request: Request, text: str) -> Reply:
        ask = decode(TagsAsk, request.body)
        who = self._desk.who(request, ask)
        return await self._desk.write(lambda draft: members.upsert_tags(draft, who, ask.group_tags_list), text)

    async def delete_group_tags(self, request: Request) -> Reply:
        """Delete tags by filter."""
        ask = decode(DeleteTagsAsk, request.body)
        who = self._desk.who(request, ask)
        return await self._desk.write(
            lambda draft: members.delete_tags(draft, who, group_id=ask.group_id, tag=ask.tag, value=ask.value),
            "delete group-tags failed.",
        )

    def get_all_group_tags(self, request: Request) -> Reply:
        """The tags of all groups that have any."""
        decode(PlaceAsk, request.body)
        return answer(b'"allGroupTags":' + encode_json(tag_rows(self._desk.table(GROUP_TAG).all())))

    def get_group_tags(self, request: Request) -> Reply:
        """The tags of one group; null when it has none."""
        wanted = decode(GroupFilter, request.body)
        found = tag_rows(self._desk.table(GROUP_TAG).find(of_group(wanted.group_id)))
        return answer(b'"groupTags":' + encode_json(found[0] if found else None))

    # Operations on groups

    async def operate_group_operations(self, request: Request) -> Reply:
        """Pull groups out by id, or in when the operation is complete."""
        ask = decode(OperateGroupsAsk, request.body)
        who, complete = self._desk.who(request, ask), ask.operation_complete

        def plan(draft: Draft) -> list[Target]:
            groups.operate_groups(draft, who, ask.group_operations_list, complete=complete)
            ids = dict.fromkeys(each.group_id for each in ask.group_operations_list or () if each is not None)
            found = [draft.by_id(GROUP, group_id) for group_id in ids]
            return [self._target(group, complete=complete) for group in found if group is not None]

        return await self._desk.write(plan, "operate group operation failed.", self._tell)

    async def operate_group_operation(self, request: Request) -> Reply:
        """Pull one group out by its key, creating it if need be, or in when the operation is complete."""
        ask = decode(OperateGroupAsk, request.body)
        who = self._desk.who(request, ask)
        group = GroupInput(
            service_id=ask.service_id,
            region_id=ask.region_id,
            zone_id=ask.zone_id,
            name=ask.name,
            app_id=ask.app_id,
            description=ask.description,
            status=ask.status,
        )

        def plan(draft: Draft) -> list[Target]:
            operated = groups.operate_group_by_key(draft, who, group, complete=ask.operation_complete)
            return [self._target(operated, complete=ask.operation_complete)]

        return await self._desk.write(plan, "operate group operation failed.", self._tell)

    def _target(self, group: Group, *, complete: bool) -> Target:
        check_region(self._desk, group.region_id, known=complete)
        return Target.of_group(group)

    async def _tell(self, targets: Sequence[Target]) -> Reply:
        return (await reach_of(self._desk, targets)).reply()

    def get_all_group_operations(self, request: Request) -> Reply:
        """Every group that is out."""
        decode(PlaceAsk, request.body)
        rows = operation_rows(self._desk.table(GROUP_OPERATION).all())
        return answer(b'"allGroupOperations":' + encode_json(rows))

    def get_group_operations(self, request: Request) -> Reply:
        """The operations on one group; null when there are none."""
        wanted = decode(GroupFilter, request.body)
        found = operation_rows(self._desk.table(GROUP_OPERATION).find(of_group(wanted.group_id)))
        return answer(b'"groupOperations":' + encode_json(found[0] if found else None))

    # Members

    async def insert_group_instances(self, request: Request) -> Reply:
        """Bind instances to groups by hand."""
        ask = decode(MembersAsk, request.body)
        who = self._desk.who(request, ask)
        return await self._desk.write(
            lambda draft: members.insert_members(draft, who, ask.group_instances), "insert group instances failed."
        )

    async def delete_group_instances(self, request: Request) -> Reply:
        """Unbind by id."""
        ask = decode(MemberIdsAsk, request.body)
        who = self._desk.who(request, ask)
        return await self._desk.write(
            lambda draft: members.delete_members(draft, who, ask.group_instance_ids),
            "delete group instances failed.",
        )

    def get_group_instances(self, request: Request) -> Reply:
        """Members by filter."""
        wanted = decode(GroupFilter, request.body)
        table = self._desk.table(GROUP_MEMBER)
        rows = [
            {
                "groupId": member.group_id,
                "id": GROUP_MEMBER.id_of(GROUP_MEMBER.key(member)),
                "instanceId": member.instance_id,
            }
            for member in (table.find(of_group(wanted.group_id)) if wanted.group_id else table.all())
            if same(member.instance_id, wanted.instance_id)
        ]
        return answer(b'"groupInstances":' + encode_json(rows))

    # Logical instances

    async def insert_service_instances(self, request: Request) -> Reply:
        """Create or replace static instances."""
        ask = decode(LogicalAsk, request.body)
        who = self._desk.who(request, ask)
        return await self._desk.write(
            lambda draft: members.upsert_logical_instances(draft, who, ask.service_instances),
            "insert service instances failed.",
        )

    async def delete_service_instances(self, request: Request) -> Reply:
        """Remove static instances by id."""
        ask = decode(LogicalIdsAsk, request.body)
        who = self._desk.who(request, ask)
        return await self._desk.write(
            lambda draft: members.delete_logical_instances(draft, who, ask.service_instance_ids),
            "delete service instances failed.",
        )

    def get_service_instances(self, request: Request) -> Reply:
        """Static instances by filter."""
        wanted = decode(GroupFilter, request.body)
        rows = [
            {
                "description": row.description,
                "groupId": row.group_id,
                "healthCheckUrl": row.health_check_url,
                "id": LOGICAL_INSTANCE.id_of(key_of(row.service_id, row.instance_id)),
                "instanceId": row.instance_id,
                "ip": row.ip,
                "machineName": row.machine_name,
                "metadata": row.metadata,
                "port": row.port,
                "protocol": row.protocol,
                "regionId": row.region_id,
                "serviceId": row.service_id,
                "url": row.url,
                "zoneId": row.zone_id,
            }
            for row in self._desk.table(LOGICAL_INSTANCE).all()
            if same(row.service_id, wanted.service_id) and same(row.instance_id, wanted.instance_id)
        ]
        return answer(b'"serviceInstances":' + encode_json(rows))

    def routes(self) -> list[Route]:
        return [
            post("group/insert-groups", self.insert_groups),
            post("group/update-groups", self.update_groups),
            post("group/delete-groups", self.delete_groups),
            post("group/get-all-groups", self.get_all_groups),
            post("group/get-groups", self.get_groups),
            post("group/insert-group-tags", self.insert_group_tags),
            post("group/update-group-tags", self.update_group_tags),
            post("group/delete-group-tags", self.delete_group_tags),
            post("group/get-all-group-tags", self.get_all_group_tags),
            post("group/get-group-tags", self.get_group_tags),
            post("group/operate-group-operations", self.operate_group_operations),
            post("group/get-all-group-operations", self.get_all_group_operations),
            post("group/get-group-operations", self.get_group_operations),
            post("group/operate-group-operation", self.operate_group_operation),
            post("group/insert-group-instances", self.insert_group_instances),
            post("group/delete-group-instances", self.delete_group_instances),
            post("group/get-group-instances", self.get_group_instances),
            post("group/insert-service-instances", self.insert_service_instances),
            post("group/delete-service-instances", self.delete_service_instances),
            post("group/get-service-instances", self.get_service_instances),
        ]


def group_row(group: Group) -> dict[str, object]:
    """The contract's Group."""
    return {
        "appId": group.app_id,
        "description": group.description,
        "groupId": group.group_id,
        "groupKey": group.path,
        "metadata": None,
        "name": group.name,
        "regionId": group.region_id,
        "serviceId": group.service_id,
        "status": group.status,
        "zoneId": group.zone_id,
    }


def tag_rows(tags: Sequence[GroupTag]) -> list[dict[str, object]]:
    """The contract's GroupTags: one row per group."""
    by_group: dict[int, dict[str, str]] = {}
    for tag in tags:
        by_group.setdefault(tag.group_id, {})[tag.tag] = tag.value
    return [{"groupId": group_id, "tags": found} for group_id, found in by_group.items()]


def operation_rows(operations: Sequence[GroupOperation]) -> list[dict[str, object]]:
    """The contract's GroupOperations: one row per group."""
    by_group: dict[int, list[str]] = {}
    for operation in operations:
        by_group.setdefault(operation.group_id, []).append(operation.operation)
    return [{"groupId": group_id, "operations": sorted(found)} for group_id, found in by_group.items()]
