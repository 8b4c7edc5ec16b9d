"""Secrets in the stores of AWS: workers resolve them with the unmodified client, and admins keep them there with it."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.moto import REGION, Moto, ParameterStore, SecretsManager
from support.openmetadata import FAMILIES, client, ingest, plain_config, workflow
from support.sources import TABLES, Source
from support.strongroom import CANARY, Strongroom
from support.wiretap import Wiretap

DATABASE = FAMILIES["database"]
PATH = "/services/databaseServices/name/shop"
WAIT_S = 30

# A connection with two secrets; nobody connects with it.
TWO_SECRETS = {
    "type": "Mysql",
    "username": "reader",
    "hostPort": "db:3306",
    "authType": {"password": "canary-password"},
    "sslConfig": {"caCertificate": "canary-certificate"},
}
NAMES = {
    "/openmetadata/database/shop/authtype/password": "canary-password",
    "/openmetadata/database/shop/sslconfig/cacertificate": "canary-certificate",
}


@pytest.fixture(scope="module")
def moto():
    server = Moto()
    yield server
    server.close()


@pytest.fixture(params=[SecretsManager, ParameterStore], ids=lambda store: store.kind)
def store(request, moto):
    """An empty store, outside of the server."""
    moto.empty()
    return request.param(moto)


class Callers:
    """One server, and a token for each kind of caller."""

    def __init__(self, server: Strongroom) -> None:
        self.server = server
        self.admin_token = server.bot("admin-bot", "admin")
        self.worker_token = server.bot("worker-bot", "worker")
        self.tokens_of_others = [server.bot("other-bot", "none"), server.user("bystander")]

    def create(self, name: str, config: dict) -> None:
        """Makes a database service as an admin."""
        client(self.server.url, self.admin_token).create(DATABASE.request(name, config["type"], config))

    def use(self, store, writes_per_second: str = "100") -> None:
        """Starts the server anew with this store, which takes so many writes a second."""
        parameters = {"endpointUrl": store.moto.url, "writesPerSecond": writes_per_second}
        self.server.configure({"secretsManagerConfiguration": {"parameters": parameters}})
        keys = {"OM_SM_ACCESS_KEY_ID": "AKIAOFTHESERVER", "OM_SM_ACCESS_KEY": "canary-key-of-the-server"}
        self.server.restart({"SECRET_MANAGER": store.kind, "OM_SM_REGION": REGION, **keys})

    def move_to(self, store, secrets: int) -> None:
        """Starts the server anew with this store, and waits until it has moved so many secrets there."""
        self.use(store)
        move = self.server.wait_for_move(self.admin_token)
        assert (move["moved"], move["setAside"]) == (secrets, 0), move

    def expect_nothing_for_others(self) -> None:
        """Fails if anyone but admins and workers sees a connection."""
        for token in self.tokens_of_others:
            answer = self.server.get(PATH, token)
            assert answer.status_code == 200, answer.text
            assert answer.headers["strongroom-view"] == "hidden"
            assert "strongroom-view-reason" not in answer.headers
            assert "connection" not in answer.json()

    def expect_hidden(self) -> None:
        """Fails unless a worker sees no connection yet, and is told why."""
        answer = self.server.get(PATH, self.worker_token)
        assert answer.status_code == 200, answer.text
        assert answer.headers["strongroom-view"] == "hidden"
        assert "moved" in answer.headers["strongroom-view-reason"]
        assert "connection" not in answer.json()
        self.expect_no_plaintext()

    def expect_references(self) -> None:
        """Fails unless a worker sees the names of both secrets in their store, and no more of them."""
        answer = self.server.get(PATH, self.worker_token)
        assert answer.status_code == 200, answer.text
        assert answer.headers["strongroom-view"] == "references"
        assert "strongroom-view-reason" not in answer.headers
        assert references_of(answer.json()) == [f"secret:{name}" for name in NAMES]
        self.expect_no_plaintext()

    def expect_no_plaintext(self) -> None:
        """Fails if any way to read the service shows a secret to a worker."""
        service = f"/services/databaseServices/{self.server.get(PATH, self.worker_token).json()['id']}"
        reads = [PATH, service, "/services/databaseServices", f"{service}/versions", f"{service}/versions/0.1"]
        for read in [*reads, f"{PATH}?fields=*&include=all"]:
            answer = self.server.get(read, self.worker_token)
            assert answer.status_code == 200, answer.text
            assert CANARY not in f"{answer.headers} {answer.text}"
        refused = self.server.get(f"{PATH}?view=plaintext", self.worker_token)
        assert refused.status_code == 403, refused.text
        assert CANARY not in refused.text


def references_of(service: dict) -> list[str]:
    config = service["connection"]["config"]
    return [config["authType"]["password"], config["sslConfig"]["caCertificate"]]


def wait_for_first_secret(store) -> None:
    deadline = time.monotonic() + WAIT_S
    while not store.names():
        assert time.monotonic() < deadline, "no secret has come to the store"
        time.sleep(0.1)


@pytest.fixture
def callers(server):
    return Callers(server)


def test_an_ingestion_resolves_the_references_of_its_service(callers, store, folder, postgresql_source, mariadb_source):
    sources = {"shop-postgresql": postgresql_source, "shop-mariadb": mariadb_source}
    for name, source in sources.items():
        callers.create(name, source.config)
    callers.move_to(store, secrets=len(sources))

    run = lambda name: tapped_ingestion(callers, store, folder / name, name, sources[name])
    with ThreadPoolExecutor() as pool:
        list(pool.map(run, sources))


def test_a_service_that_an_ingestion_creates_has_its_secret_in_the_store(callers, moto, folder, mariadb_source):
    moto.empty()
    store = SecretsManager(moto)
    callers.use(store)

    tapped_ingestion(callers, store, folder, "shop", mariadb_source, mariadb_source.config)

    assert store.tags("/openmetadata/database/shop/authtype/password")["strongroom:service"] == "shop"


def tapped_ingestion(callers: Callers, store, folder, name: str, source: Source, config: dict | None = None) -> None:
    """Ingests as a worker, by name only if there is no `config`; looks at all that the server told the worker."""
    wiretap = Wiretap(callers.server.url)
    file = workflow(wiretap.url, callers.worker_token, source.kind, name, config)
    file["workflowConfig"]["openMetadataServerConfig"]["secretsManagerProvider"] = store.kind

    folder.mkdir(exist_ok=True)
    run = ingest(file, folder, store.moto.environment())
    wiretap.close()

    run.expect_all_read(TABLES)
    assert CANARY not in run.output, run.output
    secret = f"/openmetadata/database/{name}/authtype/password"
    assert store.value(secret) == source.password
    path = "/api/v1/services/databaseServices"
    found = [answer for answer in wiretap.answers_to(f"GET {path}/name/{name}") if "\n200 " in answer]
    services = found + wiretap.answers_to(f"PUT {path}")
    assert services and all(f'"secret:{secret}"' in answer for answer in services), services
    assert wiretap.answers_to("PUT /api/v1/tables/bulk")
    assert wiretap.answers_with(CANARY) == []


def test_a_worker_sees_references_once_every_secret_of_the_service_is_in_the_store(callers, store):
    callers.create("shop", TWO_SECRETS)
    callers.expect_hidden()
    callers.expect_nothing_for_others()

    # The second secret would have to wait for ten seconds.
    callers.use(store, writes_per_second="0.1")
    wait_for_first_secret(store)
    callers.expect_hidden()
    callers.expect_nothing_for_others()
    assert len(store.names()) == 1

    callers.use(store)
    callers.server.wait_for_move(callers.admin_token)
    callers.expect_references()
    callers.expect_nothing_for_others()


def test_secrets_move_to_the_store_and_out_of_the_database(callers, store):
    callers.create("shop", TWO_SECRETS)
    assert store.names() == []
    assert callers.server.files_with(CANARY) == []

    callers.move_to(store, secrets=len(NAMES))

    assert sorted(store.names()) == sorted(NAMES)
    assert {name: store.value(name) for name in NAMES} == NAMES
    for name in NAMES:
        tags = store.tags(name)
        assert (tags["strongroom:cluster"], tags["strongroom:service"]) == ("openmetadata", "shop"), tags
    assert callers.server.files_with(CANARY) == []


def test_an_admin_keeps_secrets_in_the_store_with_the_client(callers, store):
    callers.use(store)
    admin = client(callers.server.url, callers.admin_token)
    stored = lambda: plain_config(admin.get_by_name(DATABASE.service, "shop"))
    values = lambda: {name: store.value(name) for name in NAMES}

    created = admin.create(DATABASE.request("shop", "Mysql", TWO_SECRETS))
    assert stored().items() >= TWO_SECRETS.items()
    assert values() == NAMES
    callers.expect_references()

    # Nothing is in memory then: what is read comes from the store.
    callers.server.restart()
    admin = client(callers.server.url, callers.admin_token)
    assert stored().items() >= TWO_SECRETS.items()

    masked = {
        **TWO_SECRETS,
        "hostPort": "put:3306",
        "authType": {"password": "*" * 9},
        "sslConfig": {"caCertificate": "*" * 9},
    }
    admin.create_or_update(DATABASE.request("shop", "Mysql", masked))
    assert stored().items() >= {**TWO_SECRETS, "hostPort": "put:3306"}.items()

    # The client writes ten asterisks in place of every secret.
    before = admin.get_by_name(DATABASE.service, "shop")
    after = before.model_copy(deep=True)
    after.connection.config.hostPort = "patch:3306"
    admin.patch(DATABASE.service, before, after, skip_on_failure=False)
    assert stored().items() >= {**TWO_SECRETS, "hostPort": "patch:3306"}.items()
    assert values() == NAMES

    changed = {**masked, "authType": {"password": "canary-changed"}}
    admin.create_or_update(DATABASE.request("shop", "Mysql", changed))
    assert stored()["authType"] == changed["authType"]
    assert list(values().values()) == ["canary-changed", "canary-certificate"]

    admin.delete(DATABASE.service, created.id)
    assert None not in values().values()
    admin.delete(DATABASE.service, created.id, hard_delete=True)
    assert set(values().values()) == {None}

    admin.create(DATABASE.request("shop", "Mysql", TWO_SECRETS))
    assert stored().items() >= TWO_SECRETS.items()
    assert values() == NAMES
