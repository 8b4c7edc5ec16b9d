//! Which family and which service a path names. Read from the raw path, so that names may hold anything.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use percent_encoding::percent_decode_str;
use strongroom_domain::{Family, ServiceKey};
use uuid::Uuid;

use crate::error::ApiError;
use crate::query::without_question_mark;

/// The family of `/api/v1/services/{family}/…`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TargetFamily(pub(crate) Family);

/// The family and service of `/api/v1/services/{family}/{id}…` or `…/name/{fqn}`.
#[derive(Clone, Debug)]
pub(crate) struct TargetService {
    pub(crate) family: Family,
    pub(crate) key: ServiceKey,
}

impl<S: Sync> FromRequestParts<S> for TargetFamily {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        family_and_rest(parts.uri.path()).map(|(family, _)| Self(family))
    }
}

impl<S: Sync> FromRequestParts<S> for TargetService {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let (family, rest) = family_and_rest(parts.uri.path())?;
        let rest = rest.strip_prefix("async/").unwrap_or(rest);
        let key = match rest.strip_prefix("name/") {
            Some(name) => ServiceKey::Name(decoded(without_question_mark(name).map_or(name, |(name, _)| name))?),
            None => ServiceKey::Id(parsed_id(rest.split('/').next().unwrap_or_default())?),
        };
        Ok(Self { family, key })
    }
}

impl TargetService {
    /// The id, for routes that have one.
    pub(crate) fn id(&self) -> Result<Uuid, ApiError> {
        match self.key {
            ServiceKey::Id(id) => Ok(id),
            ServiceKey::Name(_) => Err(ApiError::not_found("there is nothing here")),
        }
    }
}

fn family_and_rest(path: &str) -> Result<(Family, &str), ApiError> {
    let rest = path.strip_prefix("/api/v1/services/").unwrap_or_default();
    let (route, rest) = rest.split_once('/').unwrap_or((rest, ""));
    let family = Family::of_route(route).ok_or_else(|| ApiError::not_found("there is nothing here"))?;
    Ok((family, rest))
}

pub(crate) fn decoded(text: &str) -> Result<String, ApiError> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(String::from).map_err(|_| ApiError::invalid("path", "must be UTF-8, percent-encoded"))
}

pub(crate) fn parsed_id(text: &str) -> Result<Uuid, ApiError> {
    Uuid::try_parse(text).map_err(|_| ApiError::invalid("id", "must be a UUID; to ask by name use …/name/{name}"))
}
