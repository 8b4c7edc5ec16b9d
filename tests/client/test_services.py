"""The client creates, reads, changes, deletes and restores services."""

import pytest
from metadata.generated.schema.metadataIngestion.workflow import Source
from metadata.ingestion.ometa.client import APIError
from metadata.ingestion.ometa.mixins.server_mixin import VersionNotFoundException

from support.openmetadata import FAMILIES, client, plain_config

# One connection per family that is worked through all of a service's life: type, config, where its secret is.
LIVES = {
    "database": (
        "Mysql",
        {"type": "Mysql", "username": "reader", "hostPort": "db:3306", "authType": {"password": "canary-1"}},
        ["authType", "password"],
    ),
    "dashboard": (
        "Superset",
        {
            "type": "Superset",
            "hostPort": "http://superset:8088",
            "connection": {"provider": "db", "username": "reader", "password": "canary-2"},
        },
        ["connection", "password"],
    ),
    "messaging": (
        "Kafka",
        {"type": "Kafka", "bootstrapServers": "kafka:9092", "saslUsername": "reader", "saslPassword": "canary-3"},
        ["saslPassword"],
    ),
}

NAMES = [
    "plain",
    "prod.shop",
    "prod.shop.eu",
    "with space",
    "with/slash",
    "Größe-данные-数据库",
    "100%",
    "per%2Fcent",
    "question?and#hash",
    "quote'd",
    "a+b&c=d",
    "x" * 256,
]


def value_at(config: dict, path: list[str]):
    for step in path:
        config = config[step]
    return config


@pytest.fixture(params=LIVES)
def life(request):
    """A family, and a function that makes a request to create a service of it."""
    family = FAMILIES[request.param]
    service_type, config, secret = LIVES[request.param]
    return family, lambda name, **fields: family.request(name, service_type, config, **fields), config, secret


def test_the_client_and_the_server_agree_on_a_version(admin):
    assert admin.health_check()
    admin.validate_versions()


def test_a_service_comes_back_as_it_was_created(admin, life):
    family, request, config, secret = life

    created = admin.create_or_update(request("shop"))

    for read in (
        admin.get_by_name(family.service, "shop"),
        admin.get_by_name(family.service, "shop", fields=["*"]),
        admin.get_by_id(family.service, created.id),
    ):
        assert (read.id, read.name.root) == (created.id, "shop")
        assert value_at(plain_config(read), secret) == value_at(config, secret)


def test_creating_twice_is_a_conflict_and_updating_twice_changes_nothing(admin, life):
    family, request, _, _ = life
    created = admin.create(request("shop"))

    again = admin.create_or_update(request("shop"))
    with pytest.raises(APIError) as refused:
        admin.create(request("shop"))

    assert refused.value.status_code == 409
    assert (again.id, again.version) == (created.id, created.version)


def test_get_service_or_create_creates_once(admin):
    database = FAMILIES["database"]
    service_type, config, secret = LIVES["database"]
    source = Source(
        type="mysql", serviceName="shop", serviceConnection={"config": config}, sourceConfig={"config": {}}
    )

    created = admin.get_service_or_create(database.service, source)
    found = admin.get_service_or_create(database.service, source)

    assert created.serviceType.value == service_type
    assert found.id == created.id
    assert value_at(plain_config(found), secret) == value_at(config, secret)


@pytest.mark.parametrize("name", NAMES)
def test_a_service_is_found_by_its_name_and_by_its_fully_qualified_name(admin, life, name):
    family, request, _, _ = life

    created = admin.create_or_update(request(name))

    assert created.name.root == name
    assert admin.get_by_name(family.service, name).id == created.id
    assert admin.get_by_name(family.service, created.fullyQualifiedName.root).id == created.id
    assert [each.name.root for each in admin.list_all_entities(family.service)] == [name]


def test_what_does_not_exist_is_none(admin, life):
    family, _, _, _ = life

    assert admin.get_by_name(family.service, "nowhere") is None
    assert admin.get_by_name(family.service, "nowhere", fields=["*"], include="all") is None
    assert admin.get_by_id(family.service, "00000000-0000-4000-8000-000000000000") is None


def test_lists_are_paged_ordered_and_masked(admin, life):
    family, request, _, secret = life
    names = [f"service-{number:02}" for number in range(25)]
    for name in reversed(names):
        admin.create_or_update(request(name))

    first = admin.list_entities(family.service, limit=10)
    second = admin.list_entities(family.service, limit=10, after=first.after)
    back = admin.list_entities(family.service, limit=10, before=second.before)
    everything = list(admin.list_all_entities(family.service, limit=7))

    assert first.total == len(names)
    assert first.before is None
    assert [each.name.root for each in first.entities] == names[:10]
    assert [each.name.root for each in second.entities] == names[10:20]
    assert [each.name.root for each in back.entities] == names[:10]
    assert [each.name.root for each in everything] == names
    assert {value_at(plain_config(each), secret) for each in everything} == {"*********"}
    assert len(admin.list_services(family.service)) == 10


def test_a_description_is_patched_and_the_secret_stays(admin, life):
    family, request, config, secret = life
    created = admin.create_or_update(request("shop"))

    patched = admin.patch_description(family.service, created, "What is sold.", skip_on_failure=False)

    assert patched.description.root == "What is sold."
    stored = admin.get_by_name(family.service, "shop")
    assert stored.version.root == pytest.approx(created.version.root + 0.1)
    assert value_at(plain_config(stored), secret) == value_at(config, secret)


def test_the_mask_that_a_patch_sends_keeps_the_stored_secret(admin, life):
    # The client sends the whole connection, with ten stars for each secret, where its source had none.
    family, request, config, secret = life
    created = admin.create_or_update(request("shop"))
    without_connection = created.model_copy(deep=True, update={"connection": None})

    patched = admin.patch(family.service, without_connection, created, skip_on_failure=False)

    assert patched is not None
    stored = admin.get_by_name(family.service, "shop")
    assert value_at(plain_config(stored), secret) == value_at(config, secret)


def test_a_mask_where_nothing_is_stored_is_refused_by_its_path(admin):
    database = FAMILIES["database"]
    bare = {"type": "Mysql", "username": "reader", "hostPort": "db:3306", "authType": {}}
    before = admin.create_or_update(database.request("shop", "Mysql", bare))
    after = before.model_copy(deep=True)
    after.connection.config.authType = {"password": "**********"}

    with pytest.raises(RuntimeError, match=r"connection\.config\.authType\.password"):
        admin.patch(database.service, before, after, skip_on_failure=False)


def test_a_host_is_patched_and_the_password_stays(admin):
    database = FAMILIES["database"]
    service_type, config, secret = LIVES["database"]
    before = admin.create_or_update(database.request("shop", service_type, config))
    after = before.model_copy(deep=True)
    after.connection.config.hostPort = "replica:3306"

    admin.patch(database.service, before, after, skip_on_failure=False)

    stored = plain_config(admin.get_by_name(database.service, "shop"))
    assert stored["hostPort"] == "replica:3306"
    assert value_at(stored, secret) == "canary-1"


def test_a_patch_of_an_older_version_is_refused(admin, life):
    family, request, _, _ = life
    old = admin.create_or_update(request("shop"))
    admin.patch_description(family.service, old, "Newer.", skip_on_failure=False)
    after = old.model_copy(deep=True, update={"displayName": "Shop"})

    with pytest.raises(APIError) as refused:
        admin.patch(family.service, old, after, if_match=f'W/"{old.version.root}"')

    assert refused.value.status_code == 412


def test_a_changed_password_is_stored_as_a_new_version(admin):
    database = FAMILIES["database"]
    _, config, secret = LIVES["database"]
    created = admin.create_or_update(database.request("shop", "Mysql", config))

    changed = {**config, "authType": {"password": "canary-changed"}}
    admin.create_or_update(database.request("shop", "Mysql", changed))

    stored = admin.get_by_name(database.service, "shop")
    assert value_at(plain_config(stored), secret) == "canary-changed"
    assert stored.version.root == pytest.approx(created.version.root + 0.1)
    versions = admin.list_versions(created.id, database.service)
    assert len(versions.versions) == 2
    assert "canary" not in versions.model_dump_json()


def test_a_soft_deleted_service_comes_back_with_its_secret(admin, life):
    family, request, config, secret = life
    created = admin.create_or_update(request("shop"))

    admin.delete(family.service, created.id)
    assert admin.get_by_name(family.service, "shop") is None
    assert admin.get_by_name(family.service, "shop", fields=["*"], include="all").deleted
    assert list(admin.list_all_entities(family.service)) == []
    assert len(list(admin.list_all_entities(family.service, include="deleted"))) == 1
    restored = admin.restore(family.service, created.id)

    assert restored.id == created.id
    stored = admin.get_by_name(family.service, "shop")
    assert value_at(plain_config(stored), secret) == value_at(config, secret)


def test_a_hard_deleted_service_is_gone_and_its_name_is_free(admin, life):
    family, request, config, secret = life
    created = admin.create_or_update(request("shop"))

    admin.delete(family.service, created.id, recursive=True, hard_delete=True)

    assert admin.get_by_name(family.service, "shop", fields=["*"], include="all") is None
    assert admin.restore(family.service, created.id) is None
    again = admin.create(request("shop"))
    assert again.id != created.id
    assert value_at(plain_config(admin.get_by_name(family.service, "shop")), secret) == value_at(config, secret)


def test_the_asynchronous_forms_of_delete_and_restore_work(admin, life):
    family, request, _, _ = life
    created = admin.create_or_update(request("shop"))

    assert "jobId" in admin.delete_async(family.service, created.id, recursive=True)
    assert admin.get_by_name(family.service, "shop") is None
    assert "jobId" in admin.restore_async(family.service, created.id)

    assert admin.get_by_name(family.service, "shop").id == created.id


def test_everything_is_still_there_after_a_restart(server, admin, life):
    family, request, config, secret = life
    created = admin.create_or_update(request("shop"))

    server.restart()
    token = admin.config.securityConfig.jwtToken.get_secret_value()
    again = client(server.url, token).get_by_name(family.service, "shop")

    assert again.id == created.id
    assert value_at(plain_config(again), secret) == value_at(config, secret)


def test_a_worker_creates_a_service_that_does_not_exist_and_changes_none_that_does(admin, worker, life):
    family, request, config, secret = life

    created = worker.create_or_update(request("shop"))
    worker.create_or_update(request("shop", description="Pointed elsewhere."))

    stored = admin.get_by_name(family.service, "shop")
    assert stored.id == created.id
    assert stored.version == created.version
    assert stored.description is None
    assert value_at(plain_config(stored), secret) == value_at(config, secret)


def test_only_an_admin_changes_deletes_and_restores(admin, worker, bystander, life):
    family, request, _, _ = life
    created = admin.create_or_update(request("shop"))

    for caller in (worker, bystander):
        with pytest.raises(RuntimeError, match="403|allowed|admin"):
            caller.patch_description(family.service, created, "Mine.", skip_on_failure=False)
        with pytest.raises(APIError) as refused:
            caller.delete(family.service, created.id)
        assert refused.value.status_code == 403
    admin.delete(family.service, created.id)
    assert worker.restore(family.service, created.id) is None

    assert admin.get_by_name(family.service, "shop") is None


def test_others_see_services_without_connections(admin, worker, bystander, life):
    family, request, _, _ = life
    admin.create_or_update(request("shop"))

    for caller in (worker, bystander):
        assert caller.get_by_name(family.service, "shop").connection is None
        assert caller.get_by_name(family.service, "shop", fields=["*"]).connection is None
        assert [each.connection for each in caller.list_all_entities(family.service)] == [None]


def test_a_wrong_token_is_refused(server):
    with pytest.raises(VersionNotFoundException, match="HTTP 401"):
        client(server.url, "not-a-token")
