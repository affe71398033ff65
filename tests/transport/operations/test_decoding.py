"""Reading JSON as the contract does: strict when it fits, tolerant when it does not, clear when it cannot be read."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artemis.store.instances import Instance
from artemis.transport.errors import ClientError
from artemis.transport.operations.decoding import decode
from artemis.transport.operations.registry import InstancesRequest

PLAIN = b'{"instances":[{"regionId":"lab","serviceId":"Svc.A","instanceId":"i1","port":8080,"metadata":{"k":"v"}}]}'


def one(body: bytes) -> Instance:
    (instance,) = decode(InstancesRequest, body).instances or [None]
    assert instance is not None
    return instance


def refusal(body: bytes) -> str:
    with pytest.raises(ClientError) as refused:
        decode(InstancesRequest, body)
    assert refused.value.status == 400
    return refused.value.message


def test_what_clients_send_is_read_as_it_stands() -> None:
    assert one(PLAIN) == Instance(region_id="lab", service_id="Svc.A", instance_id="i1", port=8080, metadata={"k": "v"})


@pytest.mark.parametrize("name", ["regionId", "RegionID", "REGIONID", "region_id", "regionid"])
def test_property_names_match_regardless_of_case_and_underscores(name: str) -> None:
    assert one(b'{"INSTANCES":[{"%b":"lab"}]}' % name.encode()).region_id == "lab"


def test_unknown_properties_are_dropped() -> None:
    assert one(b'{"instances":[{"serviceId":"s","colour":{"deep":[1,2]}}],"x":null}').service_id == "s"


@pytest.mark.parametrize(
    ("text", "port"), [("8080", 8080), ('"8080"', 8080), ('" 80 "', 80), ("null", 0), ('""', 0), ("80.0", 80)]
)
def test_numbers_are_read_from_what_looks_like_one(text: str, port: int) -> None:
    assert one(f'{{"instances":[{{"port":{text}}}]}}'.encode()).port == port


@pytest.mark.parametrize(("text", "value"), [("12", "12"), ("true", "true"), ("1.5", "1.5"), ("null", None)])
def test_texts_are_made_of_numbers_and_flags(text: str, value: str | None) -> None:
    body = f'{{"instances":[{{"zoneId":{text},"metadata":{{"k":{text}}}}}]}}'.encode()
    assert one(body).zone_id == value
    assert one(body).metadata == {"k": value}


def test_a_null_among_instances_is_kept_as_such() -> None:
    assert decode(InstancesRequest, b'{"instances":[null],"colour":1}').instances == [None]


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        (b"", "empty"),
        (b"null", "null"),
        (b"[]", "the body must be an object"),
        (b"{", "not valid JSON"),
        (b'{"instances":{}}', "instances must be an array"),
        (b'{"instances":[{"port":"many"}]}', "instances[0].port must be a whole number"),
        (b'{"instances":[{"metadata":[]}]}', "instances[0].metadata must be an object"),
        (b'{"instances":[{"port":"+-+5"}]}', "instances[0].port must be a whole number"),
        (b'{"instances":[7]}', "instances[0] must be an object"),
        (b'{"instances":[{"serviceId":{}}]}', "instances[0].serviceId must be a text"),
        (b"\xff\xfe", "not valid JSON"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_place_and_the_reason(body: bytes, hint: str) -> None:
    assert hint in refusal(body)


@pytest.mark.parametrize("item", [b"{}", b"null", b'{"x":1}', b'{"Port":1}'])
def test_a_body_of_very_many_values_is_refused_before_it_is_read(item: bytes) -> None:
    count = 250_000
    assert "more than" in refusal(b'{"instances":[' + b",".join([item] * count) + b"]}")


def test_what_this_node_asked_for_itself_may_hold_any_number_of_values() -> None:
    body = b'{"Instances":[' + b",".join([b"{}"] * 250_000) + b"]}"
    assert len(decode(InstancesRequest, body, any_size=True).instances or ()) == 250_000


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(Instance.__struct_encode_fields__, JSON)))
def test_any_json_is_either_read_or_refused(fields: dict[str, object]) -> None:
    body = msgspec.json.encode({"instances": [fields]})
    try:
        instance = one(body)
    except ClientError as error:
        status = error.status
    else:
        status = 200
        assert isinstance(instance.port, int)
        assert instance.metadata is None or all(isinstance(key, str) for key in instance.metadata)
    assert status in (200, 400)
