//! From what AWS, or the way to it, answered to [`SecretsError`]: its code and its request id, never its text.

use std::error::Error;
use std::fmt;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sts::operation::RequestId;
use strongroom_domain::{SecretsError, SecretsErrorKind};

/// A call that failed. The SDK's own error holds the whole answer of AWS, and is not kept.
#[derive(Clone)]
pub(super) struct Failure {
    /// The IAM action that allows the call, for example `secretsmanager:CreateSecret`.
    action: &'static str,
    cause: Cause,
    code: Option<String>,
    request_id: Option<String>,
    /// Whether the KMS key is at fault, and not the store.
    is_of_key: bool,
}

/// How far a call came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// AWS answered with this status.
    Answer(u16),
    /// AWS was not reached, or its answer did not arrive whole.
    NotReached,
    /// No link of the chain has credentials.
    NoCredentials,
    /// What should give credentials is set up wrongly.
    WrongCredentialSettings,
    /// STS or another giver of credentials said no.
    CredentialsRefused,
    /// The call was never sent.
    NotSent,
}

impl Failure {
    /// Reads what can be told from an error of the SDK.
    pub(super) fn of<E>(error: &SdkError<E>, action: &'static str) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let of_key = |metadata: &dyn ProvideErrorMetadata| {
            metadata.message().is_some_and(|text| text.contains("kms:") || text.contains("KMS"))
        };
        let service_error = error.as_service_error();
        Self {
            action,
            cause: cause_of(error),
            code: service_error.and_then(|error| error.code()).map(plain),
            request_id: error.request_id().map(plain),
            is_of_key: service_error.is_some_and(|error| of_key(error)),
        }
    }

    /// An error that AWS reports for one of the many secrets that a call named.
    pub(super) fn of_one(code: &str, action: &'static str) -> Self {
        Self { action, cause: Cause::Answer(400), code: Some(plain(code)), request_id: None, is_of_key: false }
    }

    /// Says whether AWS answered with this code.
    pub(super) fn has_code(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }

    /// Says whether AWS has proven that there is none.
    pub(super) fn is_absence(&self) -> bool {
        self.kind() == SecretsErrorKind::NotFound
    }

    /// What a caller gets; `resource` is what a policy must name to allow it.
    pub(super) fn into_error(self, store: &'static str, operation: &'static str, resource: &str) -> SecretsError {
        let kind = self.kind();
        SecretsError::new(kind, store, operation).because(format!("{}{}", self.seen(), self.remedy(kind, resource)))
    }

    fn kind(&self) -> SecretsErrorKind {
        match (self.cause, self.code.as_deref()) {
            (Cause::NotReached, _) => SecretsErrorKind::Unavailable,
            (Cause::NoCredentials | Cause::CredentialsRefused, _) => SecretsErrorKind::PermissionDenied,
            (Cause::WrongCredentialSettings, _) => SecretsErrorKind::Settings,
            (Cause::NotSent, _) => SecretsErrorKind::Unexpected,
            (Cause::Answer(status), Some(code)) => kind_of_code(code).unwrap_or_else(|| kind_of_status(status)),
            (Cause::Answer(status), None) => kind_of_status(status),
        }
    }

    fn seen(&self) -> String {
        let what = match (self.cause, &self.code) {
            (Cause::Answer(_), Some(code)) => code.clone(),
            (Cause::Answer(status), None) => format!("HTTP status {status}"),
            (Cause::NotReached, _) => "AWS was not reached, or did not answer in time".to_owned(),
            (Cause::NoCredentials, _) => "no AWS credentials were found".to_owned(),
            (Cause::WrongCredentialSettings, _) => "the source of the AWS credentials is set up wrongly".to_owned(),
            (Cause::CredentialsRefused, _) => "AWS gives us no credentials".to_owned(),
            (Cause::NotSent, _) => "the call could not be made".to_owned(),
        };
        let request = self.request_id.as_ref().map(|id| format!(", request id {id}")).unwrap_or_default();
        format!("{what} on {}{request}", self.action)
    }

    fn remedy(&self, kind: SecretsErrorKind, resource: &str) -> String {
        match (self.cause, kind) {
            (Cause::NoCredentials, _) => {
                "; give the server a role, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or set \
                 secretsManagerConfiguration.parameters.accessKeyId and .secretAccessKey"
                    .to_owned()
            }
            (Cause::CredentialsRefused, _) => {
                "; look at secretsManagerConfiguration.parameters.assumeRoleArn and .externalId, the trust policy of \
                 the role, and whether sts:AssumeRole is allowed"
                    .to_owned()
            }
            (_, SecretsErrorKind::PermissionDenied) if self.is_of_key => {
                "; allow \"kms:Decrypt\" and \"kms:GenerateDataKey\" on the KMS key, and look whether it is enabled"
                    .to_owned()
            }
            (_, SecretsErrorKind::PermissionDenied) if self.code.as_deref().is_some_and(is_of_credentials) => {
                "; the credentials are wrong or have expired".to_owned()
            }
            (_, SecretsErrorKind::PermissionDenied) => format!("; allow \"{}\" on \"{resource}\"", self.action),
            (_, SecretsErrorKind::Corrupt) => "; look whether its KMS key exists and is enabled".to_owned(),
            (_, SecretsErrorKind::Settings) => "; look at secretsManagerConfiguration.parameters".to_owned(),
            _ => String::new(),
        }
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Failure({})", self.seen())
    }
}

/// A code or an id in the characters that AWS uses for them, so that nothing else gets into a log.
fn plain(text: &str) -> String {
    let is_plain = |character: &char| character.is_ascii_alphanumeric() || "-_.:/=+".contains(*character);
    text.chars().filter(is_plain).take(100).collect()
}

fn cause_of<E>(error: &SdkError<E>) -> Cause
where
    E: Error + 'static,
{
    match error {
        SdkError::ServiceError(answer) => Cause::Answer(answer.raw().status().as_u16()),
        // An error whose text could not be read still has a status; an answer that could not be read did not arrive whole.
        SdkError::ResponseError(answer) if !answer.raw().status().is_success() => {
            Cause::Answer(answer.raw().status().as_u16())
        }
        SdkError::ResponseError(_) | SdkError::TimeoutError(_) => Cause::NotReached,
        SdkError::DispatchFailure(_) => cause_beneath(error).unwrap_or(Cause::NotReached),
        _ => cause_beneath(error).unwrap_or(Cause::NotSent),
    }
}

/// What a giver of credentials said, where it is what failed.
fn cause_beneath(error: &(dyn Error + 'static)) -> Option<Cause> {
    let mut beneath = error.source();
    while let Some(error) = beneath {
        if let Some(error) = error.downcast_ref::<CredentialsError>() {
            return Some(cause_of_credentials(error));
        }
        beneath = error.source();
    }
    None
}

fn cause_of_credentials(error: &CredentialsError) -> Cause {
    match error {
        CredentialsError::CredentialsNotLoaded(_) => Cause::NoCredentials,
        CredentialsError::InvalidConfiguration(_) => Cause::WrongCredentialSettings,
        CredentialsError::ProviderError(_) if is_refused(error) => Cause::CredentialsRefused,
        _ => Cause::NotReached,
    }
}

/// Whether STS answered and said no; any other failure may pass.
fn is_refused(error: &(dyn Error + 'static)) -> bool {
    use aws_sdk_sts::operation::assume_role::AssumeRoleError;
    use aws_sdk_sts::operation::assume_role_with_web_identity::AssumeRoleWithWebIdentityError;
    let mut beneath = error.source();
    while let Some(error) = beneath {
        let role = error.downcast_ref::<AssumeRoleError>().and_then(|error| error.code());
        let code =
            role.or_else(|| error.downcast_ref::<AssumeRoleWithWebIdentityError>().and_then(|error| error.code()));
        if let Some(code) = code {
            return !matches!(
                kind_of_code(code),
                Some(SecretsErrorKind::RateLimited { .. } | SecretsErrorKind::Unavailable)
            );
        }
        beneath = error.source();
    }
    false
}

fn is_of_credentials(code: &str) -> bool {
    matches!(
        code,
        "UnrecognizedClientException"
            | "InvalidClientTokenId"
            | "InvalidAccessKeyId"
            | "ExpiredToken"
            | "ExpiredTokenException"
            | "RequestExpired"
            | "InvalidSignatureException"
            | "SignatureDoesNotMatch"
            | "IncompleteSignature"
            | "MissingAuthenticationToken"
            | "MissingAuthenticationTokenException"
    )
}

/// By the code and not by the status: <https://docs.aws.amazon.com/secretsmanager/latest/apireference/CommonErrors.html>
/// and the errors of each action there and in <https://docs.aws.amazon.com/systems-manager/latest/APIReference/>.
fn kind_of_code(code: &str) -> Option<SecretsErrorKind> {
    match code {
        "ResourceNotFoundException" | "ParameterNotFound" | "ParameterVersionNotFound" | "InvalidResourceId" => {
            Some(SecretsErrorKind::NotFound)
        }
        code if is_of_credentials(code) => Some(SecretsErrorKind::PermissionDenied),
        code if code.starts_with("AccessDenied") => Some(SecretsErrorKind::PermissionDenied),
        "NotAuthorized"
        | "OptInRequired"
        | "UnauthorizedOperation"
        | "EncryptionFailure"
        | "KMSAccessDeniedException" => Some(SecretsErrorKind::PermissionDenied),
        "DecryptionFailure" => Some(SecretsErrorKind::Corrupt),
        "InvalidKeyId" => Some(SecretsErrorKind::Settings),
        "Throttling"
        | "ThrottlingException"
        | "ThrottledException"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "RequestLimitExceeded"
        | "TooManyRequestsException"
        | "TooManyUpdates"
        | "SlowDown" => Some(SecretsErrorKind::RateLimited { retry_after: None }),
        "InternalServiceError"
        | "InternalServerError"
        | "InternalFailure"
        | "ServiceUnavailable"
        | "ServiceUnavailableException"
        | "RequestTimeout"
        | "RequestTimeoutException" => Some(SecretsErrorKind::Unavailable),
        _ => None,
    }
}

fn kind_of_status(status: u16) -> SecretsErrorKind {
    match status {
        401 | 403 => SecretsErrorKind::PermissionDenied,
        429 => SecretsErrorKind::RateLimited { retry_after: None },
        500.. => SecretsErrorKind::Unavailable,
        _ => SecretsErrorKind::Unexpected,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("ResourceNotFoundException", SecretsErrorKind::NotFound)]
    #[case("AccessDeniedException", SecretsErrorKind::PermissionDenied)]
    #[case("UnrecognizedClientException", SecretsErrorKind::PermissionDenied)]
    #[case("ThrottlingException", SecretsErrorKind::RateLimited { retry_after: None })]
    #[case("TooManyUpdates", SecretsErrorKind::RateLimited { retry_after: None })]
    #[case("InternalServiceError", SecretsErrorKind::Unavailable)]
    #[case("DecryptionFailure", SecretsErrorKind::Corrupt)]
    #[case("SomethingNew", SecretsErrorKind::Unexpected)]
    fn a_code_says_what_can_be_done(#[case] code: &str, #[case] kind: SecretsErrorKind) {
        assert_eq!(Failure::of_one(code, "x:Y").kind(), kind);
    }

    #[test]
    fn a_missing_permission_is_named_with_what_grants_it() {
        let failure = Failure::of_one("AccessDeniedException", "secretsmanager:CreateSecret");

        let error = failure.into_error("managed-aws", "put", "arn:aws:secretsmanager:eu-west-1:*:secret:/om/*");

        assert_eq!(
            error.to_string(),
            "managed-aws: put: permission denied (AccessDeniedException on secretsmanager:CreateSecret; allow \
             \"secretsmanager:CreateSecret\" on \"arn:aws:secretsmanager:eu-west-1:*:secret:/om/*\")",
        );
    }

    #[test]
    fn a_page_of_another_server_never_means_missing() {
        for status in [400, 404, 418] {
            assert_eq!(kind_of_status(status), SecretsErrorKind::Unexpected);
        }
    }
}
