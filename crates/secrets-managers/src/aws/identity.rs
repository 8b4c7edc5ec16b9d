//! Who we are for AWS, and where the credentials come from.

use aws_credential_types::provider::ProvideCredentials;
use strongroom_domain::{CheckStep, SecretsError};

use super::access::{Access, GIVEN_KEYS};
use super::error::Failure;

const ACTION: &str = "sts:GetCallerIdentity";

/// Asks STS who we are. Nothing depends on the answer, so that an STS out of reach is a note and no fault.
pub(super) async fn step(store: &'static str, access: &Access) -> CheckStep {
    let outcome = match link(access).await {
        Some(link) => Ok(format!("{} with credentials from {link}", caller(access).await)),
        None => Err(no_credentials(store, access).await),
    };
    CheckStep { step: "identity", outcome }
}

async fn caller(access: &Access) -> String {
    let answer = aws_sdk_sts::Client::new(&access.config).get_caller_identity().send().await;
    match answer {
        Ok(identity) => identity.arn().unwrap_or("an identity without an ARN").to_owned(),
        Err(error) => format!("unknown to us ({:?})", Failure::of(&error, ACTION)),
    }
}

/// Which link of the chain gave the credentials; none: no link did.
async fn link(access: &Access) -> Option<String> {
    let credentials = access.config.credentials_provider()?.provide_credentials().await.ok()?;
    let link = name_of(provider_name(&format!("{credentials:?}")));
    Some(match &access.role {
        Some(role) => format!("the role {role} (assumeRoleArn)"),
        None => link,
    })
}

/// The SDK tells the provider's name in `Debug` only, where it redacts the key itself.
fn provider_name(debug: &str) -> &str {
    let name = debug.split_once("provider_name: \"").and_then(|(_, rest)| rest.split_once('"'));
    name.map_or("", |(name, _)| name)
}

/// The links as aws-config 1.13 names them.
fn name_of(provider: &str) -> String {
    match provider {
        GIVEN_KEYS => "secretsManagerConfiguration.parameters.accessKeyId".to_owned(),
        "EnvironmentVariable" => "the environment (AWS_ACCESS_KEY_ID)".to_owned(),
        "ProfileFile" => "the profile".to_owned(),
        "AssumeRoleProvider" => "the role of the profile".to_owned(),
        "WebIdentityToken" => "the web identity (AWS_WEB_IDENTITY_TOKEN_FILE)".to_owned(),
        "EcsContainer" => "the container".to_owned(),
        "IMDSv2" => "the instance".to_owned(),
        "" => "an unnamed source".to_owned(),
        other => format!("\"{other}\""),
    }
}

async fn no_credentials(store: &'static str, access: &Access) -> SecretsError {
    let answer = aws_sdk_sts::Client::new(&access.config).get_caller_identity().send().await;
    let failure = match answer {
        Err(error) => Failure::of(&error, ACTION),
        Ok(_) => Failure::of_one("UnrecognizedClientException", ACTION),
    };
    failure.into_error(store, "check", "*")
}

#[cfg(test)]
mod tests {
    use aws_credential_types::Credentials;

    use super::*;

    #[test]
    fn the_link_is_read_from_what_the_sdk_shows() {
        let credentials = Credentials::new("canary-id", "canary-secret", None, None, "EnvironmentVariable");

        assert_eq!(provider_name(&format!("{credentials:?}")), "EnvironmentVariable");
        assert_eq!(provider_name("Credentials { }"), "");
    }
}
