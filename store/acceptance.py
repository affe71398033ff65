"""What a row of another node must be like to be taken over. Nodes of a cluster trust each other, not each other's bugs.

Only what identity needs is looked at, and sizes that nobody could store or show: a row under the key of another one, or
in another spelling, could never be found, renewed or removed, and would be told to the next node. Fields that this
version does not know are no reason to refuse a row: they are kept and passed on.
"""

from typing import Final

import msgspec

from .instances import ALL_SERVICES, decode_instance

ID_CHARACTERS_MAX: Final = 1000
"""Of a service or an instance: as many as any node may allow its clients."""
VALUE_BYTES_MAX: Final = 4 * 1024 * 1024
"""Of the JSON of a row. No client can send so much in one body."""
NUMBER_BITS: Final = 63
VERSION_BITS: Final = 96
VERSIONS: Final = ("created", "published")
"""Fields of records that hold versions."""


def instance_problem(full_key: str, version: int, json: bytes | None, *, region_key: str) -> str | None:
    """Why this cannot be an instance of the region, or the tombstone of one; None when it can."""
    service_key, separator, instance_key = full_key.partition("\n")
    if not separator or not _is_key(service_key) or not _is_key(instance_key):
        return "the key is not a service and an instance in lower case"
    if service_key == ALL_SERVICES:
        return f"{ALL_SERVICES} means all services"
    if version <= 0:
        return "it has no version"
    if json is None:
        return None
    if len(json) > VALUE_BYTES_MAX:
        return f"it has {len(json)} bytes, at most {VALUE_BYTES_MAX} are allowed"
    try:
        instance = decode_instance(json)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        return f"not an instance: {error}"
    if ((instance.service_id or "").lower(), (instance.instance_id or "").lower()) != (service_key, instance_key):
        return f"the key is not that of {instance.text()}"
    if (instance.region_id or "").lower() != region_key:
        return f"it is of the region {instance.region_id}"
    if not -(2**31) <= instance.port < 2**31:
        return f"the port {instance.port} is out of range"
    return None


def _is_key(text: str) -> bool:
    return 0 < len(text) <= ID_CHARACTERS_MAX and text == text.lower() and text.isprintable() and not text.isspace()


def number_problem(value: msgspec.Struct) -> str | None:
    """Which number of a value nobody could show: clients have 64 bits. Versions have more, and are not shown."""
    for name in value.__struct_fields__:
        number = getattr(value, name)
        bits = VERSION_BITS if name in VERSIONS else NUMBER_BITS
        if isinstance(number, int) and number.bit_length() > bits:
            return f"{name} has more than {bits} bits"
    return None
