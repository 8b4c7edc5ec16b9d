//! What the two stores of AWS promise beyond the others, and how many calls it takes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use strongroom_domain::{
    ForeignName, NamedSecret, NamedVersion, PutMode, SecretPut, SecretValue, SecretVersion, SecretsErrorKind,
    SecretsManager,
};

use super::backends::{self, Backend};
use super::promises::{a_secret, put_of};
use crate::support::aws_proxy::{AwsProxy, Class, Fault};

const KINDS: [&str; 2] = ["managed-aws", "managed-aws-ssm"];

/// A store behind a proxy, for a cluster of its own.
struct Store {
    backend: Backend,
    proxy: AwsProxy,
    kind: &'static str,
}

impl Store {
    async fn open(kind: &'static str) -> Self {
        let proxy = AwsProxy::start().await;
        Self { backend: backends::in_aws(kind, &proxy, &[]).await, proxy, kind }
    }

    /// The same AWS, as another cluster sees it.
    async fn of_another_cluster(&self) -> Backend {
        backends::in_aws(self.kind, &self.proxy, &[]).await
    }

    fn manager(&self) -> &Arc<dyn SecretsManager> {
        &self.backend.manager
    }

    /// The action that makes a secret.
    fn creation(&self) -> &'static str {
        if self.kind == "managed-aws" { "CreateSecret" } else { "PutParameter" }
    }
}

fn value(text: &str) -> SecretValue {
    SecretValue::new(text.to_owned())
}

async fn put(manager: &Arc<dyn SecretsManager>, secret: &NamedSecret, text: &str) -> NamedVersion {
    let version = manager.put(put_of(secret, &value(text))).await.unwrap();
    NamedVersion { secret: secret.clone(), version }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_secret_costs_one_call_and_twenty_are_read_in_one_batch() {
    for (kind, batch, action) in [("managed-aws", 20, "BatchGetSecretValue"), ("managed-aws-ssm", 10, "GetParameters")]
    {
        let store = Store::open(kind).await;
        let mut secrets = Vec::new();
        for index in 0..batch {
            secrets.push(put(store.manager(), &a_secret(), &index.to_string()).await);
        }
        assert_eq!((store.proxy.calls(), store.proxy.calls_of(store.creation())), (batch, batch));
        store.proxy.reset_counts();

        let read = store.manager().get_many(&secrets).await;

        assert!(read.iter().all(|found| found.as_ref().is_ok_and(|found| found.is_current)));
        assert_eq!((store.proxy.calls(), store.proxy.calls_of(action)), (1, 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_of_somebody_else_is_never_overwritten() {
    for kind in KINDS {
        let store = Store::open(kind).await;
        let theirs = store.of_another_cluster().await.manager;
        let secret = a_secret();
        let kept = put(&theirs, &secret, "theirs").await;

        for mode in [PutMode::New, PutMode::Move] {
            let value = value("ours");
            let put = SecretPut { mode, ..put_of(&secret, &value) };
            assert_eq!(
                store.manager().put(put).await.unwrap_err().kind,
                SecretsErrorKind::NameTaken,
                "{kind} {mode:?}"
            );
        }

        let found = theirs.get(&kept).await.unwrap();
        assert_eq!((found.value.reveal(), found.is_current), ("theirs", true));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_adopts_its_own_put_only() {
    for kind in KINDS {
        let store = Store::open(kind).await;
        let (secret, same, other) = (a_secret(), value("value"), value("other"));
        let first = SecretPut { mode: PutMode::Move, ..put_of(&secret, &same) };
        let version = store.manager().put(first).await.unwrap();

        let again = store.manager().put(SecretPut { is_repeated: true, ..first }).await.unwrap();
        let of_another_token = SecretPut { mode: PutMode::Move, ..put_of(&secret, &same) };
        let of_another_value = SecretPut { value: &other, is_repeated: true, ..first };

        assert_eq!(version, again, "{kind}");
        for refused in [of_another_token, of_another_value] {
            assert_eq!(store.manager().put(refused).await.unwrap_err().kind, SecretsErrorKind::NameTaken, "{kind}");
        }
        assert_eq!(store.manager().get_current(&secret).await.unwrap().1.reveal(), "value");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_get_the_old_version_until_a_document_names_the_new_one() {
    let store = Store::open("managed-aws").await;
    let (secret, new) = (a_secret(), value("new"));
    let old = put(store.manager(), &secret, "old").await;
    let replacing = SecretPut { mode: PutMode::Replace, ..put_of(&secret, &new) };

    let version = store.manager().put(replacing).await.unwrap();

    assert_eq!(store.manager().get_current(&secret).await.unwrap().1.reveal(), "old");
    let replaced = NamedVersion { secret: secret.clone(), version };
    assert!(!store.manager().get(&replaced).await.unwrap().is_current);
    store.manager().make_current(&replaced, Some(&old.version)).await.unwrap();
    assert_eq!(store.manager().get_current(&secret).await.unwrap().1.reveal(), "new");
    assert!(!store.manager().get(&old).await.unwrap().is_current);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_becomes_current_wherever_the_label_is() {
    let store = Store::open("managed-aws").await;
    let secret = a_secret();
    let first = put(store.manager(), &secret, "first").await;
    let second = put(store.manager(), &secret, "second").await;

    for replaced in [None, Some(&second.version), Some(&SecretVersion::new("x".repeat(32)))] {
        store.manager().make_current(&second, None).await.unwrap();
        store.manager().make_current(&first, replaced).await.unwrap();

        assert_eq!(store.manager().get_current(&secret).await.unwrap().1.reveal(), "first");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_shows_what_this_cluster_keeps() {
    for kind in KINDS {
        let store = Store::open(kind).await;
        put(&store.of_another_cluster().await.manager, &a_secret(), "theirs").await;
        let (mut kept, deleted) = (Vec::new(), a_secret());
        for _ in 0..12 {
            kept.push(put(store.manager(), &a_secret(), "ours").await.secret.name);
        }
        put(store.manager(), &deleted, "deleted").await;
        store.manager().delete(&deleted).await.unwrap();

        let (mut listed, mut from) = (Vec::new(), None);
        loop {
            let page = store.manager().list(from.as_deref()).await.unwrap();
            listed.extend(page.names);
            from = page.next;
            if from.is_none() {
                break;
            }
        }

        kept.sort();
        listed.sort();
        assert_eq!(listed, kept, "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_makes_one_version() {
    for kind in KINDS {
        let store = Store::open(kind).await;
        for fault in [Fault::CutAfter, Fault::CutBefore, Fault::Status(500), Fault::Status(503)] {
            store.proxy.inject(None, fault);
            let (secret, value) = (a_secret(), value("value"));
            let put = put_of(&secret, &value);

            let version = store.manager().put(put).await.unwrap();

            assert_eq!(store.manager().get_current(&secret).await.unwrap().0, version, "{kind} {fault:?}");
            assert_eq!(store.manager().find_put(&secret, put.token).await.unwrap().as_ref(), Some(&version));
            // A second version would be the newest, and so another number.
            assert!(kind == "managed-aws" || version.as_str() == "1", "{kind} {fault:?}: {version:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_to_a_replacement_makes_one_version() {
    let store = Store::open("managed-aws-ssm").await;
    let (secret, value) = (a_secret(), value("new"));
    put(store.manager(), &secret, "old").await;
    store.proxy.inject(Some("PutParameter"), Fault::CutAfter);

    let version = store.manager().put(SecretPut { mode: PutMode::Replace, ..put_of(&secret, &value) }).await.unwrap();

    assert_eq!(version.as_str(), "2");
    assert_eq!(store.manager().get_current(&secret).await.unwrap().0, version);
}

#[tokio::test(flavor = "multi_thread")]
async fn throttles_are_waited_out() {
    for kind in KINDS {
        let store = Store::open(kind).await;
        store.proxy.limit(Class::Write, 20.0);
        store.proxy.slow_down(Duration::from_millis(5));

        for index in 0..40 {
            put(store.manager(), &a_secret(), &index.to_string()).await;
        }

        assert!(store.proxy.throttled() > 0, "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_permission_is_named_with_what_grants_it() {
    for (kind, denied, action) in [
        ("managed-aws", "CreateSecret", "secretsmanager:CreateSecret"),
        ("managed-aws-ssm", "PutParameter", "ssm:PutParameter"),
    ] {
        let store = Store::open(kind).await;
        store.proxy.deny(denied);
        let value = value("value");

        let error = store.manager().put(put_of(&a_secret(), &value)).await.unwrap_err();

        assert_eq!(error.kind, SecretsErrorKind::PermissionDenied);
        let detail = error.detail.unwrap();
        assert!(detail.contains(&format!("allow \"{action}\" on \"arn:aws:")), "{detail}");
        assert!(!detail.contains("canary"), "{detail}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_check_names_every_permission_that_is_missing() {
    let secrets_manager = ["GetSecretValue", "BatchGetSecretValue", "DescribeSecret", "TagResource", "RestoreSecret"];
    let parameter_store = ["GetParameter", "GetParameters", "GetParameterHistory", "AddTagsToResource"];
    for (kind, denied) in [("managed-aws", secrets_manager.as_slice()), ("managed-aws-ssm", &parameter_store)] {
        let store = Store::open(kind).await;
        for action in denied {
            store.proxy.deny(action);
        }

        let steps = store.manager().check().await;
        store.proxy.allow_all();

        let failed: Vec<String> = steps.iter().filter_map(|step| step.outcome.as_ref().err()?.detail.clone()).collect();
        for action in denied {
            assert!(failed.iter().any(|detail| detail.contains(&format!(":{action}\" on"))), "{action}: {steps:?}");
        }
        assert!(steps[0].outcome.as_ref().unwrap().contains("accessKeyId"), "{:?}", steps[0]);
        assert!(store.manager().list(None).await.unwrap().names.is_empty(), "{kind}: the probe is still there");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_does_not_answer_is_unavailable_in_time() {
    for kind in KINDS {
        let store = Store::open(kind).await;
        let secret = put(store.manager(), &a_secret(), "value").await;
        for _ in 0..3 {
            store.proxy.inject(None, Fault::Stall);
        }
        let begin = Instant::now();

        let error = store.manager().get(&secret).await.unwrap_err();

        assert_eq!(error.kind, SecretsErrorKind::Unavailable);
        assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_secret_keeps_its_name_and_is_restored_by_a_put() {
    let store = Store::open("managed-aws").await;
    let secret = a_secret();
    for mode in [PutMode::New, PutMode::Replace] {
        put(store.manager(), &secret, "before").await;
        store.manager().delete(&secret).await.unwrap();
        store.manager().delete(&secret).await.unwrap();
        let value = value("after");

        let version = store.manager().put(SecretPut { mode, ..put_of(&secret, &value) }).await.unwrap();

        let found = store.manager().get(&NamedVersion { secret: secret.clone(), version }).await.unwrap();
        assert_eq!(found.value.reveal(), "after");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parameter_that_once_was_advanced_stays_so() {
    let store = Store::open("managed-aws-ssm").await;
    let secret = a_secret();

    for text in ["x".repeat(4_096), "x".repeat(4_097), "short".to_owned()] {
        let kept = put(store.manager(), &secret, &text).await;
        assert!(store.manager().get(&kept).await.unwrap().value.reveal() == text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_cluster_keeps_is_told_apart_when_it_is_referred_to() {
    for kind in KINDS {
        let store = Store::open(kind).await;
        let secret = put(store.manager(), &a_secret(), "value").await.secret;
        let name = ForeignName { name: secret.name, version: None, key: None };
        let arn = ForeignName { name: "arn:aws:x".to_owned(), ..name.clone() };

        let found = store.manager().get_foreign(&name).await.unwrap();

        assert_eq!(found.value.reveal(), "value");
        assert!(found.cluster.is_some_and(|cluster| cluster.starts_with("cluster-")));
        assert_eq!(store.manager().get_foreign(&arn).await.unwrap_err().kind, SecretsErrorKind::NotFound);
    }
}
