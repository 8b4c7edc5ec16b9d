//! Of secrets that were moved to another store, no piece stays in the files.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use strongroom_domain::{ActiveStoreRecord, SealedSecret, ServiceRow, ServiceWrite, StoredSecret};
use uuid::Uuid;

use super::{Scratch, creation, next, row, sealed, write};

/// Of every second three of them the secrets are moved: pages that are half empty become one, which makes copies.
const SERVICES: usize = 400;

/// How long a piece of a ciphertext may not be found.
const PIECE: usize = 16;

/// A service with its three secrets, one of which is now and then too long for one page.
struct Kept {
    row: ServiceRow,
    secrets: Vec<SealedSecret>,
}

/// So many bytes that are nowhere else.
fn random(length: usize) -> Vec<u8> {
    std::iter::repeat_with(|| Uuid::new_v4().into_bytes()).flatten().take(length).collect()
}

fn secrets(owner: Uuid, number: usize, version: &str) -> Vec<SealedSecret> {
    let lengths = [60 + number % 90, 120, if number.is_multiple_of(17) { 9_000 } else { 200 + number % 50 }];
    lengths
        .iter()
        .zip(["/a", "/b", "/c"])
        .map(|(length, path)| sealed(owner, path, version, &random(*length)))
        .collect()
}

fn ids(secrets: &[SealedSecret]) -> Vec<StoredSecret> {
    secrets.iter().map(|sealed| sealed.secret.clone()).collect()
}

/// Services whose secrets were all changed once, in another order than they came in.
async fn services(scratch: &Scratch) -> (Vec<Kept>, Vec<Vec<u8>>) {
    let (mut services, mut old) = (Vec::new(), Vec::new());
    for number in 0..SERVICES {
        let row = row(&format!("shop-{number}"));
        let secrets = secrets(row.id, number, "1");
        let creation = ServiceWrite { sealed: secrets.clone(), ..creation(row.clone()) };
        write(&scratch.database, creation).await.unwrap();
        services.push(Kept { row, secrets });
    }
    services.sort_by_key(|service| service.row.id);
    for (number, service) in services.iter_mut().enumerate() {
        let changed = secrets(service.row.id, number * 7, "2");
        replace(scratch, service, &changed).await;
        let before = std::mem::replace(&mut service.secrets, changed);
        old.extend(before.into_iter().map(|secret| secret.ciphertext));
    }
    (services, old)
}

async fn replace(scratch: &Scratch, service: &mut Kept, by: &[SealedSecret]) {
    let replacement = ServiceWrite { sealed: by.to_vec(), superseded: ids(&service.secrets), ..next(&service.row) };
    service.row.revision += 1;
    write(&scratch.database, replacement).await.unwrap();
}

/// How many pieces of these ciphertexts a file holds.
fn pieces_in(path: &Path, ciphertexts: &[Vec<u8>]) -> usize {
    let pieces: HashSet<&[u8]> = ciphertexts.iter().flat_map(|ciphertext| ciphertext.windows(PIECE)).collect();
    let file = std::fs::read(path).unwrap();
    file.windows(PIECE).filter(|window| pieces.contains(window)).count()
}

#[tokio::test]
async fn no_piece_of_a_secret_that_was_moved_stays_in_the_files() {
    let scratch = Scratch::new();
    let (services, mut gone) = services(&scratch).await;
    let (mut moved, mut stays) = (Vec::new(), Vec::new());
    for (number, service) in services.into_iter().enumerate() {
        if (number / 3).is_multiple_of(2) { stays.push(service) } else { moved.push(service) }
    }
    for service in &mut moved {
        replace(&scratch, service, &[]).await;
        gone.extend(service.secrets.iter().map(|secret| secret.ciphertext.clone()));
    }

    scratch.database.erase_remains().await.unwrap();

    for file in [scratch.path.clone(), scratch.path.with_file_name("strongroom.db-wal")] {
        assert_eq!(pieces_in(&file, &gone), 0, "{}", file.display());
    }
    for service in stays {
        let ciphertexts: HashSet<Vec<u8>> =
            scratch.find(&service.row.fqn).await.unwrap().ciphertexts.into_iter().map(|row| row.ciphertext).collect();
        assert_eq!(ciphertexts, service.secrets.into_iter().map(|secret| secret.ciphertext).collect());
    }
}

#[tokio::test]
async fn whoever_still_reads_from_the_log_is_waited_for() {
    let scratch = Scratch::new();
    scratch.create("shop").await;
    let reader = scratch.other_connection();
    reader.execute_batch("BEGIN; SELECT count(*) FROM services").unwrap();
    let reading = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        reader.execute_batch("COMMIT").unwrap();
    });

    scratch.database.erase_remains().await.unwrap();

    reading.join().unwrap();
    assert_eq!(std::fs::metadata(scratch.path.with_file_name("strongroom.db-wal")).unwrap().len(), 0);
    scratch.create("after").await;
}

#[tokio::test]
async fn writes_and_reads_go_on_while_remains_are_erased() {
    let scratch = Scratch::impatient();
    for number in 0..50 {
        scratch.create(&format!("before-{number}")).await;
    }
    let database = scratch.database.clone();
    let erasure = tokio::spawn(async move {
        for _ in 0..20 {
            database.erase_remains().await.unwrap();
        }
    });

    for number in 0..50 {
        scratch.create(&format!("after-{number}")).await;
        assert!(scratch.find("before-7").await.is_some());
    }

    erasure.await.unwrap();
}
