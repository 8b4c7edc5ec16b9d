"""The client finds at one replica what it wrote through another, a second later at most."""

import base64
import secrets
import time

import pytest

from support.openmetadata import FAMILIES, client, plain_config
from support.postgresql import PostgreSql
from support.strongroom import Strongroom

# Within this time a replica knows what another has written.
SOON_S = 1.1


@pytest.fixture
def replicas():
    """Two servers on one PostgreSQL, with one key ring."""
    database = PostgreSql("strongroom", "strongroom-password", ())
    servers = []
    try:
        database.give_to("strongroom")
        settings = {
            "STRONGROOM_DATABASE_URL": f"postgres://strongroom@127.0.0.1:{database.port}/{database.database}",
            "STRONGROOM_DATABASE_PASSWORD": "strongroom-password",
            "STRONGROOM_KEY_RING": base64.b64encode(secrets.token_bytes(32)).decode(),
        }
        servers = [Strongroom(settings), Strongroom(settings)]
        yield servers
    finally:
        for server in servers:
            server.close()
        database.close()


def test_the_client_works_with_replicas_in_turn(replicas):
    family = FAMILIES["database"]
    token = replicas[0].bot("admin-bot", "admin")
    one, other = (client(server.url, token) for server in replicas)
    password = lambda read: plain_config(read)["authType"]["password"]
    request = lambda secret: family.request(
        "shop",
        "Mysql",
        {"type": "Mysql", "username": "reader", "hostPort": "db:3306", "authType": {"password": secret}},
    )

    created = one.create_or_update(request("canary-1"))
    assert password(other.get_by_name(family.service, "shop")) == "canary-1"
    other.create_or_update(request("canary-2"))
    time.sleep(SOON_S)
    assert password(one.get_by_name(family.service, "shop")) == "canary-2"
    assert one.list_entities(family.service).total == other.list_entities(family.service).total == 1
    one.delete(family.service, created.id)
    time.sleep(SOON_S)
    assert other.get_by_name(family.service, "shop") is None
    other.delete(family.service, created.id, hard_delete=True)
    time.sleep(SOON_S)
    assert one.get_by_name(family.service, "shop", include="all") is None


def test_a_token_that_one_replica_revoked_is_refused_by_the_other(replicas):
    worker = replicas[0].bot("worker-bot", "worker")
    path = "/services/databaseServices"
    assert [server.get(path, worker).status_code for server in replicas] == [200, 200]

    token_id = next(line.split()[0] for line in replicas[1].run("token", "list").splitlines() if "worker-bot" in line)
    replicas[1].run("token", "revoke", token_id)
    time.sleep(SOON_S)

    assert [server.get(path, worker).status_code for server in replicas] == [401, 401]
