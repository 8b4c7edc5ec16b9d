//! Opens a fresh backend of each kind, through the registry, as the server does.

use std::sync::Arc;

use strongroom_database::{SqliteDatabase, SqliteOptions};
use strongroom_domain::{SecretValue, SecretsManager};
use strongroom_secrets_managers::registry::{self, Parts, StoreParts};
use strongroom_secrets_managers::{KeyRingFile, SharedKeyRing};
use tempfile::TempDir;
use uuid::Uuid;

use crate::support::aws_proxy::AwsProxy;

/// A backend, and the directory that goes when it goes.
pub(crate) struct Backend {
    pub(crate) manager: Arc<dyn SecretsManager>,
    _directory: TempDir,
}

pub(crate) async fn in_encrypted_database() -> Backend {
    open("db").await
}

pub(crate) async fn in_memory() -> Backend {
    open("in-memory").await
}

pub(crate) async fn in_aws_secrets_manager() -> Backend {
    in_aws("managed-aws", &AwsProxy::start().await, &[]).await
}

pub(crate) async fn in_aws_parameter_store() -> Backend {
    in_aws("managed-aws-ssm", &AwsProxy::start().await, &[]).await
}

/// A store of AWS behind this proxy, for a cluster of its own. Quotas are out of the way, unless parameters say so.
pub(crate) async fn in_aws(kind: &str, proxy: &AwsProxy, parameters: &[(&str, &str)]) -> Backend {
    let given = [
        ("region", "eu-west-1"),
        ("endpointUrl", proxy.url.as_str()),
        ("accessKeyId", "AKIAIOSFODNN7EXAMPLE"),
        ("secretAccessKey", "the key of a test"),
        ("writesPerSecond", "10000"),
        ("readsPerSecond", "10000"),
        ("batchReadsPerSecond", "10000"),
    ];
    let value = |text: &str| SecretValue::new(text.to_owned());
    let parameters = given.iter().chain(parameters).map(|(key, text)| ((*key).to_owned(), value(text))).collect();
    let store = StoreParts {
        parameters,
        tags: vec![("team".to_owned(), "data".to_owned())],
        prefix: "suite".to_owned(),
        cluster: format!("cluster-{}", Uuid::new_v4().simple()),
        ..StoreParts::default()
    };
    open_with(kind, store).await
}

async fn open(kind: &str) -> Backend {
    open_with(kind, StoreParts::default()).await
}

async fn open_with(kind: &str, store: StoreParts) -> Backend {
    let directory = TempDir::new().unwrap();
    let parts = Parts { store, ..parts(&directory) };
    let manager = registry::build(kind, parts).await.unwrap().manager;
    Backend { manager, _directory: directory }
}

/// What the server builds secrets managers from: a database and a key ring, both in this directory.
pub(crate) fn parts(directory: &TempDir) -> Parts {
    let keys = KeyRingFile::new(directory.path().join("keys"));
    keys.create_new(0).unwrap();
    let database = SqliteDatabase::open(&SqliteOptions::new(directory.path().join("strongroom.db"))).unwrap();
    Parts { ciphertexts: Arc::new(database), ring: SharedKeyRing::load(keys).unwrap(), store: StoreParts::default() }
}
