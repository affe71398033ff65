"""Groups, what hangs on them, and logical instances, as subjects of decisions."""

from collections.abc import Iterator

from artemis.store.management.kinds import GROUP, GROUP_MEMBER, GROUP_OPERATION, GROUP_TAG, LOGICAL_INSTANCE
from artemis.store.management.records import id_of, key_of

from .scenario import REGION
from .subjects import (
    GROUP_OPERATED,
    PULL_OUT,
    ZONE,
    Request,
    Subject,
    exists,
    field,
    group_id,
    group_key,
    group_row,
    insert_group,
    manage,
)


def of_groups(service: str) -> Iterator[Subject]:
    yield field(
        "the described group says",
        GROUP,
        group_key(service, "described"),
        lambda wanted: [insert_group(service, "described", description=str(wanted))],
        lambda group: int(group.description),
    )
    yield field(
        "the owned group has the app",
        GROUP,
        group_key(service, "owned"),
        lambda wanted: [insert_group(service, "owned", appId=str(wanted))],
        lambda group: int(group.app_id),
    )
    yield field(
        "the switched group is active:",
        GROUP,
        group_key(service, "switched"),
        lambda on: [insert_group(service, "switched", status="active" if on else "inactive")],
        lambda group: bool(group.is_active),
        is_switch=True,
    )
    mortal = group_id(service, "mortal")
    yield exists(
        "the mortal group is there:",
        GROUP,
        group_key(service, "mortal"),
        lambda on: [
            insert_group(service, "mortal") if on else manage("group/delete-groups", groupIds=[mortal]),
        ],
    )
    operated = group_id(service, GROUP_OPERATED)
    yield exists(
        "the operated group is out:",
        GROUP_OPERATION,
        key_of(str(operated), PULL_OUT),
        lambda out: [
            manage("group/operate-group-operation", **group_row(service, GROUP_OPERATED), operationComplete=not out)
        ],
    )


def what_hangs_on_groups(service: str) -> Iterator[Subject]:
    name = "tagged"
    group, id_ = insert_group(service, name), group_id(service, name)
    yield field(
        "the tag says",
        GROUP_TAG,
        key_of(str(id_), "number"),
        lambda wanted: [
            group,
            manage("group/update-group-tags", groupTagsList=[{"groupId": id_, "tags": {"number": str(wanted)}}]),
        ],
        lambda tag: int(tag.value),
    )
    tags = [{"groupId": id_, "tags": {"mortal": "yes"}}]
    yield exists(
        "the mortal tag is there:",
        GROUP_TAG,
        key_of(str(id_), "mortal"),
        lambda on: (
            [group, manage("group/insert-group-tags", groupTagsList=tags)]
            if on
            else [manage("group/delete-group-tags", groupId=id_, tag="mortal")]
        ),
    )
    member = key_of(str(id_), "member")
    bound = [{"groupId": id_, "instanceId": "member"}]
    yield exists(
        "the member is there:",
        GROUP_MEMBER,
        member,
        lambda on: (
            [group, manage("group/insert-group-instances", groupInstances=bound)]
            if on
            else [manage("group/delete-group-instances", groupInstanceIds=[id_of(GROUP_MEMBER.name, member)])]
        ),
    )


def of_logical_instances(service: str) -> Iterator[Subject]:
    def insert(name: str, number: int) -> Request:
        row = {"serviceId": service, "regionId": REGION, "zoneId": ZONE, "groupId": "g", "instanceId": name}
        row |= {"ip": "10.9.0.1", "machineName": "m", "protocol": "http", "healthCheckUrl": "h", "url": str(number)}
        return manage("group/insert-service-instances", serviceInstances=[{**row, "metadata": {}, "port": 1}])

    yield field(
        "the url of the logical instance is",
        LOGICAL_INSTANCE,
        key_of(service, "l1"),
        lambda wanted: [insert("l1", wanted)],
        lambda row: int(row.url),
    )
    mortal = key_of(service, "l2")
    ids = [id_of(LOGICAL_INSTANCE.name, mortal)]
    yield exists(
        "the mortal logical instance is there:",
        LOGICAL_INSTANCE,
        mortal,
        lambda on: [insert("l2", 1) if on else manage("group/delete-service-instances", serviceInstanceIds=ids)],
    )
