//! The sequence of changes that replicas follow.
//!
//! A change gets its number when it is written and is seen when it is committed, so that a smaller number may come
//! after a larger one. Numbers that are missing are therefore asked for again, until they are there or so old that
//! their transaction must have ended: the server ends one that idles after ten seconds (`PostgreSQL`), and a
//! replica commits none that it began long ago.

use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use strongroom_domain::{ChangeFeed, ChangedService, Changes, Family, StoreError};
use uuid::Uuid;

use super::ServerDatabase;
use super::session::{Session, reading};
use super::values::{Row, Value, placeholders, values};

/// How long a missing number is asked for.
const GAP_LIVES: Duration = Duration::from_mins(10);

/// For how long what a look told may be believed.
const LOOK_LASTS: Duration = Duration::from_millis(900);

/// How many missing numbers are asked for at most; beyond it, whatever is remembered is forgotten.
const GAPS: usize = 1_000;

/// How many changes one look reads at most.
const LOOK: usize = 5_000;

/// How far back the first look goes.
const FIRST_LOOK: i64 = 500;

/// How many changes are kept. Whoever is further behind forgets everything he remembers.
const KEPT: i64 = 100_000;

/// Every so many looks, older changes are deleted: at three looks a second, about every twelve seconds.
const LOOKS_BETWEEN_PRUNING: u64 = 40;

/// So many at most, so that a look does not take long.
const PRUNED_AT_ONCE: i64 = 20_000;

/// What a change was.
const CONTENT: &str = "content";
const EXISTENCE: &str = "existence";
const ACCESS: &str = "access";
const STORE: &str = "store";

const INSERT: &str = "INSERT INTO changes (kind, family, subject_id, fqn) VALUES ($1, $2, $3, $4)";

/// Notes that the content of a service changed, in the transaction that changes it.
pub(super) async fn note_content(session: &mut Session, service: &ChangedService) -> sqlx::Result<()> {
    note_service(session, CONTENT, service).await
}

/// Notes that a service came, went, or was marked as deleted.
pub(super) async fn note_existence(session: &mut Session, service: &ChangedService) -> sqlx::Result<()> {
    note_service(session, EXISTENCE, service).await
}

async fn note_service(session: &mut Session, kind: &'static str, service: &ChangedService) -> sqlx::Result<()> {
    session.execute(INSERT, values![kind, service.family.as_str(), service.id, &service.fqn]).await.map(drop)
}

/// Notes a change of users, bots or tokens.
pub(super) async fn note_access(session: &mut Session) -> sqlx::Result<()> {
    note(session, ACCESS).await
}

/// Notes that secrets go into another store from now on, or are all there.
pub(super) async fn note_store(session: &mut Session) -> sqlx::Result<()> {
    note(session, STORE).await
}

async fn note(session: &mut Session, kind: &'static str) -> sqlx::Result<()> {
    session.execute(INSERT, values![kind, None::<&str>, None::<Uuid>, None::<&str>]).await.map(drop)
}

/// How far one has followed.
#[derive(Default)]
pub(super) struct Follower(Mutex<Followed>);

#[derive(Default)]
struct Followed {
    /// The largest number seen; none before the first look.
    last: Option<i64>,
    gaps: Vec<Gap>,
    looks: u64,
    looked: Option<Instant>,
    /// Numbers that could not be awaited may still come until then.
    lost_until: Option<Instant>,
}

struct Gap {
    number: i64,
    missing_since: Instant,
}

/// What the next look asks for.
struct Look {
    last: Option<i64>,
    gaps: Vec<i64>,
    prunes: bool,
}

/// Before the first look: what is being committed at that time has one of the newest numbers.
fn first_awaited(newest: i64) -> i64 {
    (newest - FIRST_LOOK).max(0)
}

impl Follower {
    /// Whether the last look was so lately that what is remembered may be believed.
    pub(super) fn is_following(&self) -> bool {
        let followed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        followed.looked.is_some_and(|looked| looked.elapsed() < LOOK_LASTS)
    }

    fn looked(&self, begun: Instant) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).looked = Some(begun);
    }

    fn next_look(&self) -> Look {
        let mut followed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        followed.looks += 1;
        followed.gaps.retain(|gap| gap.missing_since.elapsed() < GAP_LIVES);
        Look {
            last: followed.last,
            gaps: followed.gaps.iter().map(|gap| gap.number).collect(),
            prunes: followed.looks.is_multiple_of(LOOKS_BETWEEN_PRUNING),
        }
    }

    /// Takes numbers that were seen, in their order; says whether so many were missing lately that they could not be
    /// awaited.
    fn saw(&self, numbers: &[i64]) -> bool {
        let mut followed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = numbers.last().copied().unwrap_or_default();
        for number in numbers {
            let last = followed.last.unwrap_or_else(|| first_awaited(newest));
            followed.gaps.retain(|gap| gap.number != *number);
            let missing = usize::try_from(number - last - 1).unwrap_or_default();
            if followed.gaps.len().saturating_add(missing) > GAPS {
                followed.lost_until = Some(Instant::now() + GAP_LIVES);
            } else {
                let missing_since = Instant::now();
                followed.gaps.extend((last + 1..*number).map(|number| Gap { number, missing_since }));
            }
            followed.last = Some(last.max(*number));
        }
        // Nothing was ever changed: the first change will have the number 1.
        followed.last = followed.last.or(Some(0));
        followed.lost_until.is_some_and(|until| Instant::now() < until)
    }

    /// Begins anew, after numbers went back: the database was restored, or a server took over that lacks the newest.
    fn begin_anew(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Followed::default();
    }
}

#[async_trait]
impl ChangeFeed for ServerDatabase {
    async fn changes(&self) -> Result<Changes, StoreError> {
        let (look, begun) = (self.handle.follower.next_look(), Instant::now());
        let rows = reading!(self, session => rows(session, &look))?;
        let changes = self.understood(&look, &rows)?;
        if changes.everything {
            self.handle.totals.forget(None);
        }
        self.handle.follower.looked(begun);
        Ok(changes)
    }
}

impl ServerDatabase {
    fn understood(&self, look: &Look, rows: &[Row]) -> Result<Changes, StoreError> {
        let mut changes = Changes::default();
        let mut numbers = Vec::with_capacity(rows.len());
        for row in rows {
            numbers.push(self.understand(row, &mut changes).map_err(|error| super::store_error(&error))?);
        }
        // The newest one of the last look is asked for again: where it is gone, numbers are not what they were.
        let went_back = look.last.is_some_and(|last| last > 0 && !numbers.contains(&last));
        let is_lost = self.handle.follower.saw(&numbers);
        if went_back {
            self.handle.follower.begin_anew();
        }
        changes.everything |= look.last.is_none() || went_back || is_lost || rows.len() >= LOOK;
        Ok(changes)
    }

    fn understand(&self, row: &Row, changes: &mut Changes) -> sqlx::Result<i64> {
        let kind = row.text(1)?;
        match (kind.as_str(), row.optional_text(2)?.as_deref().and_then(Family::parse), row.optional_id(3)?) {
            (CONTENT | EXISTENCE, Some(family), Some(id)) => {
                if kind == EXISTENCE {
                    self.handle.totals.forget(Some(family));
                }
                changes.services.push(ChangedService { family, id, fqn: row.text(4)? });
            }
            (ACCESS, ..) => changes.access = true,
            (STORE, ..) => changes.store = true,
            // Word of a newer version: to be on the safe side.
            _ => changes.everything = true,
        }
        row.integer(0)
    }
}

const COLUMNS: &str = "SELECT sequence, kind, family, subject_id, fqn FROM changes WHERE";

async fn rows(session: &mut Session, look: &Look) -> sqlx::Result<Vec<Row>> {
    let Some(last) = look.last else { return newest(session).await };
    if look.prunes {
        prune(session, last - KEPT).await?;
    }
    let mut values: Vec<Value<'_>> = vec![last.into()];
    let mut sql = format!("{COLUMNS} sequence >= $1");
    if !look.gaps.is_empty() {
        values.extend(look.gaps.iter().map(|number| Value::Integer(*number)));
        let _ = write!(sql, " OR sequence IN {}", placeholders(2, look.gaps.len()));
    }
    values.push(LOOK.into());
    let _ = write!(sql, " ORDER BY sequence LIMIT ${}", values.len());
    session.query(sql, &values).await
}

async fn prune(session: &mut Session, end: i64) -> sqlx::Result<()> {
    let oldest = session.first("SELECT min(sequence) FROM changes", &[]).await?;
    let oldest = oldest.map(|row| row.optional_integer(0)).transpose()?.flatten();
    if let Some(oldest) = oldest.filter(|oldest| *oldest < end) {
        let end = end.min(oldest + PRUNED_AT_ONCE);
        session.execute("DELETE FROM changes WHERE sequence < $1", values![end]).await?;
    }
    Ok(())
}

/// The first look: nothing is remembered yet, but what is about to be committed among the newest numbers counts.
async fn newest(session: &mut Session) -> sqlx::Result<Vec<Row>> {
    let sql = format!("{COLUMNS} sequence > (SELECT coalesce(max(sequence), 0) - $1 FROM changes) ORDER BY sequence");
    session.query(sql, values![FIRST_LOOK]).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_is_missing_is_asked_for_until_it_comes() {
        let follower = Follower::default();

        assert!(!follower.saw(&[2, 4]));
        assert_eq!(follower.next_look().gaps, [1, 3]);
        assert_eq!(follower.next_look().last, Some(4));

        assert!(!follower.saw(&[1, 3, 4, 5]));
        assert!(follower.next_look().gaps.is_empty());
        assert_eq!(follower.next_look().last, Some(5));
    }

    #[test]
    fn a_database_in_which_nothing_was_changed_yet_is_followed_too() {
        let follower = Follower::default();

        assert!(!follower.saw(&[]));
        assert_eq!(follower.next_look().last, Some(0));

        assert!(!follower.saw(&[2]));
        assert_eq!(follower.next_look().gaps, [1]);
    }

    #[test]
    fn where_too_many_are_missing_nothing_is_believed_for_a_time() {
        let follower = Follower::default();
        assert!(!follower.saw(&[1]));

        assert!(follower.saw(&[100_000]));
        assert!(follower.saw(&[100_000, 100_001]), "one of those that were missing may come later");

        assert!(follower.next_look().gaps.is_empty());
        assert_eq!(follower.next_look().last, Some(100_001));
    }
}
