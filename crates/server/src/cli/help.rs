//! Examples and hints that `--help` ends with.

pub(super) const EXAMPLES: &str = "\
Examples:
  strongroom                                      start the server on http://127.0.0.1:8585
  strongroom --port 9000 --data-dir /var/lib/strongroom
  strongroom --host 0.0.0.0 --insecure-http       be reachable from other machines, without TLS
  strongroom check && systemctl restart strongroom
  strongroom bot create ingestion --role worker
  T=$(strongroom token create ingestion --expires 90d)
  strongroom config show --output json

Where a value comes from: a flag, else the environment, else the configuration file, else a default.
All keys are explained in docs/configuration.md. Commands work beside a running server.
Exit status: 0 done, 1 not done (one line per fault on standard error), 2 not understood.";

pub(super) const SERVE_EXAMPLES: &str = "\
Examples:
  strongroom serve
  strongroom serve --port 0                       any free port; the log says which
  strongroom serve --host 0.0.0.0 --insecure-http

SIGTERM and Ctrl-C end it: running requests get up to 10 seconds.";

pub(super) const USER_EXAMPLES: &str = "\
Examples:
  strongroom user create ada --email ada@example.com --admin
  strongroom token create ada --expires 8h
  strongroom user disable ada

An admin reads connections with their secrets; any other user sees no connection parameters.";

pub(super) const BOT_EXAMPLES: &str = "\
Examples:
  strongroom bot create ingestion --role worker
  strongroom bot list --output json";

pub(super) const TOKEN_EXAMPLES: &str = "\
Examples:
  T=$(strongroom token create ci)                 a token that does not expire
  strongroom token create ada --expires 30d       units: s, m, h, d, w
  strongroom token revoke 0198c0de-7e57-7abc-8def-0123456789ab

A token is shown once, alone on standard output; only its hash is kept.";

pub(super) const KEYS_EXAMPLES: &str = "\
Examples:
  strongroom keys init                            once, for all replicas on a database server
  strongroom keys status
  strongroom keys rotate                          may be stopped and run again; the server goes on serving
  strongroom keys destroy --yes                   after all secrets have moved to another store

Keep a copy of <dataDir>/keys apart from the database's: without it no secret can be read.";

pub(super) const DATABASE_EXAMPLES: &str = "\
Examples:
  strongroom database copy --from sqlite:data/strongroom.db --to postgres://strongroom@db/strongroom \\
      --to-password-file /run/secrets/strongroom-database
  strongroom database copy --from sqlite:data/strongroom.db      into the configured database

Stop all servers on both first. The key ring is not copied: servers on the new database need the same one.";

pub(super) const MIGRATE_EXAMPLES: &str = "\
Examples:
  strongroom migrate --dry-run                    with the new configuration, before the restart
  strongroom migrate --retry                      those that were set aside

A server whose configuration names another store than the secrets are in migrates by itself when it starts, one way,
and serves meanwhile: GET /api/v1/secretsManager/migration tells how far it is.";

pub(super) const SECRETS_EXAMPLES: &str = "\
Examples:
  strongroom secrets verify
  strongroom secrets verify --repair              also the way after an older back-up of the database was restored
  strongroom secrets gc --dry-run
  strongroom secrets move --to db --yes           with `db` configured: back into the database
  strongroom secrets move --to managed-aws --from-config old.yaml --grace 7d --yes";
