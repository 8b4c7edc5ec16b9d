//! Reading: who gets which view.

use std::sync::Arc;
use std::time::Duration;

use super::loaded::{CacheKey, ReadyService};
use super::opened::Opened;
use super::{CatalogError, ListRequest, ReadRequest, ServiceAnswer, ServiceCatalog, ServicePageAnswer};
use crate::audit::{AuditAction, Origin};
use crate::caller::{Admin, Caller, Role};
use crate::entity_template::{Filling, View};
use crate::fault::Faults;
use crate::json_pointer::shown;
use crate::secret_swap::SecretIndex;
use crate::service::{Family, ServiceKey, fully_qualified_name};
use crate::service_store::ListQuery;

/// How many services one list with plaintext may hold.
const PLAINTEXT_PAGE: usize = 100;

/// How many services one page may hold: clients ask for up to a million, and get this many and a cursor.
const LARGEST_PAGE: usize = 1000;

impl ServiceCatalog {
    /// One service, in the view that was asked for or the best that the caller may have.
    pub async fn get(
        &self,
        caller: &Caller,
        origin: &Origin,
        base_url: &str,
        request: ReadRequest,
    ) -> Result<ServiceAnswer, CatalogError> {
        let ready = self.find_ready(request.family, &request.key).await?;
        let ready = ready.filter(|ready| !ready.is_believed || request.include.admits(ready.deleted));
        let ready = ready.ok_or(CatalogError::NotFound(request.family.entity_type()))?;
        let best = self.best_view(caller, &ready);
        let view = chosen_view(request.view, best, best)?;
        if view != View::Hidden {
            ready.readable()?;
        }
        self.answer(caller, origin, base_url, &ready, (view, request.refresh)).await
    }

    async fn answer(
        &self,
        caller: &Caller,
        origin: &Origin,
        base_url: &str,
        ready: &ReadyService,
        (view, refresh): (View, bool),
    ) -> Result<ServiceAnswer, CatalogError> {
        let body = match (view, caller.admin()) {
            (View::Plaintext, Some(admin)) => {
                let plaintext = self.plaintext((admin, origin), base_url, ready, refresh).await?;
                let PlaintextBody { body, etag, drifted, age } = plaintext;
                return Ok(ServiceAnswer { etag, drifted, age, ..answer_of(ready, view, body) });
            }
            (View::References, _) => ready.template.render(base_url, Filling::References),
            (View::Masked, _) => ready.template.render(base_url, Filling::Masked),
            (View::Hidden, _) => ready.template.render(base_url, Filling::Hidden),
            (View::Plaintext, None) => return Err(too_much()),
        };
        let unresolved = if view == View::References { unresolved(ready) } else { Vec::new() };
        let reason = if view == View::Hidden { self.why_hidden(caller, ready) } else { None };
        Ok(ServiceAnswer { unresolved, reason, ..answer_of(ready, view, body) })
    }

    /// Plaintext: the audit entry is kept first, or there is no answer.
    async fn plaintext(
        &self,
        (admin, origin): (Admin<'_>, &Origin),
        base_url: &str,
        ready: &ReadyService,
        refresh: bool,
    ) -> Result<PlaintextBody, CatalogError> {
        let subject = (ready.family, ready.id, ready.name.clone());
        let entry = self.audit_entry((admin.name(), origin), AuditAction::Read, subject, ready.secret_paths.clone());
        self.audit.record(entry).await.map_err(CatalogError::NoAudit)?;
        let Opened { newer, values, drifted, age } = self.open_all(ready, refresh).await?;
        let ready = newer.as_ref().unwrap_or(ready);
        let body = ready.template.render(base_url, Filling::Plaintext(&values));
        Ok(PlaintextBody { body, etag: ready.etag.clone(), drifted, age: (!age.is_zero()).then_some(age) })
    }

    /// A page of services.
    pub async fn list(
        &self,
        caller: &Caller,
        origin: &Origin,
        base_url: &str,
        request: ListRequest,
    ) -> Result<ServicePageAnswer, CatalogError> {
        if request.view == Some(View::Plaintext) && request.page.limit > PLAINTEXT_PAGE {
            let message = format!("must be at most {PLAINTEXT_PAGE} for view=plaintext");
            return Err(Faults::one("limit", message).into());
        }
        let limit = request.page.limit.min(LARGEST_PAGE);
        let cursor = request.page.cursor;
        let query = ListQuery { family: request.family, include: request.include, cursor, limit };
        let page = self.services.list(query).await?;
        let name_of = |row: Option<&crate::service_store::StoredService>| row.map(|stored| stored.row.fqn.clone());
        let before = name_of(page.services.first()).filter(|_| page.has_before);
        let after = name_of(page.services.last()).filter(|_| page.has_after);
        let default = if caller.role() == Role::Admin { View::Masked } else { View::References };
        let mut least = request.view.unwrap_or(default);
        let mut services = Vec::with_capacity(page.services.len());
        for stored in page.services {
            let ready = self.make_ready(stored);
            let best = self.best_view(caller, &ready);
            let mut view = chosen_view(request.view, best, best.min(default))?;
            if ready.broken.is_some() {
                view = View::Hidden;
            }
            least = least.min(view);
            let answered = match self.answer(caller, origin, base_url, &ready, (view, false)).await {
                // It alone says so when it is asked for; the list goes on.
                Err(error) if is_of_one_service(&error) => {
                    least = View::Hidden;
                    self.answer(caller, origin, base_url, &ready, (View::Hidden, false)).await
                }
                answered => answered,
            };
            services.push(answered?.body);
        }
        if caller.role() == Role::None {
            chosen_view(request.view, View::Hidden, View::Hidden)?;
            least = View::Hidden;
        }
        Ok(ServicePageAnswer { services, total: page.total, before, after, view: least })
    }

    /// The most that this caller may see of this service.
    pub(super) fn best_view(&self, caller: &Caller, ready: &ReadyService) -> View {
        match caller.role() {
            Role::Admin => View::Plaintext,
            Role::Worker if ready.broken.is_none() && self.workers_resolve(&ready.index) => View::References,
            Role::Worker | Role::None => View::Hidden,
        }
    }

    /// Whether workers can resolve every reference: none of the secrets lies in our own database.
    pub(super) fn workers_resolve(&self, index: &SecretIndex) -> bool {
        let is_reachable =
            |store: &Option<String>| store.as_deref().is_some_and(|place| self.stores.is_reachable_by_workers(place));
        index.kept.iter().all(|kept| is_reachable(&kept.store))
    }

    /// Why a worker does not see a connection that it would see, were its secrets elsewhere.
    fn why_hidden(&self, caller: &Caller, ready: &ReadyService) -> Option<&'static str> {
        let is_waiting = caller.role() == Role::Worker && ready.broken.is_none() && !self.workers_resolve(&ready.index);
        is_waiting.then_some(
            "not all of its secrets lie where workers can read them: some are in the database of Strongroom; an admin can \
             enable a secrets manager that workers reach, or wait until all secrets have been moved there",
        )
    }

    /// Finds a service by id, or by either form of its name; an exact fully qualified name wins.
    pub(super) async fn find_ready(
        &self,
        family: Family,
        key: &ServiceKey,
    ) -> Result<Option<Arc<ReadyService>>, CatalogError> {
        let name = match key {
            ServiceKey::Id(id) => return self.ready_at(CacheKey::Id(family, *id), key).await,
            ServiceKey::Name(name) => name,
        };
        for fqn in meanings(name) {
            let key = ServiceKey::Name(fqn.clone());
            if let Some(ready) = self.ready_at(CacheKey::Fqn(family, fqn), &key).await? {
                return Ok(Some(ready));
            }
        }
        Ok(None)
    }

    async fn ready_at(&self, cache_key: CacheKey, key: &ServiceKey) -> Result<Option<Arc<ReadyService>>, CatalogError> {
        if let Some(ready) = self.cache.get(&cache_key) {
            return Ok(Some(ready));
        }
        let writes = self.cache.writes();
        let (CacheKey::Id(family, _) | CacheKey::Fqn(family, _)) = cache_key;
        let Some(stored) = self.services.find(family, key).await? else { return Ok(None) };
        let ready = Arc::new(self.make_ready(stored));
        self.cache.keep(writes, cache_key, Arc::clone(&ready));
        Ok(Some(ready))
    }
}

/// Whether a failure says nothing of the other services of a list.
fn is_of_one_service(error: &CatalogError) -> bool {
    match error {
        CatalogError::Unreadable { .. } | CatalogError::Raced | CatalogError::NotFound(_) => true,
        CatalogError::Secrets(error) => !error.is_retryable(),
        _ => false,
    }
}

struct PlaintextBody {
    body: String,
    etag: Arc<str>,
    drifted: Vec<String>,
    age: Option<Duration>,
}

fn answer_of(ready: &ReadyService, view: View, body: String) -> ServiceAnswer {
    ServiceAnswer::new(body, view, ready.id, (ready.name.clone(), ready.etag.clone()))
}

/// The fully qualified names that a name in a request may mean, the likeliest first.
pub(super) fn meanings(name: &str) -> Vec<String> {
    let inner = name.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).map(|it| it.replace("\"\"", "\""));
    let exact = inner.as_deref().map(fully_qualified_name).filter(|fqn| fqn == name);
    let mut meanings: Vec<String> = Vec::with_capacity(3);
    for meaning in exact.into_iter().chain([fully_qualified_name(name)]).chain(inner) {
        if !meanings.contains(&meaning) {
            meanings.push(meaning);
        }
    }
    meanings
}

/// More than one may have is refused, never silently less.
pub(super) fn chosen_view(asked: Option<View>, best: View, default: View) -> Result<View, CatalogError> {
    match asked {
        None => Ok(default),
        Some(view) if view <= best => Ok(view),
        Some(_) => Err(too_much()),
    }
}

fn too_much() -> CatalogError {
    CatalogError::Forbidden(
        "this view shows more than the caller may see of this connection; leave `view` out to get what you may",
    )
}

/// Fields with a reference where the unmodified client expects none, so that it does not resolve them.
fn unresolved(ready: &ReadyService) -> Vec<String> {
    // Versions and keys are ours: the client would take them for a part of the name.
    let is_ours = |pointer: &str| {
        ready.index.typed.iter().any(|typed| typed.pointer == pointer && typed.name.contains(['@', '#']))
    };
    let pointers = ready.index.pointers().filter(|pointer| !is_resolved_by_client(pointer) || is_ours(pointer));
    pointers.map(|it| format!("connection.{}", shown(it))).collect()
}

/// Whether the unmodified client's models take the field for a secret, so that it resolves a reference there.
fn is_resolved_by_client(pointer: &str) -> bool {
    const LITERAL: [&str; 4] = ["awsSessionToken", "clientCertificate", "clientKeyCertificate", "rootCertificate"];
    let mut parts = pointer.split('/').skip(2);
    let (first, last) = (parts.next().unwrap_or_default(), pointer.rsplit('/').next().unwrap_or_default());
    let is_top_level = parts.next().is_none();
    let in_map = ["connectionOptions", "connectionArguments", "consumerConfig", "headers", "extraHeaders", "env"];
    !LITERAL.contains(&last) && (is_top_level || !in_map.contains(&first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_in_both_forms_and_an_exact_fully_qualified_one_wins() {
        assert_eq!(meanings("shop"), ["shop"]);
        assert_eq!(meanings("prod.x"), ["\"prod.x\""]);
        assert_eq!(meanings("\"prod.x\""), ["\"prod.x\"", "\"\"\"prod.x\"\"\"", "prod.x"]);
        assert_eq!(meanings("\"shop\""), ["\"\"\"shop\"\"\"", "shop"]);
    }
}
