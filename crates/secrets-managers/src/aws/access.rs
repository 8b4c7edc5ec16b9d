//! The way to AWS: region, endpoint, credentials, time-outs.

use std::fmt;
use std::time::Duration;

use aws_config::sts::AssumeRoleProvider;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use strongroom_domain::{SecretsError, SecretsErrorKind};

use super::settings::{AwsSettings, GivenKeys};

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a call may take with everything. AWS answers within tens of milliseconds, with a cold KMS key in hundreds.
const CALL_TIMEOUT: Duration = Duration::from_secs(4);

/// What the SDK calls credentials from our configuration.
pub(super) const GIVEN_KEYS: &str = "strongroom configuration";

/// What clients of AWS are made from.
pub(super) struct Access {
    pub(super) config: SdkConfig,
    pub(super) region: String,
    /// The role that the configuration names, taken on with the credentials found.
    pub(super) role: Option<String>,
}

impl Access {
    /// Reads the environment and files of the machine as far as the settings leave things open; calls nobody, but the
    /// machine's own metadata service where no region is given.
    pub(super) async fn open(store: &'static str, settings: &AwsSettings) -> Result<Self, SecretsError> {
        let config = base_config(settings).await;
        let region = config.region().map(ToString::to_string).ok_or_else(|| no_region(store))?;
        let Some(role) = &settings.role else { return Ok(Self { config, region, role: None }) };
        let provider = AssumeRoleProvider::builder(&role.arn).session_name(&role.session_name).configure(&config);
        let provider = match &role.external_id {
            Some(id) => provider.external_id(id),
            None => provider,
        };
        let provider = aws_credential_types::provider::SharedCredentialsProvider::new(provider.build().await);
        let config = config.into_builder().credentials_provider(provider).build();
        Ok(Self { config, region, role: Some(role.arn.clone()) })
    }

    /// What a policy must name to allow a call on this: `secretsmanager` and `secret:/prefix/*`, for example.
    pub(super) fn arn(&self, service: &str, resource: &str) -> String {
        let partition = match self.region.as_str() {
            region if region.starts_with("cn-") => "aws-cn",
            region if region.starts_with("us-gov-") => "aws-us-gov",
            _ => "aws",
        };
        format!("arn:{partition}:{service}:{}:*:{resource}", self.region)
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Access({}, redacted)", self.region)
    }
}

async fn base_config(settings: &AwsSettings) -> SdkConfig {
    // The SDK's own retries are off, so that throttles reach the pace.
    let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).operation_timeout(CALL_TIMEOUT).build();
    let mut loader =
        aws_config::defaults(BehaviorVersion::latest()).retry_config(RetryConfig::disabled()).timeout_config(timeouts);
    if let Some(region) = &settings.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if let Some(profile) = &settings.profile {
        loader = loader.profile_name(profile);
    }
    if let Some(url) = &settings.endpoint_url {
        loader = loader.endpoint_url(url);
    }
    if settings.fips {
        loader = loader.use_fips(true);
    }
    if let Some(keys) = &settings.keys {
        loader = loader.credentials_provider(credentials(keys));
    }
    loader.load().await
}

fn credentials(keys: &GivenKeys) -> Credentials {
    // REVEAL: the SDK takes credentials as plain strings; it signs with them and redacts them in `Debug`.
    let token = keys.token.as_ref().map(|token| token.reveal().to_owned());
    // REVEAL: as above.
    Credentials::new(keys.id.clone(), keys.secret.reveal(), token, None, GIVEN_KEYS)
}

fn no_region(store: &'static str) -> SecretsError {
    SecretsError::new(SecretsErrorKind::Settings, store, "configure").because(
        "secretsManagerConfiguration.parameters.region is missing, and neither AWS_REGION nor the profile has one: set \
         it to the region of the secrets, for example eu-west-1",
    )
}
