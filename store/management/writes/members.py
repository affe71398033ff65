"""What hangs on groups and services: tags, members bound by hand, and logical instances."""

from collections.abc import Sequence

import msgspec

from ...addresses import canonical_ip
from ..audit import Field
from ..draft import Draft
from ..errors import Conflict, Invalid, NotFound
from ..kinds import (
    GROUP,
    GROUP_MEMBER,
    GROUP_TAG,
    LOGICAL_INSTANCE,
    GroupMember,
    GroupTag,
    LogicalInstance,
    of_group,
)
from ..records import key_of
from .checks import URL_CHARACTERS_MAX, identifier, items, metadata, prose, service_identifier, whole
from .groups import group_of
from .inputs import GroupMemberInput, GroupTagsInput, LogicalInstanceInput
from .operator import Operator, note

# Tags


def upsert_tags(draft: Draft, who: Operator, given: Sequence[GroupTagsInput | None] | None) -> None:
    """Set tags of groups. Blank names and values are dropped; when nothing is left, that is Invalid."""
    who.check()
    count = 0
    for group in items("groupTagsList", given):
        for tag, value in (group.tags or {}).items():
            if tag.strip() and value and value.strip():
                put_tag(draft, who, group.group_id, tag, value)
                count += 1
    if not count:
        raise Invalid("groupTagsList has no tag with a name and a value")


def put_tag(draft: Draft, who: Operator, group_id: int, tag: str, value: str) -> GroupTag:
    """Set one tag of a group."""
    group_of(draft, group_id)
    name = identifier("tag", tag)
    before = draft.get(GROUP_TAG, key_of(str(group_id), name))
    after = draft.put(GROUP_TAG, GroupTag(group_id=group_id, tag=name, value=identifier("value", value, 1024)))
    _note_tag(draft, who, before, after)
    return after


def delete_tags(draft: Draft, who: Operator, *, group_id: int, tag: str | None, value: str | None) -> int:
    """Delete the tags that match everything given; at least one thing must be. Returns how many there were.

    Without a value, those of the group go also where this node has not heard of them. A filter by value means values
    that this node knows.
    """
    who.check()
    wanted_tag, wanted_value = (tag or "").strip().lower(), (value or "").strip().lower()
    if not (group_id or wanted_tag or wanted_value):
        raise Invalid("groupId, tag and value are all blank")
    candidates = draft.find(GROUP_TAG, of_group(group_id)) if group_id else draft.all(GROUP_TAG)
    found = [
        candidate
        for candidate in candidates
        if wanted_tag in ("", candidate.tag.lower()) and wanted_value in ("", candidate.value.lower())
    ]
    for gone in found:
        draft.remove(GROUP_TAG, GROUP_TAG.key(gone))
        _note_tag(draft, who, gone, None)
    if group_id and not wanted_value and not found:
        if wanted_tag:
            draft.remove(GROUP_TAG, key_of(str(group_id), identifier("tag", tag)))
        else:
            draft.remove_unknown(GROUP_TAG, of_group(group_id))
        fields: dict[str, Field] = {"groupId": group_id, "tag": wanted_tag or None}
        note(draft, who, GROUP_TAG.name, _path(draft, group_id), before=None, after=None, fields=fields)
    return len(found)


def _note_tag(draft: Draft, who: Operator, before: GroupTag | None, after: GroupTag | None) -> None:
    tag = after or before
    assert tag is not None
    fields: dict[str, Field] = {"groupId": tag.group_id, "tag": tag.tag, "value": tag.value}
    note(draft, who, GROUP_TAG.name, _path(draft, tag.group_id), before=before, after=after, fields=fields)


# Members


def insert_members(draft: Draft, who: Operator, given: Sequence[GroupMemberInput | None] | None) -> None:
    """Bind instances to groups; those that are bound already stay so."""
    who.require_all()
    for position, member in enumerate(items("groupInstances", given)):
        name = f"groupInstances[{position}].instanceId"
        put_member(draft, who, member.group_id, identifier(name, member.instance_id))


def delete_members(draft: Draft, who: Operator, ids: Sequence[int | None] | None) -> None:
    """Unbind by id of the binding. Unknown ids are no error."""
    who.require_all()
    for id_ in items("groupInstanceIds", ids):
        member = draft.remove_id(GROUP_MEMBER, id_)
        if member is not None:
            _note_member(draft, who, member, None)
        else:
            note(draft, who, GROUP_MEMBER.name, str(id_), before=None, after=None, fields={"groupId": 0})


def put_member(
    draft: Draft, who: Operator, group_id: int, instance_id: str | None, *, new: bool = False
) -> GroupMember:
    """Bind one instance to a group. Raises Conflict when it must be `new` and is not."""
    who.check()
    group_of(draft, group_id)
    name = identifier("instanceId", instance_id)
    before = draft.get(GROUP_MEMBER, key_of(str(group_id), name))
    if before is not None and new:
        raise Conflict(f"the instance {name} is bound to the group already")
    wanted = GroupMember(group_id=group_id, instance_id=name, operator_id=who.operator_id)
    after = draft.put(GROUP_MEMBER, before or wanted)
    _note_member(draft, who, before, after)
    return after


def remove_member(draft: Draft, who: Operator, group_id: int, instance_id: str) -> None:
    """Unbind one instance. Raises NotFound when it is not bound."""
    who.check()
    before = draft.remove(GROUP_MEMBER, key_of(str(group_id), instance_id))
    if before is None:
        raise NotFound(f"the instance {instance_id} is not bound to the group")
    _note_member(draft, who, before, None)


def set_members(draft: Draft, who: Operator, group_id: int, instance_ids: Sequence[str]) -> None:
    """Bind exactly these instances to a group, and no others, of which this node may not know yet."""
    wanted = {instance_id.lower() for instance_id in instance_ids}
    draft.remove_unknown(GROUP_MEMBER, of_group(group_id))
    for member in draft.find(GROUP_MEMBER, of_group(group_id)):
        if member.instance_id.lower() not in wanted:
            remove_member(draft, who, group_id, member.instance_id)
    for instance_id in instance_ids:
        before = draft.get(GROUP_MEMBER, key_of(str(group_id), instance_id))
        if before is None:
            put_member(draft, who, group_id, instance_id)
        else:
            draft.put(GROUP_MEMBER, before)


def _note_member(draft: Draft, who: Operator, before: GroupMember | None, after: GroupMember | None) -> None:
    member = after or before
    assert member is not None
    fields: dict[str, Field] = {"groupId": member.group_id, "instanceId": member.instance_id}
    target = f"{_path(draft, member.group_id)}/{member.instance_id}"
    note(draft, who, GROUP_MEMBER.name, target, before=before, after=after, fields=fields)


def _path(draft: Draft, group_id: int) -> str:
    group = draft.by_id(GROUP, group_id)
    return str(group_id) if group is None else group.path


# Logical instances


def upsert_logical_instances(draft: Draft, who: Operator, given: Sequence[LogicalInstanceInput | None] | None) -> None:
    """Create or replace static instances."""
    who.require_all()
    for position, instance in enumerate(items("serviceInstances", given)):
        wanted = _checked(instance, f"serviceInstances[{position}].")
        before = draft.get(LOGICAL_INSTANCE, LOGICAL_INSTANCE.key(wanted))
        after = draft.put(LOGICAL_INSTANCE, wanted)
        _note_logical(draft, who, before, after)


def delete_logical_instances(draft: Draft, who: Operator, ids: Sequence[int | None] | None) -> None:
    """Remove static instances by id. Unknown ids are no error."""
    who.require_all()
    for id_ in items("serviceInstanceIds", ids):
        before = draft.remove_id(LOGICAL_INSTANCE, id_)
        if before is not None:
            _note_logical(draft, who, before, None)
        else:
            note(draft, who, LOGICAL_INSTANCE.name, str(id_), before=None, after=None, fields={"port": 0})


def _checked(given: LogicalInstanceInput, prefix: str) -> LogicalInstance:
    return LogicalInstance(
        service_id=service_identifier(prefix + "serviceId", given.service_id),
        instance_id=identifier(prefix + "instanceId", given.instance_id),
        ip=canonical_ip(identifier(prefix + "ip", given.ip)),
        machine_name=identifier(prefix + "machineName", given.machine_name),
        metadata=metadata(prefix + "metadata", given.metadata),
        port=whole(prefix + "port", given.port),
        protocol=identifier(prefix + "protocol", given.protocol),
        region_id=identifier(prefix + "regionId", given.region_id),
        zone_id=identifier(prefix + "zoneId", given.zone_id),
        health_check_url=identifier(prefix + "healthCheckUrl", given.health_check_url, URL_CHARACTERS_MAX),
        url=identifier(prefix + "url", given.url, URL_CHARACTERS_MAX),
        group_id=identifier(prefix + "groupId", given.group_id),
        description=prose(prefix + "description", given.description),
    )


def _note_logical(draft: Draft, who: Operator, before: LogicalInstance | None, after: LogicalInstance | None) -> None:
    row = after or before
    assert row is not None
    fields: dict[str, Field] = {
        "serviceId": row.service_id,
        "instanceId": row.instance_id,
        "groupId": row.group_id,
        "ip": row.ip,
        "machineName": row.machine_name,
        "metadata": msgspec.json.encode(row.metadata).decode(),
        "port": row.port,
        "protocol": row.protocol,
        "regionId": row.region_id,
        "zoneId": row.zone_id,
        "healthCheckUrl": row.health_check_url,
        "url": row.url,
    }
    target = f"{row.service_id}/{row.instance_id}"
    note(draft, who, LOGICAL_INSTANCE.name, target, before=before, after=after, fields=fields)
