"""The Python SDK: register instances and keep them alive, find instances, and watch them. For programs on Trio.

async with open_registry_client("http://127.0.0.1:8080") as registry:
    await registry.register(Instance(region_id="default", service_id="orders", instance_id="orders-1",
                                     url="http://10.0.0.1:9000/"))
    ...  # serve; heartbeats go out by themselves, and the end of the block unregisters

async with open_discovery_client("http://127.0.0.1:8080") as discovery:
    service = await discovery.service("orders")
    async with discovery.watch("orders") as updates:
        async for update in updates:
            print(update.kind, [instance.url for instance in update.instances])
"""

from artemis.store.instances import Instance as Instance

from .discovery import DiscoveryClient as DiscoveryClient
from .discovery import open_discovery_client as open_discovery_client
from .errors import ArtemisError as ArtemisError
from .errors import Incomprehensible as Incomprehensible
from .errors import Refused as Refused
from .errors import Unreachable as Unreachable
from .messages import Service as Service
from .picture import Change as Change
from .picture import ServiceUpdate as ServiceUpdate
from .registration import RegistryClient as RegistryClient
from .registration import open_registry_client as open_registry_client
