//! What is about to happen in stores outside of the database: noted before, and no two have one name.

use std::pin::Pin;
use std::time::Duration;

use strongroom_domain::{
    AuditAction, ClaimedName, Intent, IntentChanges, IntentError, IntentState, NameChanges, NamedSecret, OwnerKind,
    PlannedDeletion, SecretId, ServiceRow, ServiceWrite, ServiceWriteError,
};
use uuid::Uuid;

use super::races::{in_two_processes, only_winner, together};
use super::rows::{audit_count, create, creation, entry, find, next, row};
use crate::support::stores::{Engine, Store};

const NOW: Duration = Duration::ZERO;
const LATER: Duration = Duration::from_mins(5);

type Attempt<T> = Pin<Box<dyn Future<Output = T> + Send>>;

fn secret(owner: Uuid, path: &str, name: &str) -> NamedSecret {
    NamedSecret { id: SecretId::of_service(owner, path), name: name.to_owned() }
}

fn put(owner: Uuid, path: &str, name: &str) -> Intent {
    let place = "aws:eu".to_owned();
    Intent { token: Uuid::new_v4(), place, secret: secret(owner, path, name), state: IntentState::Putting }
}

fn deletion(owner: Uuid, path: &str, name: &str, grace: Duration) -> PlannedDeletion {
    PlannedDeletion { token: Uuid::new_v4(), place: "aws:eu".to_owned(), secret: secret(owner, path, name), grace }
}

fn name(path: &str, name: &str) -> ClaimedName {
    let normal_name = secret(Uuid::nil(), path, name).normal_name();
    ClaimedName { name: name.to_owned(), normal_name, path: path.to_owned() }
}

fn claiming(path: &str, text: &str) -> NameChanges {
    NameChanges { claimed: vec![name(path, text)], ..NameChanges::default() }
}

fn typing(path: &str, text: &str) -> NameChanges {
    NameChanges { typed: Some(vec![name(path, text)]), ..NameChanges::default() }
}

fn ending(intent: &Intent) -> IntentChanges {
    IntentChanges { ended: vec![intent.token], ..IntentChanges::default() }
}

async fn intend(store: &Store, intents: &[Intent]) -> Result<(), IntentError> {
    store.database.intents.intend(intents, LATER).await
}

async fn intents_of(store: &Store, owner: Uuid) -> Vec<Intent> {
    store.database.intents.intents_of((OwnerKind::Service, owner)).await.unwrap()
}

async fn due(store: &Store, limit: usize) -> Vec<Uuid> {
    store.database.intents.due_intents(limit).await.unwrap().into_iter().map(|intent| intent.token).collect()
}

#[track_caller]
fn taken(outcome: Result<(), IntentError>) -> String {
    match outcome {
        Err(IntentError::NameTaken(name)) => name,
        other => panic!("{other:?}"),
    }
}

fn is_taken(outcome: &Result<(), ServiceWriteError>) -> bool {
    matches!(outcome, Err(ServiceWriteError::NameTaken(_)))
}

fn is_conflict(error: &ServiceWriteError) -> bool {
    matches!(error, ServiceWriteError::Conflict)
}

async fn what_is_intended_is_read_back(store: Store) {
    let owner = Uuid::new_v4();
    let path = "/config/z\u{fc}rich \u{2615}";
    let probe = SecretId { owner_kind: OwnerKind::Probe, owner_id: owner, path: "/p".to_owned() };
    let of_probe = Intent { secret: NamedSecret { id: probe, name: "/probe".to_owned() }, ..put(owner, "", "") };
    let intents = [put(owner, path, "/Open.Metadata/a"), put(owner, "/b", "/b"), of_probe.clone()];

    intend(&store, &intents).await.unwrap();
    intend(&store, &[]).await.unwrap();

    let found = intents_of(&store, owner).await;
    assert!(found.len() == 2 && found.contains(&intents[0]) && found.contains(&intents[1]), "{found:?}");
    assert_eq!(store.database.intents.intents_of((OwnerKind::Probe, owner)).await.unwrap(), [of_probe]);
    assert!(intents_of(&store, Uuid::new_v4()).await.is_empty());
}

async fn a_name_that_another_intends_is_refused_with_all_that_came_with_it(store: Store) {
    let (first, second) = (Uuid::new_v4(), Uuid::new_v4());
    intend(&store, &[put(first, "/a", "/shop/A.b")]).await.unwrap();

    let of_another = intend(&store, &[put(second, "/x", "/free"), put(second, "/a", "shop/a_b")]).await;
    let of_another_field = intend(&store, &[put(first, "/b", "/shop/a.b")]).await;
    let twice_in_one = intend(&store, &[put(second, "/a", "/new"), put(second, "/b", "/NEW")]).await;
    let own = intend(&store, &[put(first, "/a", "/shop/a.b"), put(first, "/a", "/shop/A.b")]).await;

    assert_eq!(taken(of_another), "shop/a_b");
    assert_eq!(taken(of_another_field), "shop/a_b");
    assert_eq!(taken(twice_in_one), "new");
    assert!(own.is_ok(), "{own:?}");
    assert_eq!(intents_of(&store, first).await.len(), 3);
    assert!(intents_of(&store, second).await.is_empty());
}

async fn a_name_that_another_secret_has_or_a_user_typed_is_not_intended(store: Store) {
    let shop = row("shop");
    let names = NameChanges { typed: Some(vec![name("/t", "/typed")]), ..claiming("/a", "/kept") };
    store.services.write(ServiceWrite { names, ..creation(shop.clone()) }).await.unwrap();

    let of_another = intend(&store, &[put(Uuid::new_v4(), "/a", "/KEPT")]).await;
    let of_another_field = intend(&store, &[put(shop.id, "/b", "/kept")]).await;
    let own = intend(&store, &[put(shop.id, "/a", "/kept")]).await;
    let typed = intend(&store, &[put(shop.id, "/t", "/typed")]).await;

    assert_eq!(
        (taken(of_another), taken(of_another_field), taken(typed)),
        ("kept".into(), "kept".into(), "typed".into())
    );
    assert!(own.is_ok(), "{own:?}");
}

async fn a_name_that_is_intended_is_neither_claimed_nor_typed_by_another(store: Store) {
    let shop = row("shop");
    let intent = put(shop.id, "/a", "/x");
    intend(&store, std::slice::from_ref(&intent)).await.unwrap();

    for names in [claiming("/a", "/X"), typing("/a", "/x")] {
        let outcome = store.services.write(ServiceWrite { names, ..creation(row("other")) }).await;
        assert!(is_taken(&outcome), "{outcome:?}");
    }
    let of_another_field = ServiceWrite { names: claiming("/b", "/x"), ..creation(shop.clone()) };
    let outcome = store.services.write(of_another_field).await;
    assert!(is_taken(&outcome), "{outcome:?}");
    assert_eq!(audit_count(&store).await, 0);

    let own = ServiceWrite { names: claiming("/a", "/x"), intents: ending(&intent), ..creation(shop.clone()) };
    store.services.write(own).await.unwrap();
    assert!(intents_of(&store, shop.id).await.is_empty());
}

async fn holders_tell_of_intents_once(store: Store) {
    let shop = row("shop");
    store.services.write(ServiceWrite { names: claiming("/a", "/a"), ..creation(shop.clone()) }).await.unwrap();
    let other = Uuid::new_v4();
    intend(&store, &[put(shop.id, "/a", "/a"), put(shop.id, "/a", "/a"), put(other, "/b", "/b")]).await.unwrap();

    let mut holders = store.services.holders(&["a".to_owned(), "b".to_owned(), "c".to_owned()]).await.unwrap();

    holders.sort_by_key(|held| held.normal_name.clone());
    let told: Vec<_> =
        holders.iter().map(|held| (&*held.normal_name, held.service_id, &*held.path, held.kept)).collect();
    assert_eq!(told, [("a", shop.id, "/a", true), ("b", other, "/b", true)]);
}

async fn a_write_ends_commits_and_plans(store: Store) {
    let shop = create(&store, "shop").await;
    let [ended, committed, kept] = ["/a", "/b", "/c"].map(|path| put(shop.id, path, path));
    intend(&store, &[ended.clone(), committed.clone(), kept.clone()]).await.unwrap();
    let deletions = vec![deletion(shop.id, "/d", "/d", NOW), deletion(shop.id, "/e", "/e", LATER)];
    let intents =
        IntentChanges { ended: vec![ended.token], committed: vec![committed.token], deletions: deletions.clone() };

    store.services.write(ServiceWrite { intents, ..next(&shop) }).await.unwrap();

    let mut states: Vec<_> =
        intents_of(&store, shop.id).await.into_iter().map(|it| (it.secret.id.path, it.state)).collect();
    states.sort_by(|one, other| one.0.cmp(&other.0));
    let expected = [
        ("/b", IntentState::Committed),
        ("/c", IntentState::Putting),
        ("/d", IntentState::Deleting),
        ("/e", IntentState::Deleting),
    ];
    assert_eq!(states, expected.map(|(path, state)| (path.to_owned(), state)));
    assert!(due(&store, 9).await.is_empty(), "whoever committed or planned it has a minute");
    assert!(is_conflict(&write_naming(&store, &shop, &committed).await.unwrap_err()), "it is committed already");
}

/// A later write of a service that ends this intent.
async fn write_naming(store: &Store, first: &ServiceRow, intent: &Intent) -> Result<(), ServiceWriteError> {
    let current = find(store, &first.fqn).await.unwrap().row;
    store.services.write(ServiceWrite { intents: ending(intent), ..next(&current) }).await
}

async fn a_write_whose_intent_was_withdrawn_is_refused_with_all_of_it(store: Store) {
    let shop = create(&store, "shop").await;
    let (good, withdrawn) = (put(shop.id, "/a", "/a"), put(shop.id, "/b", "/b"));
    intend(&store, &[good.clone(), withdrawn.clone()]).await.unwrap();
    assert!(store.database.intents.withdraw_intent(withdrawn.token).await.unwrap());
    let deletions = vec![deletion(shop.id, "/c", "/c", NOW)];
    let ended = IntentChanges { deletions: deletions.clone(), ..ending(&good) };
    let tokens = vec![withdrawn.token];

    for intents in [
        IntentChanges { ended: vec![good.token, withdrawn.token], deletions, ..IntentChanges::default() },
        IntentChanges { committed: tokens, ..ended },
        IntentChanges { committed: vec![Uuid::new_v4()], ..IntentChanges::default() },
    ] {
        let outcome = store.services.write(ServiceWrite { intents, names: claiming("/a", "/a"), ..next(&shop) }).await;
        assert!(outcome.as_ref().is_err_and(is_conflict), "{outcome:?}");
    }

    assert_eq!(find(&store, "shop").await.unwrap().row.revision, 1);
    assert_eq!(audit_count(&store).await, 1);
    let mut states: Vec<_> = intents_of(&store, shop.id).await.iter().map(|it| it.state.as_str()).collect();
    states.sort_unstable();
    assert_eq!(states, ["putting", "withdrawing"]);
}

async fn an_erasure_notes_what_is_to_be_deleted(store: Store) {
    let shop = row("shop");
    store.services.write(ServiceWrite { names: claiming("/a", "/a"), ..creation(shop.clone()) }).await.unwrap();
    let planned = deletion(shop.id, "/a", "/a", NOW);
    let audit = entry(AuditAction::HardDelete, shop.id, "shop");

    let late = store.services.erase(shop.id, 7, vec![planned.clone()], audit.clone()).await;
    assert!(late.as_ref().is_err_and(is_conflict), "{late:?}");
    assert!(intents_of(&store, shop.id).await.is_empty());
    store.services.erase(shop.id, 1, vec![planned.clone()], audit).await.unwrap();

    let PlannedDeletion { token, place, secret, .. } = planned;
    assert_eq!(intents_of(&store, shop.id).await, [Intent { token, place, secret, state: IntentState::Deleting }]);
    assert!(due(&store, 9).await.is_empty(), "whoever erased it has a minute to delete it");
    assert_eq!(taken(intend(&store, &[put(Uuid::new_v4(), "/a", "/a")]).await), "a");
    let typed = store.services.write(ServiceWrite { names: typing("/t", "/a"), ..creation(row("other")) }).await;
    assert!(is_taken(&typed), "what is referred to would be deleted: {typed:?}");
    store.database.intents.forget_intents(&[token]).await.unwrap();
    intend(&store, &[put(Uuid::new_v4(), "/a", "/a")]).await.unwrap();
}

async fn of_several_who_deal_with_what_is_due_one_gets_it(store: Store) {
    let intents = store.database.intents.clone();
    let intent = put(Uuid::new_v4(), "/a", "/a");
    intend(&store, std::slice::from_ref(&intent)).await.unwrap();
    let minute = Duration::from_mins(1);

    let early = intents.claim_intent(intent.token, minute).await.unwrap();
    intents.put_off(&[intent.token], NOW).await.unwrap();
    let mut claims = Vec::new();
    for _ in 0..3 {
        claims.push(intents.claim_intent(intent.token, minute).await.unwrap());
    }

    assert!(!early, "it is not due yet");
    assert_eq!(claims, [true, false, false]);
    assert!(due(&store, 9).await.is_empty());
}

async fn nobody_gets_a_name_whose_secret_is_being_deleted_and_its_field_gets_it_before(store: Store) {
    let intents = store.database.intents.clone();
    let shop = create(&store, "shop").await;
    let (wanted, going) = (deletion(shop.id, "/a", "/a", LATER), deletion(shop.id, "/b", "/b", LATER));
    let deletions = vec![wanted.clone(), going.clone()];
    let write = IntentChanges { deletions, ..IntentChanges::default() };
    store.services.write(ServiceWrite { intents: write, ..next(&shop) }).await.unwrap();

    intend(&store, &[put(shop.id, "/a", "/a")]).await.unwrap();
    let is_begun = intents.begin_deletion(going.token).await.unwrap();
    let too_late = intend(&store, &[put(shop.id, "/b", "/b")]).await;

    assert!(!intents.begin_deletion(wanted.token).await.unwrap(), "the field wants it again");
    assert!(is_begun && intents.begin_deletion(going.token).await.unwrap());
    assert_eq!(taken(too_late), "b");
}

async fn a_move_that_is_resumed_finds_its_own_intents(store: Store) {
    let shop = create(&store, "shop").await;
    let moving = Intent { state: IntentState::Moving, ..put(shop.id, "/a", "/a") };
    intend(&store, std::slice::from_ref(&moving)).await.unwrap();

    assert_eq!(intents_of(&store, shop.id).await, std::slice::from_ref(&moving));
    store.services.write(ServiceWrite { intents: ending(&moving), ..next(&shop) }).await.unwrap();
    assert!(intents_of(&store, shop.id).await.is_empty());
}

async fn only_what_is_being_put_is_withdrawn(store: Store) {
    let shop = create(&store, "shop").await;
    let [putting, committed] = ["/a", "/b"].map(|path| put(shop.id, path, path));
    intend(&store, &[putting.clone(), committed.clone()]).await.unwrap();
    let planned = deletion(shop.id, "/c", "/c", LATER);
    let deletions = vec![planned.clone()];
    let intents = IntentChanges { committed: vec![committed.token], deletions, ..IntentChanges::default() };
    store.services.write(ServiceWrite { intents, ..next(&shop) }).await.unwrap();
    let intents = store.database.intents.clone();

    let mut outcomes = Vec::new();
    for token in [putting.token, putting.token, committed.token, planned.token, Uuid::new_v4()] {
        outcomes.push(intents.withdraw_intent(token).await.unwrap());
    }

    assert_eq!(outcomes, [true, true, false, false, false]);
    let other = intend(&store, &[put(Uuid::new_v4(), "/a", "/a")]).await;
    assert_eq!(taken(other), "a", "it may still be in the store");
}

async fn what_is_due_comes_oldest_first_until_it_is_put_off_or_forgotten(store: Store) {
    let intents = store.database.intents.clone();
    let owner = Uuid::new_v4();
    let mut tokens = Vec::new();
    for number in 0..4 {
        let intent = put(owner, &format!("/{number}"), &format!("/{number}"));
        tokens.push(intent.token);
        intents.intend(&[intent], NOW).await.unwrap();
        let long_ago = format!("UPDATE secret_intents SET due_at = {number} WHERE normal_name = '{number}'");
        store.change_behind_our_back(&long_ago);
    }
    intend(&store, &[put(owner, "/later", "/later")]).await.unwrap();

    assert_eq!(due(&store, 9).await, tokens);
    assert_eq!(due(&store, 2).await, tokens[..2]);
    intents.put_off(&tokens[..1], LATER).await.unwrap();
    intents.put_off(&tokens[1..2], NOW).await.unwrap();
    intents.forget_intents(&tokens[2..3]).await.unwrap();
    assert_eq!(due(&store, 9).await, [tokens[3], tokens[1]]);
    intents.put_off(&[], NOW).await.unwrap();
    intents.forget_intents(&[]).await.unwrap();
    intents.forget_intents(&[Uuid::new_v4()]).await.unwrap();
    assert_eq!(intents_of(&store, owner).await.len(), 4);
}

async fn names_that_nobody_has_are_unknown(store: Store) {
    let shop = row("shop");
    let names = NameChanges { typed: Some(vec![name("/t", "/typed")]), ..claiming("/a", "/kept") };
    store.services.write(ServiceWrite { names, ..creation(shop.clone()) }).await.unwrap();
    intend(&store, &[put(shop.id, "/b", "/intended")]).await.unwrap();
    let asked: Vec<String> = ["kept", "intended", "typed", "left"]
        .into_iter()
        .map(str::to_owned)
        .chain((0..1_500).map(|n| n.to_string()))
        .collect();

    let unknown = store.database.intents.unknown_names(&asked).await.unwrap();

    assert_eq!(unknown, asked[2..]);
    assert!(store.database.intents.unknown_names(&[]).await.unwrap().is_empty());
}

async fn of_two_owners_that_intend_one_name_one_does(store: Store) {
    let stores = in_two_processes(store).await;
    for round in 0..10 {
        let names: Vec<String> = (0..5).map(|number| format!("/{round}/{number}")).collect();
        let attempts = stores.iter().enumerate().map(|(number, store)| {
            let (intents, owner) = (store.database.intents.clone(), Uuid::new_v4());
            let mut puts: Vec<Intent> = names.iter().map(|name| put(owner, name, name)).collect();
            if number == 1 {
                puts.reverse();
            }
            async move { intents.intend(&puts, LATER).await }
        });

        let outcomes = together(attempts.collect()).await;

        only_winner(&outcomes, |error| matches!(error, IntentError::NameTaken(_)));
    }
}

async fn of_an_intent_a_claim_and_a_typed_reference_of_one_name_one_wins(store: Store) {
    let stores = in_two_processes(store).await;
    for round in 0..10 {
        let text = format!("/{round}");
        for names in [claiming("/a", &text), typing("/a", &text)] {
            let write = ServiceWrite { names, ..creation(row(&Uuid::new_v4().to_string())) };
            let (services, intents) = (stores[0].services.clone(), stores[1].database.intents.clone());
            let intent = put(Uuid::new_v4(), "/a", &text);
            let token = intent.token;
            let id = write.row.id;
            let writing = async move { services.write(write).await.map_err(|error| error.to_string()) };
            let intending = async move { intents.intend(&[intent], LATER).await.map_err(|error| error.to_string()) };
            let attempts: Vec<Attempt<Result<(), String>>> = vec![Box::pin(writing), Box::pin(intending)];

            let outcomes = together(attempts).await;

            let winner = only_winner(&outcomes, |error| error == "the name of a secret is taken");
            if winner == 0 {
                let audit = entry(AuditAction::HardDelete, id, "x");
                stores[0].services.erase(id, 1, vec![], audit).await.unwrap();
            }
            stores[0].database.intents.forget_intents(&[token]).await.unwrap();
        }
    }
}

/// Whoever cleans up takes back what was put, or the document names it; never both.
async fn of_a_withdrawal_and_a_write_that_ends_the_intent_one_succeeds(store: Store) {
    let stores = in_two_processes(store).await;
    for round in 0..20 {
        let shop = create(&stores[0], &round.to_string()).await;
        let intent = put(shop.id, "/a", &format!("/{round}"));
        intend(&stores[0], std::slice::from_ref(&intent)).await.unwrap();
        let tokens = vec![intent.token];
        let changes = if round % 2 == 0 {
            ending(&intent)
        } else {
            IntentChanges { committed: tokens, ..IntentChanges::default() }
        };
        let write = ServiceWrite { intents: changes, ..next(&shop) };
        let (services, intents) = (stores[0].services.clone(), stores[1].database.intents.clone());
        let writing = async move {
            match services.write(write).await {
                Err(error) if is_conflict(&error) => false,
                outcome => outcome.map(|()| true).unwrap(),
            }
        };
        let withdrawing = async move { intents.withdraw_intent(intent.token).await.unwrap() };
        let attempts: Vec<Attempt<bool>> = vec![Box::pin(writing), Box::pin(withdrawing)];

        let outcomes = together(attempts).await;

        assert!(outcomes[0] != outcomes[1], "{outcomes:?}");
        let revision = find(&stores[0], &shop.fqn).await.unwrap().row.revision;
        assert_eq!(revision, if outcomes[0] { 2 } else { 1 });
    }
}

async fn writes_with_intents_of_their_own_do_not_stand_in_each_others_way(store: Store) {
    let stores = in_two_processes(store).await;
    let writes = (0..60).map(|number: usize| {
        let store = stores[number % 2].clone();
        async move {
            let shop = row(&number.to_string());
            let puts: Vec<Intent> =
                (0..4).map(|it| put(shop.id, &format!("/{it}"), &format!("/{number}/{it}"))).collect();
            intend(&store, &puts).await.unwrap();
            let names = puts.iter().map(|put| name(&put.secret.id.path, &put.secret.name)).collect();
            let ended = puts.iter().map(|put| put.token).collect();
            let write = ServiceWrite {
                names: NameChanges { claimed: names, ..NameChanges::default() },
                intents: IntentChanges { ended, ..IntentChanges::default() },
                ..creation(shop.clone())
            };
            store.services.write(write).await.unwrap();
            let gone = puts.iter().map(|put| deletion(shop.id, &put.secret.id.path, &put.secret.name, NOW)).collect();
            let audit = entry(AuditAction::HardDelete, shop.id, &shop.fqn);
            store.services.erase(shop.id, 1, gone, audit).await
        }
    });

    let outcomes = together(writes.collect()).await;

    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert!(due(&stores[0], 1_000).await.is_empty());
}

on_every_engine! {
    what_is_intended_is_read_back,
    a_name_that_another_intends_is_refused_with_all_that_came_with_it,
    a_name_that_another_secret_has_or_a_user_typed_is_not_intended,
    a_name_that_is_intended_is_neither_claimed_nor_typed_by_another,
    holders_tell_of_intents_once,
    a_write_ends_commits_and_plans,
    a_write_whose_intent_was_withdrawn_is_refused_with_all_of_it,
    an_erasure_notes_what_is_to_be_deleted,
    of_several_who_deal_with_what_is_due_one_gets_it,
    nobody_gets_a_name_whose_secret_is_being_deleted_and_its_field_gets_it_before,
    a_move_that_is_resumed_finds_its_own_intents,
    only_what_is_being_put_is_withdrawn,
    what_is_due_comes_oldest_first_until_it_is_put_off_or_forgotten,
    names_that_nobody_has_are_unknown,
    of_two_owners_that_intend_one_name_one_does,
    of_an_intent_a_claim_and_a_typed_reference_of_one_name_one_wins,
    of_a_withdrawal_and_a_write_that_ends_the_intent_one_succeeds,
    writes_with_intents_of_their_own_do_not_stand_in_each_others_way,
}

async fn an_older_database_gets_what_is_new(engine: Engine, fixture: &str) {
    let store = Store::open_fixture(engine, fixture).await;

    let owner = Uuid::new_v4();
    intend(&store, &[put(owner, "/a", "/a")]).await.unwrap();
    assert!(store.database.stores.activate(None, "aws:eu", "db").await.unwrap());

    assert_eq!(intents_of(&store, owner).await.len(), 1);
    store.database.replicas.live().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn older_databases_get_what_is_new() {
    an_older_database_gets_what_is_new(Engine::Sqlite, "sqlite-schema-4").await;
    for (engine, name) in [(Engine::PostgreSql, "postgres-schema"), (Engine::MariaDb, "mysql-schema")] {
        for schema in [5, 6] {
            an_older_database_gets_what_is_new(engine, &format!("{name}-{schema}")).await;
        }
    }
}

/// MySQL commits with every statement that changes a schema: a step that was cut short is begun anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_was_cut_short_is_run_again() {
    for engine in [Engine::PostgreSql, Engine::MariaDb] {
        let store = Store::open(engine).await;
        store.change_behind_our_back("DELETE FROM schema_migrations WHERE number = 7");

        let again = store.open_again().await;

        intend(&again, &[put(Uuid::new_v4(), "/a", "/a")]).await.unwrap();
        let ledger = "SELECT count(*) FROM schema_migrations WHERE number = 7";
        assert_eq!(store.query(ledger).trim(), "1");
    }
}

async fn who_lost_a_lease_notes_nothing_under_it(store: Store) {
    let held = store.database.under_lease("job").await.unwrap().unwrap();
    let intent = put(Uuid::new_v4(), "/a", "/a");
    held.intents.intend(std::slice::from_ref(&intent), LATER).await.unwrap();
    store.change_behind_our_back("UPDATE leases SET ends_at = 0");
    store.open_again().await.database.under_lease("job").await.unwrap().unwrap();

    assert!(held.intents.intend(&[put(Uuid::new_v4(), "/b", "/b")], LATER).await.is_err());
    assert!(held.intents.withdraw_intent(intent.token).await.is_err());
    assert!(held.intents.forget_intents(&[intent.token]).await.is_err());
    assert!(held.stores.activate(None, "aws:eu", "db").await.is_err());
    assert!(held.stores.tell_progress("{}").await.is_err());
    assert_eq!(intents_of(&store, intent.secret.id.owner_id).await, [intent]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgresql_and_mariadb_who_lost_a_lease_notes_nothing_under_it() {
    for engine in [Engine::PostgreSql, Engine::MariaDb] {
        who_lost_a_lease_notes_nothing_under_it(Store::open(engine).await).await;
    }
}
