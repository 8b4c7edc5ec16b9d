//! Answers about services: bodies that are ready, and the headers that say what they are.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use percent_encoding::{CONTROLS, utf8_percent_encode};
use serde_json::{Map, Value, json};
use strongroom_domain::{
    Change, Family, PageCursor, ServiceAnswer, ServicePageAnswer, VersionsAnswer, View, WriteAnswer,
};
use uuid::Uuid;

use crate::base_url::BaseUrl;
use crate::error::ApiError;
use crate::query::Parameters;

/// Says which view a body is.
const VIEW: HeaderName = HeaderName::from_static("strongroom-view");

/// Names fields whose references the unmodified client does not resolve.
const UNRESOLVED: HeaderName = HeaderName::from_static("strongroom-unresolved-references");

/// Names fields whose secret somebody else changed in its store.
const DRIFT: HeaderName = HeaderName::from_static("strongroom-secret-drift");

/// Says how many seconds ago the oldest secret in the answer was read from its store.
const AGE: HeaderName = HeaderName::from_static("strongroom-secret-age");

/// Says why a worker does not see a connection.
const REASON: HeaderName = HeaderName::from_static("strongroom-view-reason");

/// Says what a write did, in the catalog's words.
const CHANGE: HeaderName = HeaderName::from_static("x-openmetadata-change");

/// About how many headers an answer has.
const HEADERS: usize = 8;

/// How long a header of ours is at most, in bytes, but for a few words.
const LONGEST_HEADER: usize = 4_096;

fn json_answer(status: StatusCode, view: View, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.reserve(HEADERS);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(VIEW, view_value(view));
    response
}

fn view_value(view: View) -> HeaderValue {
    HeaderValue::from_static(view.as_str())
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// One service.
pub(crate) fn service(answer: ServiceAnswer) -> Response {
    let (unresolved, drifted) = (shortened(&answer.unresolved), shortened(&answer.drifted));
    let mut response = json_answer(StatusCode::OK, answer.view, answer.body);
    put(response.headers_mut(), header::ETAG, &answer.etag);
    for (name, paths) in [(UNRESOLVED, unresolved), (DRIFT, drifted)] {
        if !paths.is_empty() {
            put(response.headers_mut(), name, &utf8_percent_encode(&paths, CONTROLS).to_string());
        }
    }
    if let Some(age) = answer.age {
        response.headers_mut().insert(AGE, HeaderValue::from(age.as_secs()));
    }
    if let Some(reason) = answer.reason {
        response.headers_mut().insert(REASON, HeaderValue::from_static(reason));
    }
    response
}

/// Paths as a header can carry them: in ASCII, and no more than clients read.
fn shortened(paths: &[String]) -> String {
    let mut text = String::new();
    for (number, path) in paths.iter().enumerate() {
        let path = path.escape_default().to_string();
        let separator = if number > 0 { ", " } else { "" };
        if text.len() + path.len() > LONGEST_HEADER {
            return format!("{text}{separator}and {} more", paths.len() - number);
        }
        text.push_str(separator);
        text.push_str(&path);
    }
    text
}

/// What a write did, and the service as it now is.
pub(crate) fn written(answer: WriteAnswer, family: Family, base_url: &BaseUrl) -> Response {
    let location = format!("{}/api/v1/services/{}/{}", base_url.0, family.route(), answer.service.id);
    let mut response = service(answer.service);
    put(response.headers_mut(), CHANGE, word_of(answer.change));
    if answer.change == Change::Created {
        *response.status_mut() = StatusCode::CREATED;
        put(response.headers_mut(), header::LOCATION, &location);
    }
    response
}

/// A delete that a client asked to be done behind its back: it is done already.
pub(crate) fn deleted_async(answer: &WriteAnswer, hard: bool, recursive: bool) -> Response {
    let name = &*answer.service.name;
    let message = "Delete operation completed";
    job(answer, json!({ "message": message, "entityName": name, "hardDelete": hard, "recursive": recursive }))
}

/// A restore that a client asked to be done behind its back: it is done already.
pub(crate) fn restored_async(answer: &WriteAnswer) -> Response {
    job(answer, json!({ "message": "Restore operation completed", "entityName": &*answer.service.name }))
}

fn job(answer: &WriteAnswer, mut body: Value) -> Response {
    if let Value::Object(members) = &mut body {
        members.insert("jobId".to_owned(), json!(Uuid::new_v4()));
    }
    let mut response = (StatusCode::ACCEPTED, axum::Json(body)).into_response();
    put(response.headers_mut(), CHANGE, word_of(answer.change));
    response
}

fn word_of(change: Change) -> &'static str {
    match change {
        Change::Created => "entityCreated",
        Change::Updated => "entityUpdated",
        Change::Unchanged => "entityNoChange",
        Change::SoftDeleted => "entitySoftDeleted",
        Change::Deleted => "entityDeleted",
        Change::Restored => "entityRestored",
    }
}

/// A page of services.
pub(crate) fn page(answer: ServicePageAnswer) -> Response {
    let mut paging = Map::new();
    paging.insert("total".to_owned(), answer.total.into());
    for (key, name) in [("before", answer.before), ("after", answer.after)] {
        if let Some(name) = name {
            paging.insert(key.to_owned(), BASE64_URL_SAFE_NO_PAD.encode(name).into());
        }
    }
    let body = format!("{{\"data\":[{}],\"paging\":{}}}", answer.services.join(","), Value::Object(paging));
    json_answer(StatusCode::OK, answer.view, body)
}

/// The versions of a service.
pub(crate) fn versions(answer: &VersionsAnswer, family: Family) -> Response {
    let body = json!({ "entityType": family.entity_type(), "versions": answer.versions });
    json_answer(StatusCode::OK, answer.view, body.to_string())
}

/// Where a page begins, from `before` and `after`.
pub(crate) fn cursor(parameters: &Parameters) -> Result<PageCursor, ApiError> {
    let decode = |name: &str, text: &str| {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok();
        let name_of_service = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        name_of_service.ok_or_else(|| ApiError::invalid(name, "must be a cursor from the paging of an earlier answer"))
    };
    match (parameters.get("before"), parameters.get("after")) {
        (None, None) => Ok(PageCursor::Start),
        (None, Some(after)) => decode("after", after).map(PageCursor::After),
        (Some(before), None) => decode("before", before).map(PageCursor::Before),
        (Some(_), Some(_)) => Err(ApiError::invalid("before", "and `after` cannot be given together")),
    }
}
