//! Tests of the key ring's file, on real files.

use std::os::unix::fs::symlink;
use std::thread;

use tempfile::TempDir;

use super::*;

/// 2026-11-22, noon.
const NOON: SystemTimestamp = 1_795_348_800_000;

fn ring_file() -> (TempDir, KeyRingFile) {
    let directory = TempDir::new().unwrap();
    let file = KeyRingFile::new(directory.path().join("keys"));
    (directory, file)
}

fn names_in(directory: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(directory.path()).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_new_ring_is_for_its_owner_only_and_leaves_nothing_beside_it() {
    let (directory, file) = ring_file();

    let ring = file.create_new(NOON).unwrap();

    let mode = fs::metadata(file.path()).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    assert_eq!(names_in(&directory), ["keys"]);
    assert_eq!(file.load().unwrap().ids(), ring.ids());
    let text = fs::read_to_string(file.path()).unwrap();
    assert!(text.contains(&format!("# key {}, created 2026-11-22\n", ring.newest())), "{text}");
}

#[test]
fn an_existing_ring_is_never_overwritten() {
    let (directory, file) = ring_file();
    let ring = file.create_new(NOON).unwrap();

    let error = file.create_new(NOON).unwrap_err();

    assert!(matches!(error, KeyRingError::File(KeyRingFileError::Exists(_))), "{error}");
    assert_eq!(file.load().unwrap().ids(), ring.ids());
    assert_eq!(names_in(&directory), ["keys"]);
}

#[test]
fn a_ring_that_others_can_read_is_refused_with_the_remedy() {
    let (_directory, file) = ring_file();
    file.create_new(NOON).unwrap();
    fs::set_permissions(file.path(), fs::Permissions::from_mode(0o640)).unwrap();

    let error = file.load().unwrap_err().to_string();

    assert!(error.contains("has mode 0640"), "{error}");
    assert!(error.contains(&format!("`chmod 600 {}`", file.path().display())), "{error}");
}

#[test]
fn a_mounted_ring_may_be_read_by_its_group_and_by_nobody_else() {
    let (directory, file) = ring_file();
    let ids = file.create_new(NOON).unwrap().ids();
    let mounted = KeyRingFile::mounted(directory.path().join("keys"));
    let with_mode = |mode| fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();

    with_mode(0o440);
    assert_eq!(mounted.load().unwrap().ids(), ids);
    for mode in [0o460, 0o444, 0o644] {
        with_mode(mode);
        assert!(matches!(mounted.load(), Err(KeyRingError::File(KeyRingFileError::OpenToOthers { .. }))), "{mode:o}");
    }
}

#[test]
fn a_missing_ring_is_told_from_an_unreadable_one() {
    let (directory, file) = ring_file();

    assert!(matches!(file.load(), Err(KeyRingError::File(KeyRingFileError::Missing(_)))));
    let not_a_file = KeyRingFile::new(directory.path());
    assert!(not_a_file.load().is_err());
}

#[test]
fn a_binary_file_is_no_ring() {
    let (_directory, file) = ring_file();
    fs::write(file.path(), [0xff, 0xfe, 0x00]).unwrap();
    fs::set_permissions(file.path(), fs::Permissions::from_mode(0o600)).unwrap();

    assert!(matches!(file.load(), Err(KeyRingError::File(KeyRingFileError::NotARing(_)))));
}

#[test]
fn an_added_key_comes_first_and_the_others_and_the_comments_stay() {
    let (directory, file) = ring_file();
    let before = file.create_new(NOON).unwrap();

    let added = file.add_key(NOON).unwrap();

    let ring = file.load().unwrap();
    assert_eq!(ring.ids(), [added.clone(), before.newest().clone()]);
    let text = fs::read_to_string(file.path()).unwrap();
    let comments: Vec<&str> = text.lines().filter(|line| line.starts_with("# key ")).collect();
    assert_eq!(
        comments,
        [format!("# key {added}, created 2026-11-22"), format!("# key {}, created 2026-11-22", before.newest())]
    );
    assert!(text.starts_with(HEADER));
    assert_eq!(names_in(&directory), ["keys"]);
}

#[test]
fn a_ring_without_comments_takes_a_key_too() {
    let (_directory, file) = ring_file();
    let line = KeyRing::generate_line().unwrap();
    fs::write(file.path(), line.as_bytes()).unwrap();
    fs::set_permissions(file.path(), fs::Permissions::from_mode(0o600)).unwrap();

    let added = file.add_key(NOON).unwrap();

    assert_eq!(file.load().unwrap().ids(), [added, KeyRing::parse(&line).unwrap().newest().clone()]);
}

#[test]
fn a_broken_ring_is_left_as_it_is() {
    let (directory, file) = ring_file();
    fs::write(file.path(), "not a key").unwrap();
    fs::set_permissions(file.path(), fs::Permissions::from_mode(0o600)).unwrap();

    assert!(file.add_key(NOON).is_err());

    assert_eq!(fs::read_to_string(file.path()).unwrap(), "not a key");
    assert_eq!(names_in(&directory), ["keys"]);
}

#[test]
fn rotations_at_the_same_time_lose_no_key() {
    let (_directory, file) = ring_file();
    let first = file.create_new(NOON).unwrap();

    let mut added: Vec<KeyId> = thread::scope(|scope| {
        let rotations: Vec<_> = (0..8).map(|_| scope.spawn(|| file.add_key(NOON).unwrap())).collect();
        rotations.into_iter().map(|rotation| rotation.join().unwrap()).collect()
    });

    let mut kept = file.load().unwrap().ids();
    added.push(first.newest().clone());
    added.sort();
    kept.sort();
    assert_eq!(kept, added);
}

#[test]
fn first_starts_at_the_same_time_agree_on_one_ring() {
    let (_directory, file) = ring_file();

    let made: Vec<KeyRing> = thread::scope(|scope| {
        let starts: Vec<_> = (0..8).map(|_| scope.spawn(|| file.create_new(NOON))).collect();
        starts.into_iter().filter_map(|start| start.join().unwrap().ok()).collect()
    });

    assert_eq!(made.len(), 1);
    assert_eq!(file.load().unwrap().ids(), made[0].ids());
}

#[test]
fn a_ring_behind_a_symbolic_link_stays_behind_it() {
    let (directory, file) = ring_file();
    file.create_new(NOON).unwrap();
    let link = KeyRingFile::new(directory.path().join("link"));
    symlink(file.path(), link.path()).unwrap();

    let added = link.add_key(NOON).unwrap();

    assert!(fs::symlink_metadata(link.path()).unwrap().is_symlink());
    assert_eq!(file.load().unwrap().newest(), &added);
}
