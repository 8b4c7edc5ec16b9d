//! Pages of services, by the bytes of their fully qualified names. A page costs the same whatever its place.

use rusqlite::{Connection, OptionalExtension, ToSql, params};
use strongroom_domain::{Family, Include, ListQuery, PageCursor, ServicePage, ServiceRow};

use super::super::rows::{service, service_columns, unsigned};
use super::with_ciphertexts;

/// The rows of a page, by whether all states are meant and whether it is read backwards. Bounds are half open:
/// `>=` and `<`.
pub(in super::super) const ROWS_SQL: [(bool, bool, &str); 4] = [
    (
        true,
        false,
        concat!("SELECT ", service_columns!(), " FROM services WHERE family = ?1 AND fqn >= ?2 ORDER BY fqn LIMIT ?3"),
    ),
    (
        true,
        true,
        concat!(
            "SELECT ",
            service_columns!(),
            " FROM services WHERE family = ?1 AND fqn < ?2 ORDER BY fqn DESC LIMIT ?3"
        ),
    ),
    (
        false,
        false,
        concat!(
            "SELECT ",
            service_columns!(),
            " FROM services WHERE family = ?1 AND deleted = ?4 AND fqn >= ?2 ORDER BY fqn LIMIT ?3"
        ),
    ),
    (
        false,
        true,
        concat!(
            "SELECT ",
            service_columns!(),
            " FROM services WHERE family = ?1 AND deleted = ?4 AND fqn < ?2 ORDER BY fqn DESC LIMIT ?3"
        ),
    ),
];

/// Whether anything lies on one side of a bound, by whether all states are meant and whether before it is meant.
pub(in super::super) const EXISTS_SQL: [(bool, bool, &str); 4] = [
    (true, false, "SELECT 1 FROM services WHERE family = ?1 AND fqn >= ?2 LIMIT 1"),
    (true, true, "SELECT 1 FROM services WHERE family = ?1 AND fqn < ?2 LIMIT 1"),
    (false, false, "SELECT 1 FROM services WHERE family = ?1 AND deleted = ?3 AND fqn >= ?2 LIMIT 1"),
    (false, true, "SELECT 1 FROM services WHERE family = ?1 AND deleted = ?3 AND fqn < ?2 LIMIT 1"),
];

/// Reads a page.
pub(super) fn page(connection: &Connection, query: &ListQuery) -> rusqlite::Result<ServicePage> {
    let total = total(connection, query.family, query.include)?;
    if query.limit == 0 {
        return Ok(ServicePage { services: Vec::new(), total, has_before: false, has_after: false });
    }
    let bound = Bound::of(&query.cursor);
    let mut rows = rows(connection, query, &bound)?;
    let more = rows.len() > query.limit;
    rows.truncate(query.limit);
    let on_other_side = !bound.fqn.is_empty() && exists(connection, query, &bound)?;
    let (has_before, has_after) = if bound.backwards { (more, on_other_side) } else { (on_other_side, more) };
    if bound.backwards {
        rows.reverse();
    }
    let services = rows.into_iter().map(|row| with_ciphertexts(connection, row)).collect::<rusqlite::Result<_>>()?;
    Ok(ServicePage { services, total, has_before, has_after })
}

/// Where a page begins: at or behind `fqn`, or, backwards, before it.
struct Bound {
    fqn: String,
    backwards: bool,
}

impl Bound {
    fn of(cursor: &PageCursor) -> Self {
        match cursor {
            PageCursor::Start => Self { fqn: String::new(), backwards: false },
            // In the order of bytes nothing lies between a text and the same text with a NUL behind it.
            PageCursor::After(fqn) => Self { fqn: format!("{fqn}\0"), backwards: false },
            PageCursor::Before(fqn) => Self { fqn: fqn.clone(), backwards: true },
        }
    }
}

fn rows(connection: &Connection, query: &ListQuery, bound: &Bound) -> rusqlite::Result<Vec<ServiceRow>> {
    let family = query.family.as_str();
    let limit = i64::try_from(query.limit).unwrap_or(i64::MAX).saturating_add(1);
    let deleted = query.include == Include::Deleted;
    let all_states = query.include == Include::All;
    let values: &[&dyn ToSql] =
        if all_states { &[&family, &bound.fqn, &limit] } else { &[&family, &bound.fqn, &limit, &deleted] };
    connection.prepare_cached(sql(&ROWS_SQL, all_states, bound.backwards))?.query_map(values, service)?.collect()
}

/// Says whether there is a service on the side of the bound that the page does not read.
fn exists(connection: &Connection, query: &ListQuery, bound: &Bound) -> rusqlite::Result<bool> {
    let family = query.family.as_str();
    let deleted = query.include == Include::Deleted;
    let all_states = query.include == Include::All;
    let values: &[&dyn ToSql] = if all_states { &[&family, &bound.fqn] } else { &[&family, &bound.fqn, &deleted] };
    connection.prepare_cached(sql(&EXISTS_SQL, all_states, !bound.backwards))?.exists(values)
}

fn sql(variants: &[(bool, bool, &'static str)], all_states: bool, before: bool) -> &'static str {
    variants.iter().find(|variant| (variant.0, variant.1) == (all_states, before)).map_or("", |variant| variant.2)
}

fn total(connection: &Connection, family: Family, include: Include) -> rusqlite::Result<u64> {
    let mut statement =
        connection.prepare_cached("SELECT services FROM service_totals WHERE family = ?1 AND deleted = ?2")?;
    let mut total = 0;
    for deleted in [false, true].into_iter().filter(|deleted| include.admits(*deleted)) {
        total += statement
            .query_row(params![family.as_str(), deleted], |row| unsigned(row, 0))
            .optional()?
            .unwrap_or_default();
    }
    Ok(total)
}
