//! What reads cost, however much there is.

use strongroom_domain::{AuditAction, AuditEntry, AuditLog, AuditQuery};
use uuid::Uuid;

use super::super::services::{EXISTS_SQL, ROWS_SQL};
use super::{Scratch, entry};

#[tokio::test]
async fn no_page_needs_a_full_scan_or_a_sort() {
    let scratch = Scratch::new();
    let connection = scratch.other_connection();
    for (_, _, sql) in ROWS_SQL.iter().chain(&EXISTS_SQL) {
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let values = vec![rusqlite::types::Value::Null; statement.parameter_count()];
        let steps: Vec<String> = statement
            .query_map(rusqlite::params_from_iter(values), |row| row.get(3))
            .unwrap()
            .map(Result::unwrap)
            .collect();

        let plan = steps.join("; ");
        assert_eq!(steps.len(), 1, "{plan}");
        assert!(plan.starts_with("SEARCH services USING"), "{plan}");
        assert!(plan.contains("fqn"), "{plan}");
    }
}

#[tokio::test]
async fn a_rare_entry_is_found_far_back() {
    let scratch = Scratch::new();
    let rare = AuditEntry { actor: "rare".to_owned(), ..entry(AuditAction::Read, Uuid::new_v4(), "x") };
    scratch.database.record(rare).await.unwrap();
    scratch
        .other_connection()
        .execute_batch(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 120000)
             INSERT INTO audit_entries (at, actor, action, subject, secret_paths, address, request_id)
             SELECT 0, 'admin', 'read', 'x', '[]', '', '' FROM n",
        )
        .unwrap();

    let mut query = AuditQuery { actor: Some("rare".to_owned()), limit: 1, ..AuditQuery::default() };
    let mut found = AuditLog::page(&scratch.database, query.clone()).await.unwrap();
    while found.entries.is_empty() && found.next.is_some() {
        query.before_sequence = found.next;
        found = AuditLog::page(&scratch.database, query.clone()).await.unwrap();
    }

    assert_eq!(found.entries.iter().map(|entry| entry.sequence).collect::<Vec<_>>(), [1]);
}
