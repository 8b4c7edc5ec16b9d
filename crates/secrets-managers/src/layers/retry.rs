//! Calls to a store at the pace that it bears, and again where they may succeed.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use strongroom_domain::{
    CheckStep, ForeignName, ForeignSecret, FoundSecret, Limits, NamedSecret, NamedVersion, Sealer, SecretPage,
    SecretPut, SecretValue, SecretVersion, SecretsError, SecretsErrorKind, SecretsManager, Tariff,
};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use uuid::Uuid;

use super::circuit::Circuit;
use super::pace::Pace;

/// The shortest and the longest pause before a call is made again.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How often a call is made at most.
const TRIES: u32 = 10;

/// What one call to the store inside gives.
type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, SecretsError>> + Send + 'a>>;

/// How many calls a second a store takes of each class.
#[derive(Clone, Copy, Debug)]
pub struct Quotas {
    /// Calls that change something.
    pub writes: f64,
    /// Reads of one secret.
    pub reads: f64,
    /// Reads of many; none: they share the quota of the others.
    pub batch_reads: Option<f64>,
}

/// For how long a call is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Somebody waits for the answer: no try begins after 5 s, and while the store counts as away none at all.
    Request,
    /// A job that rather waits than fails: 2 minutes, and it waits for a store that counts as away.
    Job,
}

impl Patience {
    fn deadline(self) -> Duration {
        match self {
            Self::Request => Duration::from_secs(5),
            Self::Job => Duration::from_mins(2),
        }
    }
}

/// A store, called at the pace it bears, and again where a call may succeed.
pub struct Retry {
    store: Arc<dyn SecretsManager>,
    shared: Arc<Shared>,
    patience: Patience,
}

/// What all handles of one store share.
struct Shared {
    writes: Pace,
    reads: Pace,
    batch_reads: Option<Pace>,
    circuit: Circuit,
    /// What jobs may have waiting for their turn, so that whoever writes one secret meanwhile does not wait long.
    jobs: Semaphore,
}

impl Retry {
    /// Puts itself between callers who wait and a store with these quotas.
    pub fn new(store: Arc<dyn SecretsManager>, quotas: Quotas) -> Self {
        let shared = Shared {
            writes: Pace::new(quotas.writes),
            reads: Pace::new(quotas.reads),
            batch_reads: quotas.batch_reads.map(Pace::new),
            circuit: Circuit::default(),
            jobs: Semaphore::new(jobs_at_once(quotas.writes)),
        };
        Self { store, shared: Arc::new(shared), patience: Patience::Request }
    }

    /// A second handle for jobs: the same pace, the same circuit, but a long deadline.
    #[must_use]
    pub fn patient(&self) -> Self {
        Self { store: Arc::clone(&self.store), shared: Arc::clone(&self.shared), patience: Patience::Job }
    }

    /// Makes a call until it succeeds, cannot succeed, or the time is up. `call` is told whether it is made again.
    async fn until_done<'a, T: Send>(
        &'a self,
        pace: &Pace,
        operation: &'static str,
        mut call: impl FnMut(bool) -> Answer<'a, T> + Send,
    ) -> Result<T, SecretsError> {
        let mut tries = Tries::new(self.patience);
        loop {
            self.enter(pace, operation, &tries).await?;
            let answer = call(tries.made > 0).await;
            self.learn(pace, answer.as_ref().err());
            match answer {
                Err(error) if error.is_retryable() && tries.pause(&error).await => {}
                answer => return answer,
            }
        }
    }

    /// Waits for this call's turn, where the store is not known to be away.
    async fn enter(&self, pace: &Pace, operation: &'static str, tries: &Tries) -> Result<(), SecretsError> {
        while let Err(pause) = self.shared.circuit.enter() {
            if self.patience == Patience::Request || Instant::now() + pause > tries.deadline {
                return Err(self.away(operation, pause));
            }
            tokio::time::sleep(pause).await;
        }
        if pace.wait_until(tries.deadline).await { Ok(()) } else { Err(self.crowded(operation)) }
    }

    fn away(&self, operation: &'static str, pause: Duration) -> SecretsError {
        let seconds = pause.as_secs() + 1;
        SecretsError::new(SecretsErrorKind::Unavailable, self.store.kind(), operation)
            .because(format!("the store has not answered; tried again in {seconds} s"))
    }

    fn crowded(&self, operation: &'static str) -> SecretsError {
        let retry_after = Some(self.patience.deadline());
        SecretsError::new(SecretsErrorKind::RateLimited { retry_after }, self.store.kind(), operation)
            .because("more calls wait for their turn than the quota of the store lets through in time")
    }

    fn learn(&self, pace: &Pace, error: Option<&SecretsError>) {
        match error.map(|error| error.kind) {
            Some(SecretsErrorKind::Unavailable) => self.shared.circuit.failed(),
            Some(SecretsErrorKind::RateLimited { .. }) => {
                self.shared.circuit.answered();
                pace.throttled();
            }
            _ => self.shared.circuit.answered(),
        }
    }

    fn batch_pace(&self) -> &Pace {
        self.shared.batch_reads.as_ref().unwrap_or(&self.shared.reads)
    }

    /// Reads a batch, and those of it again that may succeed.
    async fn get_batch(&self, secrets: &[NamedVersion]) -> Vec<Result<FoundSecret, SecretsError>> {
        let pace = if let [_] = secrets { &self.shared.reads } else { self.batch_pace() };
        let mut answers: Vec<Option<Result<FoundSecret, SecretsError>>> = secrets.iter().map(|_| None).collect();
        let mut open: Vec<usize> = (0..secrets.len()).collect();
        let mut tries = Tries::new(self.patience);
        loop {
            let asked: Vec<NamedVersion> = open.iter().filter_map(|index| secrets.get(*index)).cloned().collect();
            if let Err(error) = self.enter(pace, "get", &tries).await {
                fail_each(&mut answers, &open, &error);
                break;
            }
            let read = self.store.get_many(&asked).await;
            let retryable = read.iter().filter_map(|answer| answer.as_ref().err()).find(|error| error.is_retryable());
            self.learn(pace, retryable);
            let again = retryable.map(|error| SecretsError::new(error.kind, error.store, error.operation));
            for (index, answer) in open.iter().zip(read) {
                if let Some(slot) = answers.get_mut(*index) {
                    *slot = Some(answer);
                }
            }
            open.retain(|index| matches!(answers.get(*index), Some(Some(Err(error))) if error.is_retryable()));
            match again {
                Some(error) if tries.pause(&error).await => {}
                _ => break,
            }
        }
        let lost = || SecretsError::new(SecretsErrorKind::Unexpected, self.store.kind(), "get");
        answers.into_iter().map(|answer| answer.unwrap_or_else(|| Err(lost()))).collect()
    }
}

/// As many as begin in half a second, within reason: a store that answers in a quarter of a second is used to the full.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn jobs_at_once(writes: f64) -> usize {
    (writes / 2.0).ceil().clamp(2.0, 64.0) as usize
}

/// The same error for each that has no answer yet, or none that counts.
fn fail_each(answers: &mut [Option<Result<FoundSecret, SecretsError>>], open: &[usize], error: &SecretsError) {
    for index in open {
        if let Some(slot) = answers.get_mut(*index) {
            let failed = SecretsError::new(error.kind, error.store, error.operation);
            *slot = Some(Err(failed.because(error.detail.clone().unwrap_or_default())));
        }
    }
}

/// The tries of one call.
struct Tries {
    made: u32,
    deadline: Instant,
}

impl Tries {
    fn new(patience: Patience) -> Self {
        Self { made: 0, deadline: Instant::now() + patience.deadline() }
    }

    /// Waits before the next try; false where there is none.
    async fn pause(&mut self, error: &SecretsError) -> bool {
        self.made += 1;
        let pause = pause_after(self.made, error);
        if self.made >= TRIES || Instant::now() + pause >= self.deadline {
            return false;
        }
        tokio::time::sleep(pause).await;
        true
    }
}

/// Full jitter: anything up to a bound that doubles with each try.
fn pause_after(tries: u32, error: &SecretsError) -> Duration {
    let bound = SHORTEST_PAUSE.saturating_mul(1 << tries.min(10)).min(LONGEST_PAUSE);
    let jitter = bound.mul_f64(rand::random::<f64>());
    match error.kind {
        SecretsErrorKind::RateLimited { retry_after: Some(least) } => least + jitter,
        _ => jitter,
    }
}

impl fmt::Debug for Retry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Retry({}, {:?})", self.store.place(), self.patience)
    }
}

#[async_trait]
impl SecretsManager for Retry {
    fn kind(&self) -> &'static str {
        self.store.kind()
    }

    fn place(&self) -> &str {
        self.store.place()
    }

    fn limits(&self) -> Limits {
        self.store.limits()
    }

    fn refusal(&self, value: &SecretValue) -> Option<&'static str> {
        self.store.refusal(value)
    }

    async fn put(&self, put: SecretPut<'_>) -> Result<SecretVersion, SecretsError> {
        let again = |is_again: bool| SecretPut { is_repeated: put.is_repeated || is_again, ..put };
        let _room = match self.patience {
            Patience::Job => self.shared.jobs.acquire().await.ok(),
            Patience::Request => None,
        };
        self.until_done(&self.shared.writes, "put", |is_again| self.store.put(again(is_again))).await
    }

    async fn make_current(&self, secret: &NamedVersion, replaced: Option<&SecretVersion>) -> Result<(), SecretsError> {
        let call = |_| self.store.make_current(secret, replaced);
        self.until_done(&self.shared.writes, "make current", call).await
    }

    async fn get(&self, secret: &NamedVersion) -> Result<FoundSecret, SecretsError> {
        self.until_done(&self.shared.reads, "get", |_| self.store.get(secret)).await
    }

    /// One paced call for each batch.
    async fn get_many(&self, secrets: &[NamedVersion]) -> Vec<Result<FoundSecret, SecretsError>> {
        let mut answers = Vec::with_capacity(secrets.len());
        for batch in secrets.chunks(self.store.limits().read_batch.max(1)) {
            answers.extend(self.get_batch(batch).await);
        }
        answers
    }

    async fn get_current(&self, secret: &NamedSecret) -> Result<(SecretVersion, SecretValue), SecretsError> {
        self.until_done(&self.shared.reads, "get", |_| self.store.get_current(secret)).await
    }

    async fn find_put(&self, secret: &NamedSecret, token: Uuid) -> Result<Option<SecretVersion>, SecretsError> {
        self.until_done(&self.shared.reads, "find", |_| self.store.find_put(secret, token)).await
    }

    async fn withdraw(&self, secret: &NamedVersion, committed: Option<&SecretVersion>) -> Result<(), SecretsError> {
        self.until_done(&self.shared.writes, "withdraw", |_| self.store.withdraw(secret, committed)).await
    }

    async fn delete(&self, secret: &NamedSecret) -> Result<(), SecretsError> {
        self.until_done(&self.shared.writes, "delete", |_| self.store.delete(secret)).await
    }

    async fn bring_back(&self, secret: &NamedSecret) -> Result<(), SecretsError> {
        self.until_done(&self.shared.writes, "bring back", |_| self.store.bring_back(secret)).await
    }

    async fn delete_version(&self, secret: &NamedVersion) -> Result<(), SecretsError> {
        self.until_done(&self.shared.writes, "delete version", |_| self.store.delete_version(secret)).await
    }

    async fn list(&self, from: Option<&str>) -> Result<SecretPage, SecretsError> {
        self.until_done(&self.shared.reads, "list", |_| self.store.list(from)).await
    }

    async fn get_foreign(&self, secret: &ForeignName) -> Result<ForeignSecret, SecretsError> {
        self.until_done(&self.shared.reads, "resolve a reference", |_| self.store.get_foreign(secret)).await
    }

    fn tariff(&self) -> Option<Tariff> {
        self.store.tariff()
    }

    /// At once and once: it shall say how things are.
    async fn check(&self) -> Vec<CheckStep> {
        self.store.check().await
    }

    fn sealer(&self) -> Option<&dyn Sealer> {
        self.store.sealer()
    }
}

#[cfg(test)]
#[path = "retry_tests.rs"]
mod tests;
