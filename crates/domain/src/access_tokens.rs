//! Users, bots and their opaque tokens: made, verified, listed, revoked.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::RngExt as _;
use sha2::{Digest, Sha256};
use thiserror::Error;
use uuid::Uuid;

use crate::audit::{AuditAction, AuditEntry, Origin};
use crate::caller::{Caller, Principal, PrincipalKind, Role};
use crate::clock::Clock;
use crate::guarded_cache::GuardedCache;
use crate::principal_store::{PrincipalRow, PrincipalStore, PrincipalWriteError, TokenRow};
use crate::row_signer::{KeyId, RowKind, RowMac, RowSigner, SignatureError};
use crate::secret::SecretValue;
use crate::store_error::StoreError;

/// How long a verified token is believed without another look; revoking empties the cache at once.
const CACHE_TIME: Duration = Duration::from_mins(1);

/// How many verified tokens are remembered.
const CACHED_TOKENS: u64 = 10_000;

/// Uses are noted to about this many milliseconds.
const TOUCH_EVERY: i64 = 60_000;

/// Letters and digits of tokens.
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// SHA-256 of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TokenHash(pub [u8; 32]);

/// The form of a token: `strongroom_`, 38 random characters (226 bits), 6 of a checksum (CRC-32 in base 62), so that
/// secret scanners find it: `strongroom_[0-9A-Za-z]{44}`. One block of SHA-256 holds 55 bytes: the whole of it.
#[derive(Debug)]
pub struct AccessToken;

impl AccessToken {
    const PREFIX: &'static str = "strongroom_";
    const RANDOM: usize = 38;
    const CHECKSUM: usize = 6;

    /// A new token.
    pub fn generate() -> SecretValue {
        let mut random = rand::rng();
        let letter = |number: usize| ALPHABET.get(number).copied().map_or('0', char::from);
        let mut token = String::with_capacity(Self::PREFIX.len() + Self::RANDOM + Self::CHECKSUM);
        token.push_str(Self::PREFIX);
        token.extend((0..Self::RANDOM).map(|_| letter(random.random_range(0..ALPHABET.len()))));
        let checksum = Self::checksum(&token);
        token.push_str(&checksum);
        SecretValue::new(token)
    }

    /// The hash of a well-formed token; nothing for anything else, without asking the database.
    pub fn hash(token: &str) -> Option<TokenHash> {
        let (head, checksum) = token.split_at_checked(Self::PREFIX.len() + Self::RANDOM)?;
        let is_well_formed = head.starts_with(Self::PREFIX) && Self::checksum(head) == checksum;
        is_well_formed.then(|| TokenHash(Sha256::digest(token.as_bytes()).into()))
    }

    fn checksum(head: &str) -> String {
        let mut rest = crc32fast::hash(head.as_bytes()) as usize;
        let mut digits = ['0'; Self::CHECKSUM];
        for digit in digits.iter_mut().rev() {
            *digit = ALPHABET.get(rest % ALPHABET.len()).copied().map_or('0', char::from);
            rest /= ALPHABET.len();
        }
        digits.into_iter().collect()
    }
}

/// A token that was just made: the only time it is seen.
#[derive(Debug)]
pub struct IssuedToken {
    /// Its id, by which it is revoked.
    pub id: Uuid,
    /// The token.
    pub token: SecretValue,
    /// When it ends, in milliseconds since the epoch; none: never.
    pub expires_at: Option<i64>,
}

/// A token in a list.
#[derive(Clone, Debug)]
pub struct ListedToken {
    /// The row.
    pub token: TokenRow,
    /// Whose it is.
    pub owner: Principal,
    /// Why it is not believed, and so refused.
    pub fault: Option<SignatureError>,
}

/// Why a user, bot or token could not be used or changed.
#[derive(Debug, Error)]
pub enum AccessError {
    /// No valid token. The same for every reason, so that nobody learns which tokens exist.
    #[error("a valid access token is needed: Authorization: Bearer <token>")]
    Unauthenticated,
    /// The name is not one.
    #[error("{0}")]
    InvalidName(&'static str),
    /// The name belongs to another user or bot.
    #[error("a user or bot of this name exists")]
    NameTaken,
    /// There is no such user, bot or token.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// The row was changed by someone who has no key.
    #[error("the row of {0} is not believed: {1}")]
    Unbelieved(String, SignatureError),
    /// Changed at the same time.
    #[error("it was changed at the same time; try again")]
    Raced,
    /// The database could not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<PrincipalWriteError> for AccessError {
    fn from(error: PrincipalWriteError) -> Self {
        match error {
            PrincipalWriteError::NameTaken => Self::NameTaken,
            PrincipalWriteError::Conflict => Self::Raced,
            PrincipalWriteError::Store(error) => Self::Store(error),
        }
    }
}

/// A verified token, remembered.
#[derive(Clone)]
struct Verified {
    caller: Arc<Caller>,
    expires_at: Option<i64>,
}

/// Users, bots and tokens.
pub struct AccessTokens {
    store: Arc<dyn PrincipalStore>,
    signer: Arc<dyn RowSigner>,
    clock: Arc<dyn Clock>,
    cache: GuardedCache<TokenHash, Verified>,
}

impl AccessTokens {
    /// The users, bots and tokens of this store.
    pub fn new(store: Arc<dyn PrincipalStore>, signer: Arc<dyn RowSigner>, clock: Arc<dyn Clock>) -> Self {
        let cache = GuardedCache::new(CACHED_TOKENS, Some(CACHE_TIME), |_: &TokenHash, _: &Verified| 1);
        Self { store, signer, clock, cache }
    }

    /// Who holds this token. Every reason to refuse looks the same from outside.
    pub async fn authenticate(&self, token: &str) -> Result<Arc<Caller>, AccessError> {
        let hash = AccessToken::hash(token).ok_or(AccessError::Unauthenticated)?;
        let now = self.clock.now();
        if let Some(verified) = self.cache.get(&hash) {
            let is_valid = verified.expires_at.is_none_or(|end| now < end);
            return if is_valid { Ok(verified.caller) } else { Err(AccessError::Unauthenticated) };
        }
        let writes = self.cache.writes();
        let found = self.store.find_token(&hash).await?;
        let (token, owner) = found.ok_or(AccessError::Unauthenticated)?;
        self.check_rows(&token, &owner)?;
        let is_valid = token.revoked_at.is_none()
            && token.expires_at.is_none_or(|end| now < end)
            && token.principal_id == owner.principal.id
            && !owner.principal.disabled;
        if !is_valid {
            return Err(AccessError::Unauthenticated);
        }
        if token.last_used_at.is_none_or(|last| now - last >= TOUCH_EVERY) {
            self.touch(token.id, now).await;
        }
        let verified = Verified { caller: Arc::new(Caller::of(&owner.principal)), expires_at: token.expires_at };
        self.cache.keep(writes, hash, verified.clone());
        Ok(verified.caller)
    }

    /// A use that cannot be noted is no reason to refuse the user.
    async fn touch(&self, id: Uuid, now: i64) {
        if let Err(error) = self.store.touch_token(id, now).await {
            tracing::warn!(token.id = %id, error = %error, "the use of a token could not be noted");
        }
    }

    fn check_rows(&self, token: &TokenRow, owner: &PrincipalRow) -> Result<(), AccessError> {
        let checked = verify_token(&*self.signer, token).and_then(|()| verify_principal(&*self.signer, owner));
        checked.map_err(|error| {
            tracing::error!(token.id = %token.id, principal = %owner.principal.name, error = %error,
                "a token is refused because its row, or its owner's, is not believed");
            AccessError::Unauthenticated
        })
    }

    /// Forgets verified tokens, after another process wrote or the key ring changed.
    pub fn forget_all(&self) {
        self.cache.clear();
    }

    /// Answers from memory only until then: whoever follows what others change says so again and again.
    pub fn believe_until(&self, time: Instant) {
        self.cache.believe_until(time);
    }

    /// Makes a user or bot.
    pub async fn create_principal(
        &self,
        (kind, name): (PrincipalKind, &str),
        email: Option<String>,
        role: Role,
        (actor, origin): (&str, &Origin),
    ) -> Result<Principal, AccessError> {
        check_name(name)?;
        let principal = Principal {
            id: Uuid::new_v4(),
            kind,
            name: name.to_owned(),
            email,
            role,
            disabled: false,
            created_at: self.clock.now(),
        };
        let row = signed_principal(&*self.signer, principal.clone());
        let entry = self.entry(actor, origin, AuditAction::CreatePrincipal, (principal.id, name));
        self.store.insert_principal(row, entry).await?;
        Ok(principal)
    }

    /// All users and bots, by name; a row that is not believed comes with the reason.
    pub async fn principals(&self) -> Result<Vec<(Principal, Option<SignatureError>)>, AccessError> {
        let rows = self.store.principals().await?;
        let checked = rows.into_iter().map(|row| {
            let fault = verify_principal(&*self.signer, &row).err();
            (row.principal, fault)
        });
        Ok(checked.collect())
    }

    async fn principal(&self, name: &str) -> Result<PrincipalRow, AccessError> {
        let rows = self.store.principals().await?;
        rows.into_iter().find(|row| row.principal.name == name).ok_or(AccessError::NotFound("user or bot"))
    }

    async fn believed_principal(&self, name: &str) -> Result<PrincipalRow, AccessError> {
        let row = self.principal(name).await?;
        verify_principal(&*self.signer, &row).map_err(|error| AccessError::Unbelieved(name.to_owned(), error))?;
        Ok(row)
    }

    /// Disables a user or bot: its tokens are refused from now on.
    pub async fn disable(&self, name: &str, actor: (&str, &Origin)) -> Result<(), AccessError> {
        let row = self.principal(name).await?;
        let (expected, id) = (row.mac.clone(), row.principal.id);
        // A row that is not believed can be disabled too, and only that: its role is not to be trusted.
        let is_believed = verify_principal(&*self.signer, &row).is_ok();
        let role = if is_believed { row.principal.role } else { Role::None };
        let disabled = signed_principal(&*self.signer, Principal { disabled: true, role, ..row.principal });
        let entry = self.entry(actor.0, actor.1, AuditAction::DisablePrincipal, (id, name));
        let written = self.store.update_principal(disabled, expected, Some(entry)).await;
        self.cache.clear();
        Ok(written?)
    }

    /// Makes a token for a user or bot; `lifetime` in milliseconds, none: without end.
    pub async fn issue(
        &self,
        name: &str,
        lifetime: Option<i64>,
        first_admin: bool,
        (actor, origin): (&str, &Origin),
    ) -> Result<IssuedToken, AccessError> {
        let owner = self.believed_principal(name).await?;
        let token = AccessToken::generate();
        // REVEAL: the hash of the token is what is stored.
        let hash = AccessToken::hash(token.reveal()).ok_or(AccessError::NotFound("token"))?;
        let now = self.clock.now();
        let expires_at = lifetime.map(|lifetime| now.saturating_add(lifetime));
        let unsigned = TokenRow {
            id: Uuid::new_v4(),
            hash,
            principal_id: owner.principal.id,
            first_admin,
            created_at: now,
            expires_at,
            last_used_at: None,
            revoked_at: None,
            mac: RowMac { key_id: KeyId::new(""), tag: Vec::new() },
        };
        let row = signed_token(&*self.signer, unsigned);
        let id = row.id;
        let entry = self.entry(actor, origin, AuditAction::CreateToken, (id, name));
        self.store.insert_token(row, entry).await?;
        Ok(IssuedToken { id, token, expires_at })
    }

    /// All tokens with their owners, newest first; a row that is not believed comes with the reason.
    pub async fn tokens(&self) -> Result<Vec<ListedToken>, AccessError> {
        let rows = self.store.tokens().await?;
        let listed = rows.into_iter().map(|(token, owner)| {
            let checked = verify_token(&*self.signer, &token).and_then(|()| verify_principal(&*self.signer, &owner));
            ListedToken { token, owner: owner.principal, fault: checked.err() }
        });
        Ok(listed.collect())
    }

    /// Revokes a token; it is refused from the next request on. Revoking twice is fine.
    pub async fn revoke(&self, id: Uuid, (actor, origin): (&str, &Origin)) -> Result<(), AccessError> {
        let found = self.store.tokens().await?.into_iter().find(|(token, _)| token.id == id);
        let (token, owner) = found.ok_or(AccessError::NotFound("token"))?;
        if token.revoked_at.is_some() && verify_token(&*self.signer, &token).is_ok() {
            self.cache.clear();
            return Ok(());
        }
        let expected = token.mac.clone();
        let revoked = TokenRow { revoked_at: Some(self.clock.now()), ..token };
        let entry = self.entry(actor, origin, AuditAction::RevokeToken, (id, &owner.principal.name));
        let written = self.store.update_token(signed_token(&*self.signer, revoked), expected, Some(entry)).await;
        self.cache.clear();
        Ok(written?)
    }

    fn entry(&self, actor: &str, origin: &Origin, action: AuditAction, (id, subject): (Uuid, &str)) -> AuditEntry {
        AuditEntry {
            sequence: 0,
            at: self.clock.now(),
            actor: actor.to_owned(),
            action,
            family: None,
            subject_id: Some(id),
            subject: subject.into(),
            secret_paths: Arc::default(),
            address: origin.address_text(),
            request_id: Arc::clone(&origin.request_id),
        }
    }
}

fn check_name(name: &str) -> Result<(), AccessError> {
    let is_name = (1..=128).contains(&name.chars().count()) && !name.chars().any(char::is_control);
    if is_name && name.trim() == name {
        return Ok(());
    }
    Err(AccessError::InvalidName("a name has 1 to 128 characters, no control characters, no space at its ends"))
}

fn with_principal_fields<T>(row: &Principal, use_fields: impl FnOnce(&[&[u8]]) -> T) -> T {
    use_fields(&[
        row.id.as_bytes(),
        row.kind.as_str().as_bytes(),
        row.name.as_bytes(),
        row.email.as_deref().unwrap_or_default().as_bytes(),
        row.role.as_str().as_bytes(),
        &[u8::from(row.disabled)],
        &row.created_at.to_be_bytes(),
    ])
}

pub(crate) fn signed_principal(signer: &dyn RowSigner, principal: Principal) -> PrincipalRow {
    let mac = with_principal_fields(&principal, |fields| signer.sign(RowKind::Principal, fields));
    PrincipalRow { principal, mac }
}

pub(crate) fn verify_principal(signer: &dyn RowSigner, row: &PrincipalRow) -> Result<(), SignatureError> {
    with_principal_fields(&row.principal, |fields| signer.verify(RowKind::Principal, fields, &row.mac))
}

fn with_token_fields<T>(row: &TokenRow, use_fields: impl FnOnce(&[&[u8]]) -> T) -> T {
    let time = |time: Option<i64>| time.map(i64::to_be_bytes).map(Vec::from).unwrap_or_default();
    use_fields(&[
        row.id.as_bytes(),
        &row.hash.0,
        row.principal_id.as_bytes(),
        &[u8::from(row.first_admin)],
        &row.created_at.to_be_bytes(),
        &time(row.expires_at),
        &time(row.revoked_at),
    ])
}

pub(crate) fn signed_token(signer: &dyn RowSigner, mut row: TokenRow) -> TokenRow {
    row.mac = with_token_fields(&row, |fields| signer.sign(RowKind::Token, fields));
    row
}

pub(crate) fn verify_token(signer: &dyn RowSigner, row: &TokenRow) -> Result<(), SignatureError> {
    with_token_fields(row, |fields| signer.verify(RowKind::Token, fields, &row.mac))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_a_form_that_scanners_find_and_a_checksum() {
        let token = AccessToken::generate();
        // REVEAL: a test looks at the form of a token.
        let text = token.reveal();

        assert_eq!(text.len(), "strongroom_".len() + 44);
        assert!(AccessToken::hash(text).is_some());
        let last = if text.ends_with('0') { "1" } else { "0" };
        assert!(AccessToken::hash(&format!("{}{last}", &text[..text.len() - 1])).is_none());
        assert!(AccessToken::hash("strongroom_ä").is_none());
        assert!(AccessToken::hash("").is_none());
    }
}
