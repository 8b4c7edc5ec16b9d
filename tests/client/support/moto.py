"""AWS on loopback: moto's server, and what lies in its two stores of secrets."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import boto3
import requests

from support.processes import free_port, stop, wait_until
from support.strongroom import REPOSITORY

REGION = "eu-west-1"
LAUNCHER = REPOSITORY / "tests" / "support" / "moto_server.py"


def python() -> Path:
    """The Python of moto's own environment."""
    path = REPOSITORY / ".cache" / "moto-venv" / "bin" / "python"
    assert path.exists(), f"{path} is missing: `make test-tools` installs what the tests need"
    return path


class Moto:
    """A server that is empty at first; it takes any credentials."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.directory = Path(tempfile.mkdtemp(prefix="strongroom-test-"))
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def _start(self) -> None:
        self.log = self.directory / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", python(), LAUNCHER, "--port", str(self.port)],
                cwd=self.directory,
                env={"PATH": os.environ["PATH"], "HOME": str(self.directory)},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        wait_until(self._answers, self.process, self.log)

    def _answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/moto-api/data.json", timeout=5).ok
        except requests.ConnectionError:
            return False

    def empty(self) -> None:
        """Forgets everything, as if it had just started."""
        requests.post(f"{self.url}/moto-api/reset", timeout=5).raise_for_status()

    def client(self, service: str):
        """A client of boto3 with credentials of its own."""
        keys = {"aws_access_key_id": "AKIAOFTHETESTS", "aws_secret_access_key": "key-of-the-tests"}
        return boto3.client(service, endpoint_url=self.url, region_name=REGION, **keys)

    def environment(self) -> dict[str, str]:
        """What a program that uses the SDK of AWS finds this server with."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "AKIAOFTHEWORKER",
            "AWS_SECRET_ACCESS_KEY": "canary-key-of-the-worker",
        }

    def close(self) -> None:
        """Stops the server; what was in it is gone."""
        if hasattr(self, "process"):
            stop(self.process)
        shutil.rmtree(self.directory, ignore_errors=True)


class SecretsManager:
    """What lies in AWS Secrets Manager."""

    kind = "managed-aws"

    def __init__(self, moto: Moto) -> None:
        self.moto = moto
        self.client = moto.client("secretsmanager")

    def names(self) -> list[str]:
        """The names of all secrets, those among them that wait for their end."""
        pages = self.client.get_paginator("list_secrets").paginate(IncludePlannedDeletion=True)
        return [secret["Name"] for page in pages for secret in page["SecretList"]]

    def value(self, name: str) -> str | None:
        """The secret as a worker gets it; none: there is no such secret, or no longer."""
        gone = (self.client.exceptions.ResourceNotFoundException, self.client.exceptions.InvalidRequestException)
        try:
            return self.client.get_secret_value(SecretId=name)["SecretString"]
        except gone:
            return None

    def tags(self, name: str) -> dict[str, str]:
        """The tags of a secret."""
        return {tag["Key"]: tag["Value"] for tag in self.client.describe_secret(SecretId=name)["Tags"]}


class ParameterStore:
    """What lies in SSM Parameter Store."""

    kind = "managed-aws-ssm"

    def __init__(self, moto: Moto) -> None:
        self.moto = moto
        self.client = moto.client("ssm")

    def names(self) -> list[str]:
        """The names of all parameters; each is encrypted."""
        pages = self.client.get_paginator("describe_parameters").paginate()
        parameters = [parameter for page in pages for parameter in page["Parameters"]]
        assert {parameter["Type"] for parameter in parameters} <= {"SecureString"}
        return [parameter["Name"] for parameter in parameters]

    def value(self, name: str) -> str | None:
        """The secret as a worker gets it; none: there is no such parameter."""
        try:
            return self.client.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"]
        except self.client.exceptions.ParameterNotFound:
            return None

    def tags(self, name: str) -> dict[str, str]:
        """The tags of a parameter."""
        tags = self.client.list_tags_for_resource(ResourceType="Parameter", ResourceId=name)["TagList"]
        return {tag["Key"]: tag["Value"] for tag in tags}
