"""Groups of a service: the groups themselves, and operations on them."""

from collections.abc import Sequence

import msgspec

from ..draft import Draft
from ..errors import Conflict, NotFound
from ..kinds import (
    ACTIVE,
    GROUP,
    GROUP_MEMBER,
    GROUP_OPERATION,
    GROUP_TAG,
    INACTIVE,
    ROUTE_RULE_GROUP,
    Group,
    GroupOperation,
    group_key,
    of_group,
)
from ..records import key_of
from .checks import identifier, items, one_of, prose, service_identifier
from .inputs import GroupInput, GroupOperationsInput
from .operations import ends
from .operator import Operator, note

GROUP_TYPES = ("physical", "logical")


def group_of(draft: Draft, group_id: int) -> Group:
    """The group of an id that exists and is not deleted. Raises NotFound."""
    group = draft.by_id(GROUP, group_id)
    if group is None or group.deleted:
        raise NotFound(f"there is no group {group_id}")
    return group


def upsert_groups(draft: Draft, who: Operator, groups: Sequence[GroupInput | None] | None) -> list[Group]:
    """Create groups, or set app, description and status of existing ones; deleted ones come back."""
    who.require_all()
    return [put_group(draft, who, group, f"groups[{i}]") for i, group in enumerate(items("groups", groups))]


def put_group(draft: Draft, who: Operator, given: GroupInput, name: str) -> Group:
    """Create or change one group, which `name` calls in messages."""
    wanted = checked_group(given, name)
    before = draft.get(GROUP, group_key(wanted))
    if before is not None:
        wanted = msgspec.structs.replace(wanted, group_type=before.group_type, metadata=before.metadata)
    return store_group(draft, who, wanted)


def ensure_group(draft: Draft, who: Operator, given: GroupInput, name: str) -> Group:
    """The group as it is, undeleted if need be; created as given if there is none."""
    wanted = checked_group(given, name)
    before = draft.get(GROUP, group_key(wanted))
    return store_group(draft, who, wanted if before is None else msgspec.structs.replace(before, deleted=False))


def delete_groups(draft: Draft, who: Operator, group_ids: Sequence[int | None] | None) -> None:
    """Delete groups by id. What hangs on them stays, and counts again when they come back. Unknown ids are no error."""
    who.require_all()
    for group_id in items("groupIds", group_ids):
        group = draft.by_id(GROUP, group_id)
        if group is not None:
            store_group(draft, who, msgspec.structs.replace(group, deleted=True))
        else:
            draft.remove_id(GROUP, group_id)
            note(draft, who, GROUP.name, str(group_id), before=None, after=None, fields={})


def create_group(draft: Draft, who: Operator, given: GroupInput, group_type: str | None = None) -> Group:
    """Create one group. Raises Conflict when there is one of this key."""
    who.check()
    given.app_id = given.app_id or given.service_id
    given.status = checked_status(given.status) or ACTIVE
    wanted = checked_group(given, "")
    existing = draft.get(GROUP, group_key(wanted))
    if existing is not None and not existing.deleted:
        raise Conflict(f"the group {wanted.path} exists already")
    return store_group(
        draft, who, msgspec.structs.replace(wanted, group_type=checked_group_type(group_type) or "physical")
    )


def change_group(
    draft: Draft,
    who: Operator,
    group_id: int,
    *,
    description: str | None = None,
    status: str | None = None,
    group_type: str | None = None,
) -> Group:
    """Change what is given, and leave the rest."""
    who.check()
    group = group_of(draft, group_id)
    changed = msgspec.structs.replace(
        group,
        description=group.description if description is None else prose("description", description),
        status=checked_status(status) or group.status,
        group_type=checked_group_type(group_type) or group.group_type,
    )
    return store_group(draft, who, changed)


def remove_group(draft: Draft, who: Operator, group_id: int) -> Group:
    """Remove a group with its tags, members, operations and links to rules."""
    who.check()
    group = group_of(draft, group_id)
    term = of_group(group_id)
    draft.remove_all(GROUP_TAG, term)
    draft.remove_all(GROUP_MEMBER, term)
    draft.remove_all(GROUP_OPERATION, term)
    draft.remove_all(ROUTE_RULE_GROUP, term)
    draft.remove(GROUP, group_key(group))
    note(draft, who, GROUP.name, group.path, before=group, after=None, fields=_fields(group))
    return group


def operate_groups(
    draft: Draft, who: Operator, given: Sequence[GroupOperationsInput | None] | None, *, complete: bool
) -> None:
    """Add operations to groups by id, or end them. An empty list does nothing."""
    who.require_all()
    for position, group in enumerate(items("groupOperationsList", given) if given else []):
        name = f"groupOperationsList[{position}].operations"
        for operation in items(name, group.operations):
            operate_group(draft, who, group.group_id, identifier(name, operation), complete=complete)


def operate_group_by_key(draft: Draft, who: Operator, given: GroupInput, *, complete: bool) -> Group:
    """Add the operator's operation to a group that may have to be created, or end it."""
    who.require_all()
    parts = (given.service_id, given.region_id, given.zone_id, given.name)
    group = draft.get(GROUP, key_of(*((part or "").strip() for part in parts)))
    if group is None or group.deleted:
        group = put_group(draft, who, given, "")
    operate_group(draft, who, group.group_id, who.operation.strip(), complete=complete)
    return group


def pull_in_group(draft: Draft, who: Operator, group_id: int) -> int:
    """End every operation on a group. Returns how many there were."""
    who.check()
    found = draft.find(GROUP_OPERATION, of_group(group_id))
    draft.remove_unknown(GROUP_OPERATION, of_group(group_id))
    for operation, noted in ends(found, who):
        operate_group(draft, who, group_id, operation, complete=True, noted=noted)
    return len(found)


def operate_group(
    draft: Draft, who: Operator, group_id: int, operation: str, *, complete: bool, noted: str | None = None
) -> None:
    """Add an operation to a group (everything in it is out), or end it."""
    before = draft.get(GROUP_OPERATION, key_of(str(group_id), operation))
    after: GroupOperation | None = None
    if complete:
        draft.remove(GROUP_OPERATION, key_of(str(group_id), operation))
    else:
        if before is None:
            group_of(draft, group_id)
        after = draft.put(
            GROUP_OPERATION,
            before
            or GroupOperation(
                group_id=group_id,
                operation=operation,
                operator_id=who.operator_id,
                token=who.token,
                reason=who.reason,
            ),
        )
    group = draft.by_id(GROUP, group_id)
    note(
        draft,
        who,
        GROUP_OPERATION.name,
        str(group_id) if group is None else group.path,
        before=before,
        after=after,
        fields={"groupId": group_id},
        operation=noted or operation,
        complete=complete,
    )


def checked_group(given: GroupInput, name: str) -> Group:
    """The group in an input, every field of which must be there but the description."""
    prefix = f"{name}." if name else ""
    return Group(
        service_id=service_identifier(prefix + "serviceId", given.service_id),
        region_id=identifier(prefix + "regionId", given.region_id),
        zone_id=identifier(prefix + "zoneId", given.zone_id),
        name=identifier(prefix + "name", given.name),
        app_id=identifier(prefix + "appId", given.app_id),
        description=prose(prefix + "description", given.description),
        status=identifier(prefix + "status", given.status),
    )


def store_group(draft: Draft, who: Operator, group: Group) -> Group:
    """Store a group as it is, checked before."""
    before = draft.get(GROUP, group_key(group))
    after = draft.put(GROUP, group)
    note(
        draft,
        who,
        GROUP.name,
        after.path,
        before=None if before is None or before.deleted else before,
        after=None if after.deleted else after,
        fields=_fields(after),
    )
    return after


def _fields(group: Group) -> dict[str, str | int | bool | None]:
    return {
        "serviceId": group.service_id,
        "regionId": group.region_id,
        "zoneId": group.zone_id,
        "name": group.name,
        "appId": group.app_id,
        "status": group.status,
    }


def checked_status(status: str | None, name: str = "status") -> str | None:
    """The status in lower case; None stays None."""
    return None if status is None else one_of(name, status, (ACTIVE, INACTIVE))


def checked_group_type(group_type: str | None, name: str = "groupType") -> str | None:
    """The type in lower case; None stays None."""
    return None if group_type is None else one_of(name, group_type, GROUP_TYPES)
