//! Pages of services, by the bytes of their fully qualified names. A page costs the same whatever its place.

use strongroom_domain::{Family, Include, ListQuery, PageCursor, ServicePage, StoredService};

use super::super::Handle;
use super::super::rows::service_columns;
use super::super::session::{Session, Sql};
use super::super::totals::Totals;
use super::super::values::{Value, values};
use super::{grouped, page, with_ciphertexts};

/// Where a page begins, and which way it is read.
struct Bound {
    fqn: String,
    backwards: bool,
}

impl Bound {
    /// `PostgreSQL` takes no NUL. No name holds one, so that another text divides the names in the same way.
    fn of(cursor: &PageCursor) -> Self {
        let until_nul = |fqn: &str| fqn.split('\0').next().unwrap_or_default().to_owned();
        match cursor {
            PageCursor::Start => Self { fqn: String::new(), backwards: false },
            PageCursor::After(fqn) => Self { fqn: until_nul(fqn), backwards: false },
            PageCursor::Before(fqn) if fqn.contains('\0') => Self { fqn: until_nul(fqn) + "\u{1}", backwards: true },
            PageCursor::Before(fqn) => Self { fqn: fqn.clone(), backwards: true },
        }
    }
}

/// The rows of a page: in all states, or those that are (or are not) deleted; forwards or backwards.
fn rows_sql(all_states: bool, backwards: bool) -> Sql {
    match (all_states, backwards) {
        (true, false) => {
            page!("WHERE family = $1 AND fqn > $2 ORDER BY fqn LIMIT $3", "services_by_name", "ORDER BY s.fqn")
        }
        (true, true) => page!(
            "WHERE family = $1 AND fqn < $2 ORDER BY fqn DESC LIMIT $3",
            "services_by_name",
            "ORDER BY s.fqn DESC"
        ),
        (false, false) => page!(
            "WHERE family = $1 AND deleted = $2 AND fqn > $3 ORDER BY fqn LIMIT $4",
            "services_by_state",
            "ORDER BY s.fqn"
        ),
        (false, true) => page!(
            "WHERE family = $1 AND deleted = $2 AND fqn < $3 ORDER BY fqn DESC LIMIT $4",
            "services_by_state",
            "ORDER BY s.fqn DESC"
        ),
    }
}

macro_rules! next {
    ($index:literal, $rows:literal) => {
        Sql::Each {
            postgres: concat!("SELECT id FROM services WHERE family = $1 AND ", $rows, " LIMIT 1"),
            mysql: concat!(
                "SELECT id FROM services FORCE INDEX (",
                $index,
                ") WHERE family = $1 AND ",
                $rows,
                " LIMIT 1"
            ),
        }
    };
}

/// The row next to the bound on the side that the page does not read.
fn others_sql(all_states: bool, backwards: bool) -> Sql {
    match (all_states, backwards) {
        (true, false) => next!("services_by_name", "fqn <= $2 ORDER BY fqn DESC"),
        (true, true) => next!("services_by_name", "fqn >= $2 ORDER BY fqn"),
        (false, false) => next!("services_by_state", "deleted = $2 AND fqn <= $3 ORDER BY fqn DESC"),
        (false, true) => next!("services_by_state", "deleted = $2 AND fqn >= $3 ORDER BY fqn"),
    }
}

/// Reads a page.
pub(super) async fn page(session: &mut Session, query: &ListQuery, handle: &Handle) -> sqlx::Result<ServicePage> {
    // What is remembered is believed only while the changes of others are followed.
    let totals = handle.follower.is_following().then_some(&handle.totals);
    let total = total(session, query.family, query.include, totals).await?;
    if query.limit == 0 {
        return Ok(ServicePage { services: Vec::new(), total, has_before: false, has_after: false });
    }
    let bound = Bound::of(&query.cursor);
    let mut services = rows(session, query, &bound).await?;
    let more = services.len() > query.limit;
    services.truncate(query.limit);
    let on_other_side = !bound.fqn.is_empty() && has_others(session, query, &bound).await?;
    let (has_before, has_after) = if bound.backwards { (more, on_other_side) } else { (on_other_side, more) };
    if bound.backwards {
        services.reverse();
    }
    Ok(ServicePage { services, total, has_before, has_after })
}

async fn rows(session: &mut Session, query: &ListQuery, bound: &Bound) -> sqlx::Result<Vec<StoredService>> {
    let mut values = conditions(query, bound);
    values.push(query.limit.saturating_add(1).into());
    let sql = rows_sql(query.include == Include::All, bound.backwards);
    grouped(&session.query(sql, &values).await?)
}

async fn has_others(session: &mut Session, query: &ListQuery, bound: &Bound) -> sqlx::Result<bool> {
    session.exists(others_sql(query.include == Include::All, bound.backwards), &conditions(query, bound)).await
}

fn conditions<'a>(query: &ListQuery, bound: &'a Bound) -> Vec<Value<'a>> {
    let mut values: Vec<Value<'a>> = vec![query.family.as_str().into()];
    if query.include != Include::All {
        values.push((query.include == Include::Deleted).into());
    }
    values.push((&bound.fqn).into());
    values
}

async fn total(session: &mut Session, family: Family, include: Include, totals: Option<&Totals>) -> sqlx::Result<u64> {
    let mut total = 0;
    for deleted in [false, true].into_iter().filter(|deleted| include.admits(*deleted)) {
        total += match totals.and_then(|totals| totals.get(family, deleted)) {
            Some(total) => total,
            None => count(session, family, deleted, totals).await?,
        };
    }
    Ok(total)
}

async fn count(session: &mut Session, family: Family, deleted: bool, totals: Option<&Totals>) -> sqlx::Result<u64> {
    let changes = totals.map(Totals::changes);
    let sql = "SELECT count(*) FROM services WHERE family = $1 AND deleted = $2";
    let row = session.first(sql, values![family.as_str(), deleted]).await?;
    let total = row.map_or(Ok(0), |row| row.unsigned(0))?;
    if let (Some(totals), Some(changes)) = (totals, changes) {
        totals.keep(changes, family, deleted, total);
    }
    Ok(total)
}
