"""Every connection type, in every shape of its secrets, through the client's own models."""

import json

import pytest

from support.openmetadata import FAMILIES, client, plain_config
from support.strongroom import REPOSITORY, Strongroom

FACTS = json.loads((REPOSITORY / "tests" / "fixtures" / "connection-type-facts.json").read_text())
TYPES = [(family, service_type) for family, types in FACTS.items() for service_type in types]
MASK = "*********"


@pytest.fixture(scope="module")
def server():
    """One server for all types."""
    server = Strongroom()
    yield server
    server.close()


@pytest.fixture(scope="module")
def admin(server):
    """The client of an admin bot."""
    return client(server.url, server.bot("admin-bot", "admin"))


def differences(sent, stored, path="config"):
    """Where the stored connection has something else than was sent; what the server adds is no difference."""
    if isinstance(sent, dict) and isinstance(stored, dict):
        for key, value in sent.items():
            yield from differences(value, stored.get(key), f"{path}.{key}")
    elif isinstance(sent, list) and isinstance(stored, list) and len(sent) == len(stored):
        for index, (one, other) in enumerate(zip(sent, stored)):
            yield from differences(one, other, f"{path}[{index}]")
    elif sent != stored:
        yield f"{path}: {sent!r} became {stored!r}"


def test_all_families_and_types_are_tried():
    assert set(FACTS) == set(FAMILIES)
    assert len(TYPES) == 144
    assert all(FACTS[family][service_type]["examples"] for family, service_type in TYPES)


@pytest.mark.parametrize(("family_name", "service_type"), TYPES)
def test_a_connection_is_stored_and_decoded_again(admin, family_name, service_type):
    family = FAMILIES[family_name]
    for number, example in enumerate(FACTS[family_name][service_type]["examples"]):
        request = family.request(f"{service_type} {number}", service_type, example)

        created = admin.create_or_update(request)
        stored = admin.get_by_name(family.service, f"{service_type} {number}")
        listed = admin.list_entities(family.service, limit=1000).entities

        assert stored.serviceType.value == service_type
        assert type(stored.connection.config) is type(request.connection.config)
        assert list(differences(plain_config(request), plain_config(stored))) == []
        masked = next(each for each in listed if each.id == created.id)
        assert "canary" not in masked.model_dump_json(mask_secrets=False)
        assert type(masked.connection.config) is type(request.connection.config)
        admin.delete(family.service, created.id, hard_delete=True)


@pytest.mark.parametrize(("family_name", "service_type"), TYPES)
def test_a_service_without_a_connection_is_stored(admin, family_name, service_type):
    family = FAMILIES[family_name]

    created = admin.create_or_update(family.request(f"bare {service_type}", service_type, None))

    assert created.connection is None
    assert admin.get_by_name(family.service, created.fullyQualifiedName.root).id == created.id
    admin.delete(family.service, created.id, hard_delete=True)
    assert admin.get_by_name(family.service, created.fullyQualifiedName.root) is None
