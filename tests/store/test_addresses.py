"""Addresses are compared as addresses, however they are spelled."""

import pytest

from artemis.store.addresses import address_of, canonical_ip, host_address, network_of


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("10.0.0.1", "10.0.0.1"),
        (" 10.0.0.1 ", "10.0.0.1"),
        ("2001:DB8:0:0::2", "2001:db8::2"),
        ("2001:0db8:0000:0000:0000:0000:0000:0002", "2001:db8::2"),
        ("[2001:db8::2]", "2001:db8::2"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("::FFFF:0a00:1", "10.0.0.1"),
        ("0:0:0:0:0:0:0:1", "::1"),
        ("FE80::1%eth0", "fe80::1%eth0"),
        ("orders-host", "orders-host"),
        ("10.0.0.01", "10.0.0.01"),
        ("not:an:address", "not:an:address"),
        ("", ""),
        ("  ", ""),
    ],
)
def test_an_address_has_one_spelling(text: str, canonical: str) -> None:
    assert canonical_ip(text) == canonical
    assert canonical_ip(canonical) == canonical


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://10.0.0.1:8080/orders", "10.0.0.1"),
        ("http://10.0.0.1", "10.0.0.1"),
        ("10.0.0.1:8080/orders", "10.0.0.1"),
        ("tcp://[2001:DB8::0:2]:9000", "2001:db8::2"),
        ("[2001:db8::2]:9000", "2001:db8::2"),
        ("http://[::ffff:10.0.0.1]/", "10.0.0.1"),
        ("http://[fe80::1%25eth0]:80/", "fe80::1%eth0"),
        ("http://user:10.0.0.9@10.0.0.1:80/?to=http://10.0.0.3", "10.0.0.1"),
        ("http://orders.example:8080/10.0.0.1", ""),
        ("http://10.0.0.1.example/", ""),
        ("http://[2001:db8::2", ""),
        ("http://[not]/", ""),
        ("u", ""),
        ("", ""),
    ],
)
def test_the_host_of_a_url_counts_when_it_is_an_address(url: str, host: str) -> None:
    assert host_address(url) == host


@pytest.mark.parametrize(
    ("network", "inside", "outside"),
    [
        ("10.0.0.0/8", "::ffff:10.1.1.1", "11.0.0.1"),
        ("10.1.2.3/8", "10.200.0.1", "11.0.0.1"),
        ("::ffff:10.0.0.0/104", "10.1.1.1", "11.0.0.1"),
        ("2001:DB8:0::/48", "2001:db8::2", "2001:db9::2"),
        ("2001:DB8:0:0::2", "2001:db8::2", "2001:db8::3"),
        ("::/0", "2001:db8::2", "10.0.0.1"),
    ],
)
def test_an_address_is_found_in_a_network_in_any_spelling(network: str, inside: str, outside: str) -> None:
    found = network_of(network)
    assert found is not None
    assert address_of(inside) in found
    assert address_of(outside) not in found


@pytest.mark.parametrize("text", ["", "host", "10.0.0.1/33", "10.0.0.300"])
def test_what_is_no_network_is_none(text: str) -> None:
    assert network_of(text) is None
