"""moto's server, with one fault mended: moving AWSCURRENT makes the version what is read without naming one."""
import sys
from moto.secretsmanager.models import SecretsManagerBackend
from moto.server import main

move = SecretsManagerBackend.update_secret_version_stage

def update_secret_version_stage(self, secret_id, version_stage, remove_from_version_id, move_to_version_id):
    moved = move(self, secret_id, version_stage, remove_from_version_id, move_to_version_id)
    if version_stage == "AWSCURRENT" and move_to_version_id:
        self.secrets[secret_id].set_default_version_id(move_to_version_id)
    return moved

SecretsManagerBackend.update_secret_version_stage = update_secret_version_stage
main(sys.argv[1:])
