//! Errors as clients get them: JSON with the status in it, never the text of a cause.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use strongroom_domain::{AccessError, CatalogError, Fault, Faults, JsonError, SecretsErrorKind, StoreError};

/// How long a client should wait before it tries again, in seconds.
const RETRY_AFTER: &str = "1";

/// An error on its way out. The outermost middleware writes its body, since only that knows the request's id.
#[derive(Clone, Debug)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    pub(crate) error_type: &'static str,
    pub(crate) message: String,
    pub(crate) faults: Vec<Fault>,
    /// What lies beneath, for the log only.
    pub(crate) cause: Option<String>,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, error_type: &'static str, message: impl Into<String>) -> Self {
        Self { status, error_type, message: message.into(), faults: Vec::new(), cause: None }
    }

    pub(crate) fn invalid(path: &str, message: impl Into<String>) -> Self {
        Faults::one(path, message).into()
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "notFound", message)
    }

    pub(crate) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message)
    }

    fn internal() -> Self {
        let message = "something went wrong here; the log has the details under this request id";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
    }

    fn caused_by(mut self, cause: impl std::fmt::Display) -> Self {
        self.cause = Some(cause.to_string());
        self
    }

    /// The answer, with the id of its request.
    pub(crate) fn into_answer(self, request_id: &str) -> Response {
        let mut body = json!({
            "code": self.status.as_u16(),
            "message": self.message,
            "errorType": self.error_type,
            "requestId": request_id,
        });
        if let (Value::Object(members), false) = (&mut body, self.faults.is_empty()) {
            members.insert("faults".to_owned(), json!(self.faults));
        }
        let mut response =
            (self.status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response();
        let headers = response.headers_mut();
        match self.status {
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
            }
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            _ => {}
        }
        response
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<Faults> for ApiError {
    fn from(faults: Faults) -> Self {
        let message = faults.to_string();
        Self { faults: faults.0, ..Self::new(StatusCode::BAD_REQUEST, "invalid", message) }
    }
}

impl From<JsonError> for ApiError {
    fn from(error: JsonError) -> Self {
        Self::invalid("body", format!("is not JSON that can be taken: {error}"))
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Unavailable(_) => {
                Self::unavailable("the database is not available; nothing was changed, or it is not known: try again")
            }
            StoreError::Corrupt(_) | StoreError::Unexpected(_) => Self::internal(),
        }
        .caused_by(error)
    }
}

impl From<CatalogError> for ApiError {
    fn from(error: CatalogError) -> Self {
        let message = error.to_string();
        match error {
            CatalogError::Invalid(faults) => faults.into(),
            CatalogError::NotFound(_) => Self::not_found(message),
            CatalogError::AlreadyExists => Self::new(StatusCode::CONFLICT, "alreadyExists", message),
            CatalogError::Conflict(_) | CatalogError::Raced => Self::new(StatusCode::CONFLICT, "conflict", message),
            CatalogError::Forbidden(_) => Self::forbidden(message),
            CatalogError::PreconditionFailed => {
                Self::new(StatusCode::PRECONDITION_FAILED, "preconditionFailed", message)
            }
            CatalogError::Unreadable { paths, reason, .. } => Self {
                faults: paths.into_iter().map(|path| Fault::new(path, reason.clone())).collect(),
                ..Self::new(StatusCode::FAILED_DEPENDENCY, "unreadable", message)
            },
            CatalogError::NoAudit(cause) => Self::unavailable(message).caused_by(cause),
            CatalogError::StoreElsewhere(_) => Self::unavailable(message),
            CatalogError::Store(error) => error.into(),
            CatalogError::Secrets(error) => match error.kind {
                SecretsErrorKind::Unavailable | SecretsErrorKind::RateLimited { .. } => {
                    Self::unavailable("the secrets manager is not available; try again").caused_by(error)
                }
                SecretsErrorKind::PermissionDenied | SecretsErrorKind::Settings | SecretsErrorKind::NameTaken => {
                    let message = format!(
                        "the secrets manager {} refuses this ({}: {}); the log says why under this request id, and \
                         `strongroom check` what is missing",
                        error.store, error.operation, error.kind
                    );
                    Self::new(StatusCode::FAILED_DEPENDENCY, "refused", message).caused_by(error)
                }
                _ => Self::internal().caused_by(error),
            },
        }
    }
}

impl From<AccessError> for ApiError {
    fn from(error: AccessError) -> Self {
        let message = error.to_string();
        match error {
            AccessError::Unauthenticated => Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", message),
            AccessError::InvalidName(_) => Self::invalid("name", message),
            AccessError::NameTaken | AccessError::Raced => Self::new(StatusCode::CONFLICT, "conflict", message),
            AccessError::NotFound(_) => Self::not_found(message),
            AccessError::Unbelieved(..) => Self::new(StatusCode::FAILED_DEPENDENCY, "unreadable", message),
            AccessError::Store(error) => error.into(),
        }
    }
}
