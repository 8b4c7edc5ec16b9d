//! The promises of design section 4, one function each. They know nothing of the backend but its trait.

use std::fmt::Write as _;
use std::io;
use std::sync::{Arc, Mutex};

use strongroom_domain::{
    NamedSecret, NamedVersion, OwnerKind, PutMode, SecretId, SecretPut, SecretValue, SecretVersion, SecretsError,
    SecretsErrorKind, SecretsManager,
};
use tracing::level_filters::LevelFilter;
use uuid::Uuid;

type Manager = Arc<dyn SecretsManager>;

const PRIVATE_KEY: &str = "-----BEGIN PRIVATE KEY-----\nMIIBVgIBADANBgkqhkiG9w0BAQEFAASCAUAwggE8\r\n\
    AgEAAkEAq7BFUpkGp3+LQmlQYx2eqzDV+xeG8kx/sQFV18S5JhzGeIJNA72wSeukEPoj\n-----END PRIVATE KEY-----\n";

/// What secrets look like in the wild, and what stores have been seen to change.
const VALUES: &[&str] = &[
    "hunter2",
    " leading and trailing space ",
    "\n",
    "tab\tand\0nul\x7f",
    "line one\nline two\r\nline three\r",
    PRIVATE_KEY,
    "{\"type\": \"service_account\", \"private_key\": \"-----BEGIN\\n\"}",
    "caf\u{e9} composed",
    "cafe\u{301} decomposed",
    "\u{1f511}\u{1f469}\u{200d}\u{1f4bb} keys",
    "\u{feff}byte order mark",
    "null",
    "*********",
    "secret:/another/reference",
    "{{ssm:name}} ${VAR} %s $(id) '; DROP TABLE secrets; --",
    "0",
];

fn value(text: &str) -> SecretValue {
    SecretValue::new(text.to_owned())
}

/// A name that no other id has, and that every store takes: how names are made for people is the domain's matter.
pub(crate) fn named(id: SecretId) -> NamedSecret {
    let path = Uuid::new_v5(&id.owner_id, id.path.as_bytes());
    let name = format!("/suite/{}/{}/{}", id.owner_kind.as_str(), id.owner_id, path.simple());
    NamedSecret { id, name }
}

pub(crate) fn a_secret() -> NamedSecret {
    named(SecretId::of_service(Uuid::new_v4(), "/config/authType/password"))
}

/// A put of its own; tests change what they are about.
pub(crate) fn put_of<'a>(secret: &'a NamedSecret, value: &'a SecretValue) -> SecretPut<'a> {
    SecretPut { secret, label: "My Shop", value, token: Uuid::new_v4(), mode: PutMode::New, is_repeated: false }
}

async fn try_put(manager: &Manager, secret: &NamedSecret, text: &str) -> Result<NamedVersion, SecretsError> {
    let version = manager.put(put_of(secret, &value(text))).await?;
    Ok(NamedVersion { secret: secret.clone(), version })
}

async fn put(manager: &Manager, secret: &NamedSecret, text: &str) -> NamedVersion {
    try_put(manager, secret, text).await.unwrap()
}

/// Replaces what a document names, as a change of a service does.
async fn replace(manager: &Manager, secret: &NamedSecret, text: &str) -> NamedVersion {
    let value = value(text);
    let put = SecretPut { mode: PutMode::Replace, ..put_of(secret, &value) };
    NamedVersion { secret: secret.clone(), version: manager.put(put).await.unwrap() }
}

fn version(secret: NamedSecret, version: SecretVersion) -> NamedVersion {
    NamedVersion { secret, version }
}

async fn read(manager: &Manager, secret: &NamedVersion) -> String {
    manager.get(secret).await.unwrap().value.reveal().to_owned()
}

async fn is_not_found(manager: &Manager, secret: &NamedVersion) -> bool {
    let alone = manager.get(secret).await.err().map(|error| error.kind);
    let among_many = manager.get_many(std::slice::from_ref(secret)).await.remove(0).err().map(|error| error.kind);
    alone == Some(SecretsErrorKind::NotFound) && among_many == alone
}

pub(crate) async fn a_value_reads_back_byte_for_byte(manager: &Manager) {
    for text in VALUES {
        if let Some(rule) = manager.refusal(&value(text)) {
            let error = try_put(manager, &a_secret(), text).await.unwrap_err();
            assert_eq!((error.kind, error.detail.as_deref()), (SecretsErrorKind::Settings, Some(rule)));
            continue;
        }
        let secret = put(manager, &a_secret(), text).await;

        assert_eq!(read(manager, &secret).await.as_bytes(), text.as_bytes(), "{text:?}");
    }
}

pub(crate) async fn a_value_as_long_as_the_limit_reads_back(manager: &Manager) {
    let limit = manager.limits().value_bytes;
    let ascii = "x".repeat(limit);
    // Four bytes each: a limit in characters would be another one.
    let emoji = "\u{1f511}".repeat(limit / 4);

    for text in [ascii, emoji] {
        let secret = put(manager, &a_secret(), &text).await;

        assert!(read(manager, &secret).await == text, "a value of {} bytes came back changed", text.len());
    }
}

pub(crate) async fn a_value_over_the_limit_is_too_large(manager: &Manager) {
    let limit = manager.limits().value_bytes;
    let id = a_secret();
    let kept = put(manager, &id, "kept").await;

    let error = try_put(manager, &id, &"x".repeat(limit + 1)).await.unwrap_err();

    assert_eq!(error.kind, SecretsErrorKind::TooLarge { limit });
    assert!(!error.is_retryable());
    assert_eq!(read(manager, &kept).await, "kept");
}

pub(crate) async fn each_put_makes_a_new_version(manager: &Manager) {
    let id = a_secret();

    let first = put(manager, &id, "same").await;
    let second = put(manager, &id, "same").await;

    assert_ne!(first.version, second.version);
    assert_eq!(read(manager, &second).await, "same");
}

pub(crate) async fn an_older_version_stays_readable_until_it_is_deleted(manager: &Manager) {
    if !manager.limits().keeps_versions {
        return;
    }
    let id = a_secret();

    let old = put(manager, &id, "old").await;
    let new = put(manager, &id, "new").await;

    assert_eq!(read(manager, &old).await, "old");
    assert_eq!(read(manager, &new).await, "new");
}

pub(crate) async fn deleting_one_version_leaves_the_others(manager: &Manager) {
    let id = a_secret();
    let old = put(manager, &id, "old").await;
    let new = put(manager, &id, "new").await;

    manager.delete_version(&old).await.unwrap();
    manager.delete_version(&old).await.unwrap();

    assert_eq!(read(manager, &new).await, "new");
    // A store with a history of its own may still have it; it must not give another value for it.
    match manager.get(&old).await {
        Ok(kept) => assert_eq!(kept.value.reveal(), "old"),
        Err(error) => assert_eq!(error.kind, SecretsErrorKind::NotFound),
    }
}

pub(crate) async fn a_missing_secret_is_not_found(manager: &Manager) {
    let never_put = version(a_secret(), SecretVersion::random());

    assert!(is_not_found(manager, &never_put).await);
}

pub(crate) async fn a_version_of_another_secret_is_not_found(manager: &Manager) {
    let mine = put(manager, &a_secret(), "mine").await;
    let other = put(manager, &a_secret(), "other").await;

    // A store that counts its versions gives both the same number.
    if mine.version != other.version {
        assert!(is_not_found(manager, &version(mine.secret, other.version)).await);
    }
}

pub(crate) async fn deleting_the_absent_succeeds(manager: &Manager) {
    let never_put = version(a_secret(), SecretVersion::random());

    manager.delete(&never_put.secret).await.unwrap();
    manager.delete_version(&never_put).await.unwrap();
}

pub(crate) async fn a_deleted_secret_is_gone_with_all_its_versions(manager: &Manager) {
    let id = a_secret();
    let old = put(manager, &id, "old").await;
    let new = put(manager, &id, "new").await;

    manager.delete(&id).await.unwrap();

    assert!(is_not_found(manager, &old).await);
    assert!(is_not_found(manager, &new).await);
}

pub(crate) async fn a_deleted_secret_can_be_put_again_at_once(manager: &Manager) {
    let id = a_secret();
    let before = put(manager, &id, "before").await;
    manager.delete(&id).await.unwrap();

    let after = put(manager, &id, "after").await;

    assert_eq!(read(manager, &after).await, "after");
    // A store may count from one again, and one with a recovery window has the old version again. No document names it.
    match manager.get(&before).await {
        _ if before.version == after.version => {}
        Ok(kept) => assert_eq!((kept.value.reveal(), kept.is_current), ("before", false)),
        Err(error) => assert_eq!(error.kind, SecretsErrorKind::NotFound),
    }
}

pub(crate) async fn ids_that_look_alike_stay_apart(manager: &Manager) {
    let owner = Uuid::new_v4();
    let paths = [
        "/config/password",
        "/config/Password",
        "/config/PASSWORD",
        "/config/pass.word",
        "/config/pass_word",
        "/config/pass-word",
        "/config/pass/word",
        "/config/pass~1word",
        "/config/pass%2Fword",
        "/config/pass word",
        "/config/password ",
        "/config/password/",
        "/config//password",
        "/config/pass\u{e9}",
        "/config/passe\u{301}",
        "/config/pass\0word",
        "/config",
        "",
    ];
    let mut secrets = Vec::new();
    for path in paths {
        secrets.push(put(manager, &named(SecretId::of_service(owner, path)), &format!("value of {path:?}")).await);
    }

    manager.delete(&secrets[0].secret).await.unwrap();

    assert!(is_not_found(manager, &secrets[0]).await);
    for (secret, path) in secrets.iter().zip(paths).skip(1) {
        assert_eq!(read(manager, secret).await, format!("value of {path:?}"));
    }
}

pub(crate) async fn two_owners_do_not_see_each_other(manager: &Manager) {
    let mine = a_secret();
    let of_another_id = named(SecretId { owner_id: Uuid::new_v4(), ..mine.id.clone() });
    let of_another_kind = named(SecretId { owner_kind: OwnerKind::Probe, ..mine.id.clone() });
    let kept = put(manager, &mine, "mine").await;
    for other in [of_another_id, of_another_kind] {
        assert!(is_not_found(manager, &version(other.clone(), kept.version.clone())).await);

        let theirs = put(manager, &other, "theirs").await;
        assert_eq!(read(manager, &theirs).await, "theirs");
        manager.delete(&other).await.unwrap();

        assert_eq!(read(manager, &kept).await, "mine");
    }
}

pub(crate) async fn concurrent_puts_leave_whole_values(manager: &Manager) {
    let id = a_secret();
    let texts: Vec<String> = ('a'..='p').map(|letter| letter.to_string().repeat(4_000)).collect();

    let mut puts = tokio::task::JoinSet::new();
    for text in texts.clone() {
        let (manager, id) = (Arc::clone(manager), id.clone());
        puts.spawn(async move { (put(&manager, &id, &text).await, text) });
    }
    let stored = puts.join_all().await;

    for (secret, text) in stored {
        match manager.get(&secret).await {
            Ok(kept) if manager.limits().keeps_versions => assert!(kept.value.reveal() == text, "a put lost its value"),
            Ok(kept) => assert!(texts.iter().any(|text| kept.value.reveal() == text), "two puts were mixed"),
            Err(error) => assert!(!manager.limits().keeps_versions, "{error}"),
        }
    }
}

pub(crate) async fn reading_many_keeps_the_order_and_one_bad_id_spoils_no_other(manager: &Manager) {
    let first = put(manager, &a_secret(), "first").await;
    let absent = version(a_secret(), SecretVersion::random());
    let last = put(manager, &a_secret(), "last").await;

    let read = manager.get_many(&[last.clone(), absent, first.clone(), last]).await;

    let seen: Vec<Result<&str, SecretsErrorKind>> =
        read.iter().map(|read| read.as_ref().map(|found| found.value.reveal()).map_err(|error| error.kind)).collect();
    assert_eq!(seen, [Ok("last"), Err(SecretsErrorKind::NotFound), Ok("first"), Ok("last")]);
}

pub(crate) async fn reading_more_than_a_batch_gives_them_all(manager: &Manager) {
    let some = [put(manager, &a_secret(), "value 0").await, put(manager, &a_secret(), "value 1").await];
    let more_than_a_batch = manager.limits().read_batch.min(1_000) + 1;
    let asked: Vec<NamedVersion> = (0..more_than_a_batch).map(|index| some[index % 2].clone()).collect();

    let read = manager.get_many(&asked).await;

    assert_eq!(read.len(), more_than_a_batch);
    for (index, value) in read.into_iter().enumerate() {
        assert_eq!(value.unwrap().value.reveal(), format!("value {}", index % 2));
    }
}

pub(crate) async fn a_repeated_put_makes_one_version(manager: &Manager) {
    for mode in [PutMode::New, PutMode::Move, PutMode::Replace] {
        let (secret, value) = (a_secret(), value("value"));
        let first = SecretPut { mode, ..put_of(&secret, &value) };

        let version = manager.put(first).await.unwrap();
        let repeated = manager.put(SecretPut { is_repeated: true, ..first }).await.unwrap();

        assert_eq!(version, repeated, "{mode:?}");
    }
    // Also where it replaced another.
    let (secret, value) = (a_secret(), value("new"));
    put(manager, &secret, "old").await;
    let replacing = SecretPut { mode: PutMode::Replace, ..put_of(&secret, &value) };

    let version = manager.put(replacing).await.unwrap();

    assert_eq!(manager.put(SecretPut { is_repeated: true, ..replacing }).await.unwrap(), version);
}

pub(crate) async fn a_put_is_found_by_its_token_and_no_other_is(manager: &Manager) {
    let (secret, value) = (a_secret(), value("value"));
    let put = put_of(&secret, &value);
    assert_eq!(manager.find_put(&secret, put.token).await.unwrap(), None);

    let version = manager.put(put).await.unwrap();

    assert_eq!(manager.find_put(&secret, put.token).await.unwrap(), Some(version));
    assert_eq!(manager.find_put(&secret, Uuid::new_v4()).await.unwrap(), None);
}

pub(crate) async fn what_replaced_another_is_current_once_a_document_names_it(manager: &Manager) {
    let secret = a_secret();
    let old = put(manager, &secret, "old").await;
    let new = replace(manager, &secret, "new").await;

    for _ in 0..2 {
        manager.make_current(&new, Some(&old.version)).await.unwrap();
    }

    let found = manager.get(&new).await.unwrap();
    assert_eq!((found.value.reveal(), found.is_current), ("new", true));
    if manager.limits().reachable_by_workers {
        let (version, value) = manager.get_current(&secret).await.unwrap();
        assert_eq!((version, value.reveal()), (new.version, "new"));
    }
}

pub(crate) async fn a_withdrawn_put_leaves_the_committed_version(manager: &Manager) {
    let secret = a_secret();
    let committed = put(manager, &secret, "committed").await;
    let withdrawn = replace(manager, &secret, "withdrawn").await;

    for _ in 0..2 {
        manager.withdraw(&withdrawn, Some(&committed.version)).await.unwrap();
    }

    let found = manager.get(&committed).await.unwrap();
    assert_eq!((found.value.reveal(), found.is_current), ("committed", true));
    if manager.limits().reachable_by_workers {
        assert_eq!(manager.get_current(&secret).await.unwrap().1.reveal(), "committed");
    }
}

pub(crate) async fn a_withdrawn_put_that_no_document_followed_is_gone(manager: &Manager) {
    let secret = put(manager, &a_secret(), "withdrawn").await;

    manager.withdraw(&secret, None).await.unwrap();
    manager.withdraw(&secret, None).await.unwrap();

    assert!(is_not_found(manager, &secret).await);
}

pub(crate) async fn reading_none_gives_none(manager: &Manager) {
    assert!(manager.get_many(&[]).await.is_empty());
}

pub(crate) async fn the_check_succeeds_and_can_be_repeated(manager: &Manager) {
    for _ in 0..2 {
        for step in manager.check().await {
            assert!(step.outcome.is_ok(), "{step:?}");
        }
    }
}

pub(crate) async fn no_value_shows_in_an_error_or_a_log_line(manager: &Manager) {
    let canary = "canary-4e1b8a";
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE).with_writer(log.clone()).finish();
    let _captured = tracing::subscriber::set_default(subscriber);
    let id = a_secret();

    let kept = put(manager, &id, canary).await;
    let value_shown = format!("{:?}", manager.get(&kept).await);
    let too_large = canary.repeat(manager.limits().value_bytes / canary.len() + 1);
    let mut errors = vec![try_put(manager, &id, &too_large).await.unwrap_err()];
    manager.delete(&id).await.unwrap();
    errors.push(manager.get(&kept).await.unwrap_err());
    errors.extend(manager.get_many(&[kept]).await.into_iter().filter_map(Result::err));

    assert_eq!(errors.len(), 3);
    for error in &errors {
        assert!(!whole_text(error).contains(canary), "{error}");
    }
    assert!(!value_shown.contains(canary));
    assert!(!log.text().contains(canary));
}

/// An error as any log could show it, with all its causes.
fn whole_text(error: &SecretsError) -> String {
    let mut text = format!("{error} {error:?} {error:#?}");
    let mut cause = std::error::Error::source(error);
    while let Some(beneath) = cause {
        write!(text, " {beneath} {beneath:?}").unwrap();
        cause = beneath.source();
    }
    text
}

/// Log lines of this test's thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl tracing_subscriber::fmt::MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
