//! Round trips and conflicts of services.

use strongroom_domain::{
    AuditAction, CiphertextStore, EntityVersion, Family, Include, KeyId, ListQuery, PageCursor, ServiceKey, ServiceRow,
    ServiceStore, ServiceWrite, ServiceWriteError, VersionRow,
};
use uuid::Uuid;

use super::{Scratch, creation, entry, mac, next, row, sealed, stored, write};

#[tokio::test]
async fn a_service_reads_back_byte_for_byte() {
    let scratch = Scratch::new();
    let written = ServiceRow {
        fqn: "\"häuser.😀\"".to_owned(),
        family: Family::MlModel,
        deleted: true,
        version: EntityVersion::from_tenths(17),
        revision: u64::MAX,
        document: "{\"a\": \"\u{0}\u{1F600} e\u{301} é \\u0041\n\"}".to_owned(),
        secrets: "[\"/config/Pässwort\"]".to_owned(),
        mac: mac("a key's id", 0xff),
        ..row("x")
    };
    let large = (0..65_536_u32).map(|number| u8::try_from(number % 251).unwrap()).collect::<Vec<_>>();
    let secrets = vec![
        sealed(written.id, "/config/a~1b", "1", &large),
        sealed(written.id, "/config/A~1b", "1", b""),
        sealed(written.id, "/config/e\u{301}", "2", b"\0\x01\xff"),
        sealed(written.id, "/config/é", "2", b"composed"),
    ];
    write(&scratch.database, ServiceWrite { sealed: secrets.clone(), ..creation(written.clone()) }).await.unwrap();

    for key in [ServiceKey::Id(written.id), ServiceKey::Name(written.fqn.clone())] {
        let read = scratch.database.find(Family::MlModel, &key).await.unwrap().unwrap();

        assert_eq!(format!("{:?}", read.row), format!("{written:?}"));
        assert_eq!(read.ciphertexts.len(), secrets.len());
        for secret in &secrets {
            let found = read.ciphertexts.iter().find(|found| found.secret == secret.secret).unwrap();
            assert_eq!(found.ciphertext, secret.ciphertext);
        }
        assert!(scratch.database.find(Family::Database, &key).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn names_that_look_alike_stay_apart() {
    let scratch = Scratch::new();
    let names = [
        "shop",
        "Shop",
        "shop ",
        " shop",
        "shop\t",
        "é",
        "e\u{301}",
        "\u{fb01}sh",
        "fish",
        "😀",
        "a/b",
        "a%2Fb",
        "straße",
        "strasse",
    ];
    let mut ids = Vec::new();
    for name in names {
        ids.push(scratch.create(name).await.id);
    }

    for (name, id) in names.iter().zip(ids) {
        let found = scratch.find(name).await.unwrap();

        assert_eq!((found.row.id, found.row.fqn.as_str()), (id, *name));
    }
}

#[tokio::test]
async fn a_name_is_unique_within_its_family_only() {
    let scratch = Scratch::new();
    scratch.create("shop").await;

    let again = write(&scratch.database, creation(row("shop"))).await;
    let elsewhere = ServiceRow { family: Family::Dashboard, ..row("shop") };

    assert!(matches!(again, Err(ServiceWriteError::AlreadyExists)));
    write(&scratch.database, creation(elsewhere)).await.unwrap();
}

#[tokio::test]
async fn an_update_replaces_the_row_its_secrets_and_keeps_history() {
    let scratch = Scratch::new();
    let first = row("shop");
    let old = vec![sealed(first.id, "/password", "1", b"old"), sealed(first.id, "/key", "1", b"gone")];
    write(&scratch.database, ServiceWrite { sealed: old, ..creation(first.clone()) }).await.unwrap();
    let changed = ServiceRow { document: "{\"new\":1}".to_owned(), version: first.version.next(), ..first.clone() };
    let update = ServiceWrite {
        sealed: vec![
            sealed(first.id, "/password", "2", b"a longer new one"),
            sealed(first.id, "/token", "2", b"added"),
        ],
        superseded: vec![stored(first.id, "/password", "1"), stored(first.id, "/key", "1")],
        history: Some(VersionRow { version: first.version, document: "{\"masked\":1}".to_owned() }),
        ..next(&changed)
    };

    write(&scratch.database, update).await.unwrap();

    let read = scratch.find("shop").await.unwrap();
    let secrets: Vec<_> = read
        .ciphertexts
        .iter()
        .map(|row| (row.secret.id.path.as_str(), row.secret.version.as_str(), row.ciphertext.as_slice()))
        .collect();
    assert_eq!((read.row.document.as_str(), read.row.revision), ("{\"new\":1}", 2));
    assert_eq!(secrets, [("/password", "2", b"a longer new one".as_slice()), ("/token", "2", b"added")]);
    let history = scratch.database.history(first.id).await.unwrap();
    assert_eq!(history.len(), 1);
    assert_eq!((history[0].version, history[0].document.as_str()), (first.version, "{\"masked\":1}"));
}

#[tokio::test]
async fn a_secret_changes_its_key_with_its_version() {
    let scratch = Scratch::new();
    let first = row("shop");
    let old = sealed(first.id, "/password", "1", b"old");
    write(&scratch.database, ServiceWrite { sealed: vec![old], ..creation(first.clone()) }).await.unwrap();
    let mut new = sealed(first.id, "/password", "2", b"new");
    new.key_id = KeyId::new("second-key");
    let superseded = vec![stored(first.id, "/password", "1")];

    write(&scratch.database, ServiceWrite { sealed: vec![new], superseded, ..next(&first) }).await.unwrap();

    let second = scratch.database.encrypted_with(&KeyId::new("second-key"), 10).await.unwrap();
    assert!(scratch.database.encrypted_with(&KeyId::new("first-key"), 10).await.unwrap().is_empty());
    assert_eq!(second.iter().map(|row| row.ciphertext.as_slice()).collect::<Vec<_>>(), [b"new"]);
}

#[tokio::test]
async fn history_comes_newest_first() {
    let scratch = Scratch::new();
    let mut current = scratch.create("shop").await;
    for version in [9, 10, 11] {
        let version = EntityVersion::from_tenths(version);
        let before = VersionRow { version, document: version.to_string() };
        let update = ServiceWrite { history: Some(before), ..next(&current) };
        current = update.row.clone();
        write(&scratch.database, update).await.unwrap();
    }

    let history = scratch.database.history(current.id).await.unwrap();

    assert_eq!(history.iter().map(|row| row.document.as_str()).collect::<Vec<_>>(), ["1.1", "1.0", "0.9"]);
}

#[tokio::test]
async fn a_write_of_an_old_revision_is_a_conflict_and_leaves_nothing() {
    let scratch = Scratch::new();
    let first = scratch.create("shop").await;
    write(&scratch.database, next(&first)).await.unwrap();
    let late = ServiceWrite { sealed: vec![sealed(first.id, "/password", "9", b"late")], ..next(&first) };

    let outcome = write(&scratch.database, late).await;

    assert!(matches!(outcome, Err(ServiceWriteError::Conflict)));
    assert!(scratch.find("shop").await.unwrap().ciphertexts.is_empty());
    assert_eq!(scratch.audit_count().await, 2);
}

#[tokio::test]
async fn a_write_of_a_service_that_is_gone_is_a_conflict() {
    let scratch = Scratch::new();

    let outcome = write(&scratch.database, next(&row("shop"))).await;

    assert!(matches!(outcome, Err(ServiceWriteError::Conflict)));
}

#[tokio::test]
async fn of_concurrent_writers_of_one_service_one_wins() {
    let scratch = Scratch::new();
    let first = scratch.create("shop").await;
    let tasks: Vec<_> = (0..16)
        .map(|number| {
            let database = scratch.database.clone();
            let update = next(&ServiceRow { document: number.to_string(), ..first.clone() });
            tokio::spawn(async move { write(&database, update).await })
        })
        .collect();

    let mut won = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(()) => won += 1,
            Err(error) => assert!(matches!(error, ServiceWriteError::Conflict), "{error}"),
        }
    }

    assert_eq!(won, 1);
    assert_eq!(scratch.find("shop").await.unwrap().row.revision, 2);
}

#[tokio::test]
async fn erasing_takes_secrets_names_and_history_along() {
    let scratch = Scratch::new();
    let first = row("shop");
    let mut creation = ServiceWrite {
        sealed: vec![sealed(first.id, "/password", "1", b"canary-ciphertext")],
        ..creation(first.clone())
    };
    creation.names.claimed = vec![super::names::name("/shop/password")];
    creation.names.typed = Some(vec![super::names::name("/theirs")]);
    write(&scratch.database, creation).await.unwrap();
    let history = Some(VersionRow { version: first.version, document: "{}".to_owned() });
    write(&scratch.database, ServiceWrite { history, ..next(&first) }).await.unwrap();
    let other = scratch.create("other").await;

    let audit = entry(AuditAction::HardDelete, first.id, "shop");
    let old_revision = scratch.database.erase(first.id, 1, audit.clone()).await;
    scratch.database.erase(first.id, 2, audit).await.unwrap();

    assert!(matches!(old_revision, Err(ServiceWriteError::Conflict)));
    assert!(scratch.find("shop").await.is_none());
    assert!(scratch.database.history(first.id).await.unwrap().is_empty());
    let names = ["/shop/password".to_owned(), "/theirs".to_owned()];
    assert!(scratch.database.holders(&names).await.unwrap().is_empty());
    assert!(scratch.database.load(&[stored(first.id, "/password", "1")]).await.unwrap()[0].is_none());
    assert_eq!(scratch.find("other").await.unwrap().row.id, other.id);
}

#[tokio::test]
async fn what_was_erased_is_not_in_the_file_any_more() {
    let scratch = Scratch::new();
    let first = row("shop");
    let canary = b"canary-4711-".repeat(700);
    let secret = sealed(first.id, "/password", "1", &canary);
    write(&scratch.database, ServiceWrite { sealed: vec![secret], ..creation(first.clone()) }).await.unwrap();

    scratch.database.erase(first.id, 1, entry(AuditAction::HardDelete, first.id, "shop")).await.unwrap();

    // The last connection to close empties the log into the file.
    let Scratch { database, path, folder: _folder } = scratch;
    drop(database);
    let bytes = std::fs::read(&path).unwrap();
    assert!(!bytes.windows(11).any(|window| window == b"canary-4711"));
}

#[tokio::test]
async fn a_scan_goes_through_all_families_in_the_order_of_ids() {
    let scratch = Scratch::new();
    assert!(scratch.database.is_empty().await.unwrap());
    let mut ids = Vec::new();
    for family in Family::ALL {
        let service = ServiceRow { family, ..row("shop") };
        ids.push(service.id);
        let sealed = vec![sealed(service.id, "/password", "1", b"x")];
        write(&scratch.database, ServiceWrite { sealed, ..creation(service) }).await.unwrap();
    }
    ids.sort();

    let mut scanned: Vec<Uuid> = Vec::new();
    loop {
        let page = scratch.database.scan(scanned.last().copied(), 5).await.unwrap();
        if page.is_empty() {
            break;
        }
        assert!(page.iter().all(|service| service.ciphertexts.len() == 1));
        scanned.extend(page.iter().map(|service| service.row.id));
    }

    assert_eq!(scanned, ids);
    assert!(!scratch.database.is_empty().await.unwrap());
}

#[tokio::test]
async fn only_rows_that_did_not_change_get_a_new_mac() {
    let scratch = Scratch::new();
    let (kept, changed) = (scratch.create("kept").await, scratch.create("changed").await);
    let old = ServiceStore::signed_with(&scratch.database, &KeyId::new("first-key"), 10).await.unwrap();
    write(&scratch.database, next(&changed)).await.unwrap();

    let replacements = old.into_iter().map(|row| (row, mac("second-key", 2))).collect();
    let replaced = scratch.database.resign(replacements).await.unwrap();

    assert_eq!(replaced, 1);
    assert_eq!(scratch.find("kept").await.unwrap().row.mac, mac("second-key", 2));
    let left = ServiceStore::signed_with(&scratch.database, &KeyId::new("first-key"), 10).await.unwrap();
    assert_eq!(left.iter().map(|row| row.id).collect::<Vec<_>>(), [changed.id]);
    assert_ne!(kept.id, changed.id);
}

#[tokio::test]
async fn a_row_whose_text_was_broken_behind_our_back_spoils_no_list() {
    let scratch = Scratch::new();
    scratch.create("a").await;
    scratch.create("b").await;
    scratch
        .other_connection()
        .execute("UPDATE services SET document = CAST(x'ff7b' AS TEXT), version = -1 WHERE fqn = 'a'", [])
        .unwrap();

    let query = ListQuery { family: Family::Database, include: Include::All, cursor: PageCursor::Start, limit: 10 };
    let page = scratch.database.list(query).await.unwrap();

    assert_eq!(page.services.len(), 2);
    assert_eq!(page.services[0].row.document, "\u{fffd}{");
}
