//! Query strings. Parameters that we do not know are passed over, since clients send many; those we know are checked.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use strongroom_domain::{Fault, Faults, Include, View};

use crate::error::ApiError;

/// Members of an entity that `fields` may name.
const FIELDS: &[&str] = &[
    "*",
    "owners",
    "tags",
    "domains",
    "dataProducts",
    "followers",
    "pipelines",
    "ingestionRunner",
    "connection",
    "testConnectionResult",
    "style",
    "displayName",
    "description",
    "dataContract",
    "entityStatus",
    "version",
    "updatedAt",
    "updatedBy",
    "href",
    "changeDescription",
    "deleted",
    "name",
    "id",
    "serviceType",
    "fullyQualifiedName",
    "provider",
    "models",
];

/// The largest `limit` that clients send.
const LARGEST_LIMIT: usize = 1_000_000;

/// The parameters of a request, decoded.
#[derive(Debug, Default)]
pub(crate) struct Parameters {
    pairs: Vec<(String, String)>,
}

impl<S: Sync> FromRequestParts<S> for Parameters {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let mut pairs = decoded(parts.uri.query().unwrap_or_default());
        // A known slip of clients: `name/x&include=all`, without the question mark.
        if let Some((_, stray)) = without_question_mark(parts.uri.path()) {
            pairs.extend(decoded(&format!("include={stray}")));
        }
        Ok(Self { pairs })
    }
}

/// The name and the parameter of a path such as `name/x&include=all`.
pub(crate) fn without_question_mark(path: &str) -> Option<(&str, &str)> {
    // Looking for one byte first spares nearly every request the search for a text.
    path.as_bytes().contains(&b'&').then(|| path.split_once("&include=")).flatten()
}

fn decoded(query: &str) -> Vec<(String, String)> {
    form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

impl Parameters {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str()).filter(|it| !it.is_empty())
    }

    fn parsed<T>(&self, name: &str, allowed: &str, parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>, ApiError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        parse(text).map(Some).ok_or_else(|| ApiError::invalid(name, format!("must be {allowed}")))
    }

    pub(crate) fn include(&self) -> Result<Include, ApiError> {
        Ok(self.parsed("include", "all, deleted or non-deleted", Include::parse)?.unwrap_or_default())
    }

    pub(crate) fn view(&self) -> Result<Option<View>, ApiError> {
        self.parsed("view", "plaintext, references, masked or hidden", View::parse)
    }

    pub(crate) fn flag(&self, name: &str) -> Result<bool, ApiError> {
        self.flag_or(name, false)
    }

    pub(crate) fn flag_or(&self, name: &str, default: bool) -> Result<bool, ApiError> {
        let flag = self.parsed(name, "true or false", |text| match text.to_ascii_lowercase().as_str() {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        });
        Ok(flag?.unwrap_or(default))
    }

    pub(crate) fn limit(&self, default: usize) -> Result<usize, ApiError> {
        let parse = |text: &str| text.parse::<usize>().ok().filter(|limit| *limit <= LARGEST_LIMIT);
        Ok(self.parsed("limit", "a whole number from 0 to 1000000", parse)?.unwrap_or(default))
    }

    pub(crate) fn time(&self, name: &str) -> Result<Option<i64>, ApiError> {
        self.parsed(name, "a time in milliseconds since the epoch", |text| text.parse().ok())
    }

    /// All that `fields` names must exist; what is there is always sent, so that nothing else follows from it.
    pub(crate) fn check_fields(&self) -> Result<(), ApiError> {
        let fields = self.get("fields").unwrap_or_default();
        let unknown = fields.split(',').map(str::trim).filter(|field| !field.is_empty() && !FIELDS.contains(field));
        let faults = unknown.map(|_| Fault::new("fields", format!("must be of: {}", FIELDS.join(", "))));
        Ok(Faults::or_ok(faults.take(1).collect())?)
    }
}
