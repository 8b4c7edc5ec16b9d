//! Everything is kept byte for byte, and only what is the same in every byte is the same. Texts hold no NUL: the domain
//! lets none in.

use strongroom_domain::{
    EntityVersion, Family, Include, KeyId, ListQuery, PageCursor, ServiceKey, ServiceRow, ServiceWrite, StoredService,
    VersionRow,
};
use uuid::Uuid;

use super::rows::{create, creation, find, mac, next, row, sealed, stored};
use crate::support::stores::Store;

/// Some engine or collation takes each of these for another one of them, or changes it.
const LOOK_ALIKES: [&str; 34] = [
    "shop",
    "Shop",
    "SHOP",
    "shop ",
    "shop  ",
    " shop",
    "shop\u{a0}",
    "shop\u{200b}",
    "\u{feff}shop",
    "sh\u{f6}p",
    "sho\u{308}p",
    "\u{e9}",
    "e\u{301}",
    "\u{c9}",
    "\u{212b}",
    "\u{c5}",
    "\u{fb01}sh",
    "fish",
    "stra\u{df}e",
    "strasse",
    "\u{130}",
    "i",
    "I",
    "\u{131}",
    "\u{1F600}",
    "\u{1F601}",
    "\u{1F469}\u{200d}\u{1F4BB}",
    "\u{10ffff}",
    "a/b",
    "a%2Fb",
    "a_b",
    "a\\b",
    "'; DROP TABLE services; --",
    "$1 ? :name %s {}",
];

/// The longest name of a service, in the longest characters.
fn longest(last: &str) -> String {
    "\u{1F600}".repeat(255) + last
}

async fn services_whose_names_look_alike_stay_apart(store: Store) {
    let mut rows = Vec::new();
    for name in LOOK_ALIKES {
        rows.push(create(&store, name).await);
    }

    for row in rows {
        let found = find(&store, &row.fqn).await.unwrap();

        assert_eq!(format!("{:?}", found.row), format!("{row:?}"));
    }
}

async fn the_longest_names_are_kept_whole_and_differ_by_their_last_character(store: Store) {
    let names = [longest("\u{1F600}"), longest("\u{1F601}"), format!("\"{}\"", "\"\"".repeat(256))];

    for name in &names {
        create(&store, name).await;
    }

    for name in names {
        let found = find(&store, &name).await.unwrap();
        assert_eq!((found.row.fqn.as_str(), found.row.document), (name.as_str(), row(&name).document));
    }
}

async fn a_name_that_no_row_can_hold_is_not_found(store: Store) {
    create(&store, "shop").await;

    for name in ["shop\0", "\0", "", "\u{fffd}", &"x".repeat(100_000)] {
        let found = find(&store, name).await;
        let behind = first_page(PageCursor::After(format!("shop{name}")));
        let page = store.services.list(behind).await.unwrap();

        assert!(found.is_none(), "{:?}", name.get(..10));
        assert!(page.services.is_empty(), "{:?}", name.get(..10));
    }
}

async fn a_service_reads_back_byte_for_byte(store: Store) {
    let written = ServiceRow {
        fqn: "\"h\u{e4}user.\u{1F600}\"".to_owned(),
        family: Family::MlModel,
        deleted: true,
        version: EntityVersion::from_tenths(17),
        revision: u64::MAX,
        // Neither parsed nor put in order: the MAC is over the text.
        document: "{\"b\": \"\\u0000 \u{1F600} e\u{301} \u{e9} \\u0041\r\n\", \"a\":1.0, \"a\" : 1e2 } ".to_owned(),
        secrets: "[ \"/config/P\u{e4}sswort\"]".to_owned(),
        mac: mac("a key's id", 0xff),
        ..row("x")
    };
    let secrets = vec![
        sealed(written.id, "/config/a~1b", "1", b"slash"),
        sealed(written.id, "/config/A~1b", "1", b""),
        sealed(written.id, "/config/e\u{301}", "2", b"\0\x01\xff"),
        sealed(written.id, "/config/\u{e9}", "2", b"composed"),
    ];

    store.services.write(ServiceWrite { sealed: secrets.clone(), ..creation(written.clone()) }).await.unwrap();

    for key in [ServiceKey::Id(written.id), ServiceKey::Name(written.fqn.clone())] {
        let read = store.services.find(Family::MlModel, &key).await.unwrap().unwrap();
        let elsewhere = store.services.find(Family::Database, &key).await.unwrap();

        assert_eq!(format!("{:?}", read.row), format!("{written:?}"));
        assert_eq!(read.ciphertexts.len(), secrets.len());
        for secret in &secrets {
            assert_eq!(ciphertext(&read, secret.secret.id.path.as_str()), secret.ciphertext);
        }
        assert!(elsewhere.is_none());
    }
}

fn ciphertext<'a>(service: &'a StoredService, path: &str) -> &'a [u8] {
    &service.ciphertexts.iter().find(|row| row.secret.id.path == path).unwrap().ciphertext
}

async fn every_byte_and_a_large_ciphertext_read_back(store: Store) {
    let service = row("shop");
    let every_byte: Vec<u8> = (0..=u8::MAX).collect();
    let large: Vec<u8> = (0..65_536_u32).map(|number| u8::try_from(number % 251).unwrap()).collect();
    let in_service = vec![
        sealed(service.id, "/every", "1", &every_byte),
        sealed(service.id, "/large", "1", &large),
        sealed(service.id, "/empty", "1", b""),
    ];
    let asked: Vec<_> = in_service.iter().map(|sealed| sealed.secret.clone()).collect();

    store.services.write(ServiceWrite { sealed: in_service, ..creation(service.clone()) }).await.unwrap();

    let loaded = store.ciphertexts.load(&asked).await.unwrap();
    assert_eq!(loaded, [Some(every_byte), Some(large.clone()), Some(Vec::new())]);
    assert!(ciphertext(&find(&store, "shop").await.unwrap(), "/large") == large);
}

async fn a_large_document_reads_back_also_from_lists_and_history(store: Store) {
    let document = "\u{e9}\u{1F600}\\'".repeat(900 * 1_024 / 8);
    assert_eq!(document.len(), 900 * 1_024);
    let service = ServiceRow { document: document.clone(), ..row("shop") };
    store.services.write(creation(service.clone())).await.unwrap();
    let history = Some(VersionRow { version: service.version, document: document.clone() });
    store.services.write(ServiceWrite { history, ..next(&service) }).await.unwrap();

    let found = find(&store, "shop").await.unwrap();
    let listed = store.services.list(first_page(PageCursor::Start)).await.unwrap();
    let history = store.services.history(service.id).await.unwrap();

    assert!(found.row.document == document);
    assert!(listed.services[0].row.document == document);
    assert!(history[0].document == document);
}

fn first_page(cursor: PageCursor) -> ListQuery {
    ListQuery { family: Family::Database, include: Include::All, cursor, limit: 10 }
}

async fn versions_read_back_up_to_the_largest(store: Store) {
    let versions = [1, 9, 10, 4_294_967_296, u64::MAX].map(EntityVersion::from_tenths);
    for (number, version) in versions.into_iter().enumerate() {
        let service = ServiceRow { version, ..row(&number.to_string()) };
        let history = Some(VersionRow { version, document: "{}".to_owned() });
        store.services.write(ServiceWrite { history, ..creation(service) }).await.unwrap();
    }

    for (number, version) in versions.into_iter().enumerate() {
        let found = find(&store, &number.to_string()).await.unwrap().row;
        let history = store.services.history(found.id).await.unwrap();

        assert_eq!((found.version, history[0].version), (version, version));
    }
}

async fn secrets_whose_paths_look_alike_stay_apart(store: Store) {
    let owner = Uuid::new_v4();
    let mut paths: Vec<String> = LOOK_ALIKES.iter().map(|name| format!("/config/{name}")).collect();
    paths.extend(["/config", "/config/", "/config//shop", ""].map(str::to_owned));
    paths.extend([longest("\u{1F600}"), longest("\u{1F601}")]);
    for path in &paths {
        store.ciphertexts.insert(sealed(owner, path, "1", path.as_bytes())).await.unwrap();
    }

    store.ciphertexts.delete(&stored(owner, &paths[0], "1").id).await.unwrap();
    let asked: Vec<_> = paths.iter().map(|path| stored(owner, path, "1")).collect();
    let loaded = store.ciphertexts.load(&asked).await.unwrap();
    let mut of_key = store.ciphertexts.encrypted_with(&KeyId::new("first-key"), 1_000).await.unwrap();

    assert_eq!(loaded[0], None);
    for (path, loaded) in paths.iter().zip(&loaded).skip(1) {
        assert_eq!(loaded.as_deref(), Some(path.as_bytes()), "{path:?}");
    }
    of_key.sort_by(|one, other| one.ciphertext.cmp(&other.ciphertext));
    paths.remove(0);
    paths.sort();
    assert_eq!(of_key.iter().map(|row| row.secret.id.path.as_str()).collect::<Vec<_>>(), paths);
}

async fn versions_of_a_secret_that_look_alike_stay_apart(store: Store) {
    let owner = Uuid::new_v4();
    let versions = ["a", "A", "a ", "0", "00", "\u{e9}", "e\u{301}"];
    for version in versions {
        store.ciphertexts.insert(sealed(owner, "/a", version, version.as_bytes())).await.unwrap();
    }

    store.ciphertexts.delete_version(&stored(owner, "/a", "A")).await.unwrap();
    let loaded = store.ciphertexts.load(&versions.map(|version| stored(owner, "/a", version))).await.unwrap();

    for (version, loaded) in versions.iter().zip(loaded) {
        let expected = (*version != "A").then(|| version.as_bytes().to_vec());
        assert_eq!(loaded, expected, "{version:?}");
    }
}

on_every_engine! {
    services_whose_names_look_alike_stay_apart,
    the_longest_names_are_kept_whole_and_differ_by_their_last_character,
    a_name_that_no_row_can_hold_is_not_found,
    a_service_reads_back_byte_for_byte,
    every_byte_and_a_large_ciphertext_read_back,
    a_large_document_reads_back_also_from_lists_and_history,
    versions_read_back_up_to_the_largest,
    secrets_whose_paths_look_alike_stay_apart,
    versions_of_a_secret_that_look_alike_stay_apart,
}
