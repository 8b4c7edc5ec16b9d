//! The conformance suite: every promise of a secrets manager, crossed with every backend that is registered.
//!
//! A new promise is a function in `promises.rs` and a line below. A new backend is a function in `backends.rs` and a
//! line below; while it has none, `every_registered_kind_is_in_this_suite` fails by its name.

mod aws;
mod backends;
mod encrypted_database;
mod failing_manager;
mod promises;

use strongroom_secrets_managers::registry;

/// One test for each promise, against one backend.
macro_rules! every_promise {
    ($backend:ident) => {
        every_promise! { $backend:
            a_value_reads_back_byte_for_byte,
            a_value_as_long_as_the_limit_reads_back,
            a_value_over_the_limit_is_too_large,
            each_put_makes_a_new_version,
            an_older_version_stays_readable_until_it_is_deleted,
            deleting_one_version_leaves_the_others,
            a_missing_secret_is_not_found,
            a_version_of_another_secret_is_not_found,
            deleting_the_absent_succeeds,
            a_deleted_secret_is_gone_with_all_its_versions,
            a_deleted_secret_can_be_put_again_at_once,
            ids_that_look_alike_stay_apart,
            two_owners_do_not_see_each_other,
            concurrent_puts_leave_whole_values,
            reading_many_keeps_the_order_and_one_bad_id_spoils_no_other,
            reading_more_than_a_batch_gives_them_all,
            reading_none_gives_none,
            a_repeated_put_makes_one_version,
            a_put_is_found_by_its_token_and_no_other_is,
            what_replaced_another_is_current_once_a_document_names_it,
            a_withdrawn_put_leaves_the_committed_version,
            a_withdrawn_put_that_no_document_followed_is_gone,
            the_check_succeeds_and_can_be_repeated,
            no_value_shows_in_an_error_or_a_log_line,
        }
    };
    ($backend:ident: $($promise:ident),+ $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                let backend = super::backends::$backend().await;
                super::promises::$promise(&backend.manager).await;
            }
        )+
    };
}

/// The backends of the suite: each kind with the function that opens a fresh one.
macro_rules! suite {
    ($($kind:literal => $backend:ident),+ $(,)?) => {
        const IN_SUITE: &[&str] = &[$($kind),+];
        $(
            mod $backend {
                every_promise! { $backend }

                #[tokio::test]
                async fn it_is_of_the_kind_it_is_registered_for() {
                    assert_eq!(super::backends::$backend().await.manager.kind(), $kind);
                }
            }
        )+
    };
}

suite! {
    "db" => in_encrypted_database,
    "in-memory" => in_memory,
    "managed-aws" => in_aws_secrets_manager,
    "managed-aws-ssm" => in_aws_parameter_store,
}

#[test]
fn every_registered_kind_is_in_this_suite() {
    for kind in registry::KINDS {
        assert!(IN_SUITE.contains(kind), "{kind} is registered but has no line in tests/secrets_manager/mod.rs");
    }
}

#[tokio::test]
async fn an_unknown_kind_is_refused_with_the_known_ones() {
    let directory = tempfile::TempDir::new().unwrap();

    let error = registry::build("vault9", backends::parts(&directory)).await.err().unwrap();

    assert_eq!(error.kind, strongroom_domain::SecretsErrorKind::Settings);
    let known = registry::KINDS.join(", ");
    assert_eq!(error.detail, Some(format!("there is no kind \"vault9\"; the kinds are {known}")));
}
