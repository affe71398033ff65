"""How tolerantly bodies are read: section 1.1 of the RPC API, "JSON reading", and the names of the REST API."""

import json
from typing import Any

import pytest

from .building import REST_SUCCESS, SUCCESS, instance, instances_of, place, register
from .nodes import NodeProcess
from .wire import REST, RPC, ask, encoded, get, post, rpc

REGISTER = f"{RPC}/registry/register.json"


def renamed(document: Any, rename: Any) -> Any:
    """The document with other names of its properties; metadata keeps its own."""
    if isinstance(document, dict):
        return {
            rename(name): value if name == "metadata" else renamed(value, rename) for name, value in document.items()
        }
    return [renamed(item, rename) for item in document] if isinstance(document, list) else document


def snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


@pytest.mark.parametrize("rename", [str.upper, str.lower, str.title, str.swapcase], ids=lambda rename: rename.__name__)
@pytest.mark.parametrize("prefix", [RPC, REST])
async def test_names_of_properties_match_regardless_of_case(
    node: NodeProcess, name: str, prefix: str, rename: Any
) -> None:
    body = renamed({"instances": [instance(name)]}, rename)
    answer = await post(node, f"{prefix}/registry/register.json", body)
    assert answer["responseStatus"] == (REST_SUCCESS if prefix == REST else SUCCESS)
    assert await instances_of(node, name) == [instance(name)]
    asked = renamed(place(discoveryConfigs=[{"serviceId": name}]), rename)
    (service,) = (await post(node, f"{prefix}/discovery/lookup.json", asked))["services"]
    assert service["instances"] == [instance(name)]


async def test_the_rest_api_takes_snake_case_too(node: NodeProcess, name: str) -> None:
    body = renamed({"instances": [instance(name)]}, snake)
    assert "region_id" in body["instances"][0]
    assert (await post(node, f"{REST}/registry/register", body))["responseStatus"] == REST_SUCCESS
    assert await instances_of(node, name) == [instance(name)]
    for query in (f"service_id={name}", f"ServiceID={name}", f"SERVICE_ID={name}"):
        assert (await get(node, f"{REST}/discovery/service?{query}"))["service"]["instances"] == [instance(name)]


async def test_unknown_properties_are_ignored_wherever_they_are(node: NodeProcess, name: str) -> None:
    noisy = instance(name, appId="100", nested={"a": [1, {"b": None}]}, registered=True)
    body = {"instances": [noisy], "clientVersion": "2.0.3", "extra": [[]]}
    assert (await rpc(node, "registry/register", body))["responseStatus"] == SUCCESS
    assert await instances_of(node, name) == [instance(name)]


@pytest.mark.parametrize(
    ("sent", "read"), [(None, 0), ("8080", 8080), (" 8080 ", 8080), ("", 0), (8080.0, 8080), (8080.9, 8080), (-1, -1)]
)
async def test_numbers_are_read_from_what_looks_like_one(node: NodeProcess, name: str, sent: object, read: int) -> None:
    await register(node, instance(name, port=sent))
    assert await instances_of(node, name) == [instance(name, port=read)]


@pytest.mark.parametrize("port", ["eighty", "80a", [80], {"port": 80}, "0x50", 1e300])
async def test_what_is_no_number_is_400_and_says_where(node: NodeProcess, name: str, port: object) -> None:
    answer = await ask(node, "POST", REGISTER, encoded({"instances": [instance(name, port=port)]}))
    assert answer.status == 400
    assert "port" in answer.message


async def test_a_missing_number_is_zero(node: NodeProcess, name: str) -> None:
    sent = instance(name)
    del sent["port"]
    await register(node, sent)
    assert await instances_of(node, name) == [instance(name, port=0)]


@pytest.mark.parametrize(("sent", "read"), [(5, "5"), (1.5, "1.5"), (True, "true"), (False, "false"), (-7, "-7")])
async def test_numbers_and_flags_are_read_as_texts_where_texts_are_wanted(
    node: NodeProcess, name: str, sent: object, read: str
) -> None:
    await register(node, instance(name, machineName=sent, metadata={"k": sent}))
    assert await instances_of(node, name) == [instance(name, machineName=read, metadata={"k": read})]


@pytest.mark.parametrize("field", ["url", "zoneId", "ip"])
@pytest.mark.parametrize("value", [["x"], {"x": "y"}])
async def test_what_is_no_text_is_400_and_says_where(node: NodeProcess, name: str, field: str, value: object) -> None:
    answer = await ask(node, "POST", REGISTER, encoded({"instances": [{**instance(name), field: value}]}))
    assert answer.status == 400
    assert f"instances[0].{field}" in answer.message


@pytest.mark.parametrize(
    "body",
    [
        {"instances": {}},
        {"instances": "all"},
        {"instances": [[]]},
        {"instances": ["i1"]},
        {"instances": [{"metadata": []}]},
        [{"instances": []}],
    ],
)
async def test_objects_and_arrays_are_not_taken_for_each_other(node: NodeProcess, body: object) -> None:
    answer = await ask(node, "POST", REGISTER, encoded(body))
    assert answer.status == 400
    assert answer.message


@pytest.mark.parametrize("version", [None, "17", 17.0])
async def test_a_version_is_read_tolerantly(node: NodeProcess, version: object) -> None:
    answer = await rpc(node, "discovery/services-delta", {"version": version})
    assert answer["responseStatus"]["errorCode"] == "data-not-found"


async def test_texts_of_every_language_come_back_as_they_were_sent(node: NodeProcess, name: str) -> None:
    odd = instance(name, "ünïcode-実例-😀", metadata={"schlüssel": "значение", "quote": 'a"b\\c/d'}, machineName="日本")
    await register(node, odd)
    assert await instances_of(node, name) == [odd]
    escaped = json.dumps({"instances": [{**odd, "instanceId": "ü2"}]}, ensure_ascii=True).encode()
    assert (await ask(node, "POST", REGISTER, escaped)).status == 200
    raw = json.dumps({"instances": [{**odd, "instanceId": "ü3"}]}, ensure_ascii=False).encode()
    assert (await ask(node, "POST", REGISTER, raw)).status == 200
    assert len(await instances_of(node, name)) == 3


async def test_of_a_property_that_is_there_twice_the_last_one_counts(node: NodeProcess, name: str) -> None:
    text = encoded({"instances": [instance(name)]}).replace(b'"port": 8090', b'"port": 1, "port": 2')
    assert (await ask(node, "POST", REGISTER, text)).status == 200
    assert [found["port"] for found in await instances_of(node, name)] == [2]
