//! When calls are made again, and when not, in a time that passes at once.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use strongroom_domain::{PutMode, SecretId};

use super::*;

/// A store that fails as often as it is told, then does what it is asked.
#[derive(Default)]
struct Shaky {
    failures: Mutex<Vec<SecretsErrorKind>>,
    always: Option<SecretsErrorKind>,
    /// Names that never can be read.
    missing: HashSet<String>,
    calls: AtomicUsize,
    repeated: Mutex<Vec<bool>>,
    batches: Mutex<Vec<usize>>,
}

const THROTTLED: SecretsErrorKind = SecretsErrorKind::RateLimited { retry_after: None };

impl Shaky {
    fn failing(failures: &[SecretsErrorKind]) -> Arc<Self> {
        Arc::new(Self { failures: Mutex::new(failures.to_vec()), ..Self::default() })
    }

    fn always(kind: SecretsErrorKind) -> Arc<Self> {
        Arc::new(Self { always: Some(kind), ..Self::default() })
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    fn call(&self) -> Result<(), SecretsError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        match self.always.or_else(|| self.failures.lock().unwrap().pop()) {
            Some(kind) => Err(SecretsError::new(kind, "shaky", "call")),
            None => Ok(()),
        }
    }

    fn read(&self, secret: &NamedVersion) -> Result<FoundSecret, SecretsError> {
        if self.missing.contains(&secret.secret.name) {
            return Err(SecretsError::new(SecretsErrorKind::NotFound, "shaky", "get"));
        }
        Ok(FoundSecret { value: SecretValue::new("value".to_owned()), is_current: true })
    }
}

#[async_trait]
impl SecretsManager for Shaky {
    fn kind(&self) -> &'static str {
        "shaky"
    }

    fn limits(&self) -> Limits {
        Limits { value_bytes: 100, read_batch: 20, keeps_versions: true, reachable_by_workers: true }
    }

    async fn put(&self, put: SecretPut<'_>) -> Result<SecretVersion, SecretsError> {
        self.repeated.lock().unwrap().push(put.is_repeated);
        self.call().map(|()| SecretVersion::new("1"))
    }

    async fn get(&self, secret: &NamedVersion) -> Result<FoundSecret, SecretsError> {
        self.call()?;
        self.read(secret)
    }

    async fn get_many(&self, secrets: &[NamedVersion]) -> Vec<Result<FoundSecret, SecretsError>> {
        self.batches.lock().unwrap().push(secrets.len());
        match self.call() {
            Ok(()) => secrets.iter().map(|secret| self.read(secret)).collect(),
            Err(error) => secrets.iter().map(|_| Err(SecretsError::new(error.kind, "shaky", "get"))).collect(),
        }
    }

    async fn find_put(&self, _: &NamedSecret, _: Uuid) -> Result<Option<SecretVersion>, SecretsError> {
        self.call().map(|()| None)
    }

    async fn delete(&self, _: &NamedSecret) -> Result<(), SecretsError> {
        self.call()
    }

    async fn delete_version(&self, _: &NamedVersion) -> Result<(), SecretsError> {
        self.call()
    }

    async fn check(&self) -> Vec<CheckStep> {
        Vec::new()
    }
}

fn retry(store: &Arc<Shaky>) -> Retry {
    let quotas = Quotas { writes: 1_000.0, reads: 1_000.0, batch_reads: Some(1_000.0) };
    Retry::new(Arc::clone(store) as Arc<dyn SecretsManager>, quotas)
}

fn secret(name: &str) -> NamedVersion {
    let id = SecretId::of_service(Uuid::nil(), "/config/password");
    let secret = NamedSecret { id, name: name.to_owned() };
    NamedVersion { secret, version: SecretVersion::new("1") }
}

#[tokio::test(start_paused = true)]
async fn a_throttled_or_lost_put_is_made_again_and_says_so() {
    let store = Shaky::failing(&[SecretsErrorKind::Unavailable, THROTTLED]);
    let value = SecretValue::new("value".to_owned());
    let secret = secret("/a").secret;
    let put = SecretPut {
        secret: &secret,
        label: "shop",
        value: &value,
        token: Uuid::nil(),
        mode: PutMode::New,
        is_repeated: false,
    };

    retry(&store).put(put).await.unwrap();

    assert_eq!(*store.repeated.lock().unwrap(), [false, true, true]);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_succeed_is_not_tried_again() {
    for kind in [SecretsErrorKind::NotFound, SecretsErrorKind::PermissionDenied, SecretsErrorKind::NameTaken] {
        let store = Shaky::always(kind);

        let error = retry(&store).get(&secret("/a")).await.unwrap_err();

        assert_eq!((error.kind, store.calls()), (kind, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_an_answer_has_it_after_seconds() {
    let store = Shaky::always(THROTTLED);
    let begin = Instant::now();

    let error = retry(&store).get(&secret("/a")).await.unwrap_err();

    assert!(matches!(error.kind, SecretsErrorKind::RateLimited { .. }));
    assert!(store.calls() > 2);
    assert!(begin.elapsed() <= Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn no_call_is_made_more_than_ten_times() {
    let store = Shaky::always(THROTTLED);

    retry(&store).patient().get(&secret("/a")).await.unwrap_err();

    assert_eq!(store.calls(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_is_spared_and_callers_know_at_once() {
    let store = Shaky::always(SecretsErrorKind::Unavailable);
    let retry = retry(&store);
    retry.get(&secret("/a")).await.unwrap_err();
    let (calls, begin) = (store.calls(), Instant::now());

    let error = retry.get(&secret("/b")).await.unwrap_err();

    assert_eq!(error.kind, SecretsErrorKind::Unavailable);
    assert!(error.detail.unwrap().starts_with("the store has not answered; tried again in "));
    assert_eq!((store.calls(), begin.elapsed()), (calls, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_job_waits_for_a_store_that_is_away() {
    let store = Shaky::failing(&[SecretsErrorKind::Unavailable; 7]);
    let retry = retry(&store);
    let _ = retry.get(&secret("/a")).await;

    retry.patient().get(&secret("/a")).await.unwrap();

    assert_eq!(store.calls(), 8);
}

#[tokio::test(start_paused = true)]
async fn many_are_read_in_one_call_for_each_batch_and_none_spoils_another() {
    let missing = HashSet::from(["/5".to_owned()]);
    let failures = Mutex::new(vec![THROTTLED]);
    let store = Arc::new(Shaky { failures, missing, ..Shaky::default() });
    let secrets: Vec<_> = (0..45).map(|index| secret(&format!("/{index}"))).collect();

    let read = retry(&store).get_many(&secrets).await;

    assert_eq!(read.iter().filter(|answer| answer.is_ok()).count(), 44);
    assert_eq!(read[5].as_ref().unwrap_err().kind, SecretsErrorKind::NotFound);
    assert_eq!(*store.batches.lock().unwrap(), [20, 20, 20, 5], "the first was throttled once");
}

#[tokio::test(start_paused = true)]
async fn calls_keep_to_the_pace() {
    let store = Shaky::failing(&[]);
    let quotas = Quotas { writes: 10.0, reads: 1_000.0, batch_reads: None };
    let retry = Retry::new(Arc::clone(&store) as Arc<dyn SecretsManager>, quotas);
    let begin = Instant::now();

    for _ in 0..20 {
        retry.delete(&secret("/a").secret).await.unwrap();
    }

    assert!(begin.elapsed() > Duration::from_secs(2), "{:?}", begin.elapsed());
}
