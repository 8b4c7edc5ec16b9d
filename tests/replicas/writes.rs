//! What one replica writes, and what another then serves.

use std::collections::BTreeSet;
use std::thread;

use serde_json::Value;

use super::{SERVICES, Shared, on_each_server, password_at, service, soon};

on_each_server!(
    what_one_replica_writes_another_serves_within_a_second,
    a_deleted_service_is_gone_everywhere_and_not_counted,
    a_token_that_one_replica_revokes_is_refused_by_another,
    a_replica_that_was_paused_answers_nothing_that_is_old,
    of_writes_at_the_same_time_one_is_whole_and_nothing_is_left_behind,
);

fn what_one_replica_writes_another_serves_within_a_second(shared: &Shared) {
    let (one, other) = (shared.replica(), shared.replica());
    let admin = shared.admin();
    one.put(SERVICES, &admin, &service("shop", "first")).expect(201);
    assert_eq!(password_at(&other, "shop", &admin), "first");

    one.put(SERVICES, &admin, &service("shop", "second")).expect(200);

    soon(|| password_at(&other, "shop", &admin) == "second");
}

fn a_deleted_service_is_gone_everywhere_and_not_counted(shared: &Shared) {
    let (one, other) = (shared.replica(), shared.replica());
    let admin = shared.admin();
    let total = || other.get(&format!("{SERVICES}?limit=0"), &admin).expect(200)["paging"]["total"].as_u64().unwrap();
    let id = one.put(SERVICES, &admin, &service("shop", "s")).expect(201)["id"].as_str().unwrap().to_owned();
    soon(|| total() == 1);

    one.delete(&format!("{SERVICES}/{id}?hardDelete=true"), &admin).expect(200);

    soon(|| other.get(&format!("{SERVICES}/{id}"), &admin).status == 404);
    soon(|| total() == 0);
}

fn a_token_that_one_replica_revokes_is_refused_by_another(shared: &Shared) {
    let (one, other) = (shared.replica(), shared.replica());
    let (admin, doomed) = (shared.admin(), shared.admin());
    other.get(SERVICES, &doomed).expect(200);
    let tokens = one.get("/tokens", &admin).expect(200);
    let newest = |tokens: &Value| tokens["data"][0]["id"].as_str().unwrap().to_owned();

    one.delete(&format!("/tokens/{}", newest(&tokens)), &admin).expect(204);

    soon(|| other.get(SERVICES, &doomed).status == 401);
    other.get(SERVICES, &admin).expect(200);
}

fn a_replica_that_was_paused_answers_nothing_that_is_old(shared: &Shared) {
    let (one, other) = (shared.replica(), shared.replica());
    let admin = shared.admin();
    one.put(SERVICES, &admin, &service("shop", "first")).expect(201);
    assert_eq!(password_at(&other, "shop", &admin), "first");

    other.signal("STOP");
    one.put(SERVICES, &admin, &service("shop", "second")).expect(200);
    thread::sleep(super::SOON);
    other.signal("CONT");

    assert_eq!(password_at(&other, "shop", &admin), "second");
}

fn of_writes_at_the_same_time_one_is_whole_and_nothing_is_left_behind(shared: &Shared) {
    let replicas = [shared.replica(), shared.replica()];
    let admin = shared.admin();
    let id = replicas[0].put(SERVICES, &admin, &service("shop", "first")).expect(201)["id"].clone();

    let written: Vec<Vec<(u16, String)>> = thread::scope(|scope| {
        let admin = &admin;
        let writers = replicas.iter().enumerate().map(|(number, replica)| {
            scope.spawn(move || {
                let write = |round: u32| {
                    let password = format!("{number}-{round}");
                    (replica.put(SERVICES, admin, &service("shop", &password)).status, password)
                };
                (0..25).map(write).collect()
            })
        });
        let writers: Vec<_> = writers.collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });

    let statuses: BTreeSet<u16> = written.iter().flatten().map(|(status, _)| *status).collect();
    let last_of = |writes: &Vec<(u16, String)>| writes.iter().rev().find(|(status, _)| *status == 200).cloned();
    let last: Vec<String> = written.iter().filter_map(last_of).map(|(_, password)| password).collect();
    assert!(statuses.is_subset(&BTreeSet::from([200, 409, 412])), "{statuses:?}");
    soon(|| password_at(&replicas[0], "shop", &admin) == password_at(&replicas[1], "shop", &admin));
    let id = id.as_str().unwrap();
    let kept = password_at(&replicas[0], "shop", &admin);
    assert!(last.contains(&kept), "{kept} is not the last that was acknowledged by either: {last:?}");
    let health = replicas[0].get("/secretsManager/health", &admin).expect(200);
    assert!(!health.to_string().contains(id), "{health}");
    let status = replicas[0].run(&["keys", "status", "--output", "json"]);
    let keys: Value = serde_json::from_str(&status).unwrap();
    assert_eq!(keys[0]["secrets"], 1, "{keys}");
}
