"""The unmodified OpenMetadata client: as a library, and as the command `metadata ingest`."""

import importlib
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from metadata.generated.schema.entity.services.connections.metadata.openMetadataConnection import (
    AuthProvider,
    OpenMetadataConnection,
)
from metadata.generated.schema.security.client.openMetadataJWTClientConfig import OpenMetadataJWTClientConfig
from metadata.ingestion.ometa.ometa_api import OpenMetadata
from metadata.ingestion.ometa.routes import ROUTES

INGEST_TIMEOUT_S = 180


def client(url: str, token: str) -> OpenMetadata:
    """The client, logged in with this token."""
    security = OpenMetadataJWTClientConfig(jwtToken=token)
    return OpenMetadata(
        OpenMetadataConnection(
            hostPort=f"{url}/api", authProvider=AuthProvider.openmetadata, securityConfig=security
        )
    )


@dataclass(frozen=True)
class Family:
    """The client's two models of a service family."""

    service: type
    create_request: type

    def request(self, name: str, service_type: str, config: dict | None, **fields) -> object:
        """A request to create a service of this family."""
        connection = None if config is None else {"config": config}
        return self.create_request(name=name, serviceType=service_type, connection=connection, **fields)


# Upper and lower case as the client has them in its modules and classes.
_MODULES = {
    "database": ("databaseService", "DatabaseService"),
    "dashboard": ("dashboardService", "DashboardService"),
    "messaging": ("messagingService", "MessagingService"),
    "pipeline": ("pipelineService", "PipelineService"),
    "mlmodel": ("mlmodelService", "MlModelService"),
    "metadata": ("metadataService", "MetadataService"),
    "storage": ("storageService", "StorageService"),
    "search": ("searchService", "SearchService"),
    "api": ("apiService", "ApiService"),
    "drive": ("driveService", "DriveService"),
    "security": ("securityService", "SecurityService"),
    "mcp": ("mcpService", "McpService"),
    "llm": ("llmService", "LLMService"),
}
_SCHEMA = "metadata.generated.schema"


def _family(module: str, name: str) -> Family:
    service = getattr(importlib.import_module(f"{_SCHEMA}.entity.services.{module}"), name)
    create = importlib.import_module(f"{_SCHEMA}.api.services.create{name}")
    return Family(service, getattr(create, f"Create{name}Request"))


# The client has models of these services, but no route to them: the one thing that is added to it here.
for _model in ("LLMService", "CreateLLMServiceRequest"):
    ROUTES.setdefault(_model, "/services/llmServices")

FAMILIES = {family: _family(*names) for family, names in _MODULES.items()}


def plain_config(entity) -> dict:
    """The connection's config as JSON, with the secrets that the client knows."""
    return json.loads(entity.connection.model_dump_json(mask_secrets=False))["config"]


@dataclass(frozen=True)
class Ingestion:
    """How a run of `metadata ingest` ended."""

    exit_code: int
    output: str

    def expect_all_read(self, tables: tuple[str, ...]) -> None:
        """Fails with the whole output unless the run ended well and read at least these tables from its source."""
        assert self.exit_code == 0, self.output
        assert "Workflow Success %: 100.0" in self.output, self.output
        # The first count is that of the source: a database, a schema and its tables.
        records = re.search(r"Processed records: (\d+)", self.output)
        assert records and int(records[1]) >= 2 + len(tables), self.output


def ingest(workflow: dict, folder: Path, variables: dict[str, str] | None = None) -> Ingestion:
    """Writes the workflow to a file and runs `metadata ingest -c` with it, with these variables in its environment."""
    file = folder / "workflow.yaml"
    file.write_text(json.dumps(workflow, indent=2))  # each JSON document is a YAML document
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONWARNINGS": "ignore", "LANG": "C.UTF-8"}
    environment |= variables or {}
    done = subprocess.run(
        [Path(sys.executable).with_name("metadata"), "ingest", "-c", file],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=INGEST_TIMEOUT_S,
    )
    return Ingestion(done.returncode, done.stdout)


def workflow(url: str, token: str, source_type: str, service_name: str, config: dict | None = None) -> dict:
    """A workflow file as the catalog's documentation shows it; without `config`, only the service's name is in it."""
    read = {"type": "DatabaseMetadata", "schemaFilterPattern": {"excludes": ["information_schema"]}}
    source = {"type": source_type, "serviceName": service_name, "sourceConfig": {"config": read}}
    if config is not None:
        source["serviceConnection"] = {"config": config}
    server = {"hostPort": f"{url}/api", "authProvider": "openmetadata", "securityConfig": {"jwtToken": token}}
    return {
        "source": source,
        "sink": {"type": "metadata-rest", "config": {}},
        "workflowConfig": {"loggerLevel": "INFO", "openMetadataServerConfig": server},
    }
