//! Who asks, and the proof that somebody is an admin.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What a caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads plaintext, changes and deletes.
    Admin,
    /// An ingestion bot that an admin gave this role: reads references, creates services that do not exist.
    Worker,
    /// Sees services, never their connection parameters.
    None,
}

impl Role {
    /// The role as rows and the command line write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Worker => "worker",
            Self::None => "none",
        }
    }

    /// Reads a role as [`Role::as_str`] writes it.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Admin, Self::Worker, Self::None].into_iter().find(|role| role.as_str() == text)
    }
}

/// A person or a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PrincipalKind {
    /// A person.
    User,
    /// A program.
    Bot,
}

impl PrincipalKind {
    /// The kind as rows write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Bot => "bot",
        }
    }

    /// Reads a kind as [`PrincipalKind::as_str`] writes it.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::User, Self::Bot].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// A user or bot that can hold tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Its id.
    pub id: Uuid,
    /// Person or program.
    pub kind: PrincipalKind,
    /// Its name, unique over users and bots, compared by bytes.
    pub name: String,
    /// Its e-mail address; bots have none.
    pub email: Option<String>,
    /// What it may do.
    pub role: Role,
    /// Whether its tokens are refused.
    pub disabled: bool,
    /// When it was made, in milliseconds since the epoch.
    pub created_at: i64,
}

/// Who asks: made from a verified token only.
#[derive(Clone, Debug)]
pub struct Caller {
    principal_id: Uuid,
    name: String,
    kind: PrincipalKind,
    role: Role,
}

impl Caller {
    /// Only the verification of a token makes callers.
    pub(crate) fn of(principal: &Principal) -> Self {
        Self { principal_id: principal.id, name: principal.name.clone(), kind: principal.kind, role: principal.role }
    }

    /// The id of the user or bot.
    pub fn principal_id(&self) -> Uuid {
        self.principal_id
    }

    /// The name of the user or bot, as it appears in `updatedBy` and in the audit.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Person or program.
    pub fn kind(&self) -> PrincipalKind {
        self.kind
    }

    /// What the caller may do.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The proof that this caller is an admin, or nothing.
    pub fn admin(&self) -> Option<Admin<'_>> {
        (self.role == Role::Admin).then_some(Admin(self))
    }
}

/// Proof that a caller is an admin. Functions that return plaintext need one, and only [`Caller::admin`] makes one.
#[derive(Clone, Copy, Debug)]
pub struct Admin<'a>(&'a Caller);

impl Admin<'_> {
    /// The admin's name.
    pub fn name(&self) -> &str {
        &self.0.name
    }
}
