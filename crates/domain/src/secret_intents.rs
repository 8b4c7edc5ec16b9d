//! What is about to be put into a store outside of our database, or deleted there: noted before, so that whatever happens
//! in between, what is left over is known.
//!
//! A write to a store and one to the database share no transaction. So an intent is written first; the transaction of the
//! document that names the secret ends it, or fails where the intent is no longer there; and whoever finds an intent that
//! was left behind first makes sure that no document can come to name the secret, and then removes it from the store.

use async_trait::async_trait;
use std::time::Duration;
use thiserror::Error;
use uuid::Uuid;

use crate::secret::{NamedSecret, OwnerKind};
use crate::store_error::StoreError;

/// What is about to be done to a secret in a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// Names the put; the store gets it too.
    pub token: Uuid,
    /// In which store: [`SecretsManager::place`](crate::SecretsManager::place).
    pub place: String,
    /// Which secret, under which name.
    pub secret: NamedSecret,
    /// How far it came.
    pub state: IntentState,
}

/// How far an intent came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntentState {
    /// Perhaps in the store; no document names it yet.
    Putting,
    /// The same, put by a move: whoever goes on with the move repeats this very put.
    Moving,
    /// A document names it; it is yet to be made current.
    Committed,
    /// No document will ever name this put; it is to be taken back.
    Withdrawing,
    /// No document names the secret any more; it is to be deleted when its time of grace is over.
    Deleting,
    /// It is being deleted: nobody may come to name it again.
    Removing,
}

impl IntentState {
    /// The word for this state in rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Putting => "putting",
            Self::Moving => "moving",
            Self::Committed => "committed",
            Self::Withdrawing => "withdrawing",
            Self::Deleting => "deleting",
            Self::Removing => "removing",
        }
    }

    /// Reads a state as [`IntentState::as_str`] writes it.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Putting, Self::Moving, Self::Committed, Self::Withdrawing, Self::Deleting, Self::Removing]
            .into_iter()
            .find(|it| it.as_str() == text)
    }
}

/// A deletion that a write brings along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedDeletion {
    /// Its token: names the intent.
    pub token: Uuid,
    /// In which store.
    pub place: String,
    /// Which secret.
    pub secret: NamedSecret,
    /// How long workers may still need it. Whoever plans it deals with it at once where this is zero; for anybody else it is
    /// due a minute later at the soonest.
    pub grace: Duration,
}

/// What a write of a service does to intents, in its own transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IntentChanges {
    /// Puts that the document now names and that are current already: their intents end. The write is refused where one
    /// of them is neither [`IntentState::Putting`] nor [`IntentState::Moving`] any more.
    pub ended: Vec<Uuid>,
    /// Puts that the document now names and that are to be made current. Refused likewise.
    pub committed: Vec<Uuid>,
    /// Secrets that no document names any more.
    pub deletions: Vec<PlannedDeletion>,
}

/// Why nothing was intended.
#[derive(Debug, Error)]
pub enum IntentError {
    /// Somebody else holds this name (in its normal form), or is about to.
    #[error("the name of a secret is taken")]
    NameTaken(String),
    /// The database could not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Where intents are kept. Times are those of the database.
#[async_trait]
pub trait IntentStore: Send + Sync {
    /// Notes intents to put, all or none. Each is due after `due_in`, when whoever noted it has vanished. Refused where
    /// anyone else (another owner, or another field) holds the name, has typed it as a reference, or has an intent on it;
    /// and where the field itself has an intent on it that is [`IntentState::Removing`], or that is
    /// [`IntentState::Withdrawing`] while it does not hold the name: the secret may be about to go. An intent of the field
    /// itself that is [`IntentState::Deleting`] ends, since the secret of that name is wanted again.
    async fn intend(&self, intents: &[Intent], due_in: Duration) -> Result<(), IntentError>;

    /// All intents on the secrets of an owner.
    async fn intents_of(&self, owner: (OwnerKind, Uuid)) -> Result<Vec<Intent>, StoreError>;

    /// Up to `limit` intents that are due: left behind, or a deletion whose time has come; the oldest first.
    async fn due_intents(&self, limit: usize) -> Result<Vec<Intent>, StoreError>;

    /// Makes an intent that is due not due for this time; says whether it was: of several who deal with what is left behind,
    /// one gets it.
    async fn claim_intent(&self, token: Uuid, lasts: Duration) -> Result<bool, StoreError>;

    /// From [`IntentState::Putting`] or [`IntentState::Moving`] to [`IntentState::Withdrawing`]: no write can end this intent any more. Says whether
    /// the intent is one to be withdrawn now (also where it was already).
    async fn withdraw_intent(&self, token: Uuid) -> Result<bool, StoreError>;

    /// From [`IntentState::Deleting`] or [`IntentState::Withdrawing`] to [`IntentState::Removing`]: says whether the secret is
    /// one to be deleted now (also where it was already). It is not while anybody has an intent to put a secret of this name:
    /// what is there may be his.
    async fn begin_deletion(&self, token: Uuid) -> Result<bool, StoreError>;

    /// Puts off intents that could not be dealt with now.
    async fn put_off(&self, tokens: &[Uuid], due_in: Duration) -> Result<(), StoreError>;

    /// Forgets intents: they are dealt with.
    async fn forget_intents(&self, tokens: &[Uuid]) -> Result<(), StoreError>;

    /// Which of these names (in their normal form) neither a secret of ours nor an intent has: for leftovers in a store.
    async fn unknown_names(&self, normal_names: &[String]) -> Result<Vec<String>, StoreError>;
}
