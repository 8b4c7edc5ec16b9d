//! `secretsManagerConfiguration.parameters` of the two stores of AWS.

use std::collections::BTreeMap;
use std::fmt;

use strongroom_domain::{SecretValue, SecretsError, SecretsErrorKind};

/// Every key, in the order of the documentation.
const KEYS: &[&str] = &[
    "region",
    "accessKeyId",
    "secretAccessKey",
    "sessionToken",
    "profile",
    "assumeRoleArn",
    "externalId",
    "roleSessionName",
    "endpointUrl",
    "fips",
    "kmsKeyId",
    "recoveryWindowDays",
    "forceDelete",
    "ssmTier",
    "writesPerSecond",
    "readsPerSecond",
    "batchReadsPerSecond",
];

/// How AWS is reached, and how secrets are kept there.
#[derive(Clone)]
pub struct AwsSettings {
    /// None: as the environment or the profile says.
    pub(super) region: Option<String>,
    pub(super) keys: Option<GivenKeys>,
    pub(super) profile: Option<String>,
    pub(super) role: Option<RoleSettings>,
    pub(super) endpoint_url: Option<String>,
    pub(super) fips: bool,
    /// None: the key that AWS keeps for the account.
    pub(super) kms_key_id: Option<String>,
    pub(super) recovery_window_days: i64,
    pub(super) force_delete: bool,
    /// None: by the size of the value.
    pub(super) tier: Option<Tier>,
    pub(super) writes_per_second: Option<f64>,
    pub(super) reads_per_second: Option<f64>,
    pub(super) batch_reads_per_second: Option<f64>,
}

/// Credentials from the configuration.
#[derive(Clone)]
pub(super) struct GivenKeys {
    pub(super) id: String,
    pub(super) secret: SecretValue,
    pub(super) token: Option<SecretValue>,
}

/// A role that is taken on with the credentials found.
#[derive(Clone)]
pub(super) struct RoleSettings {
    pub(super) arn: String,
    pub(super) external_id: Option<String>,
    pub(super) session_name: String,
}

/// Which tier of Parameter Store new parameters are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tier {
    Standard,
    Advanced,
    Intelligent,
}

impl AwsSettings {
    /// Reads the parameters of a store of this kind; a key or value that is none fails with its name and what is allowed.
    pub fn read(store: &'static str, parameters: &BTreeMap<String, SecretValue>) -> Result<Self, SecretsError> {
        let reader = Reader { store, parameters };
        reader.check_keys()?;
        Ok(Self {
            region: reader.text("region"),
            keys: reader.keys()?,
            profile: reader.profile()?,
            role: reader.role()?,
            endpoint_url: reader.endpoint_url()?,
            fips: reader.flag("fips")?,
            kms_key_id: reader.text("kmsKeyId"),
            recovery_window_days: reader.recovery_window_days()?,
            force_delete: reader.flag("forceDelete")?,
            tier: reader.tier()?,
            writes_per_second: reader.rate("writesPerSecond")?,
            reads_per_second: reader.rate("readsPerSecond")?,
            batch_reads_per_second: reader.rate("batchReadsPerSecond")?,
        })
    }
}

impl fmt::Debug for AwsSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "AwsSettings({}, redacted)", self.region.as_deref().unwrap_or("region of the environment"))
    }
}

/// Reads one set of parameters. No fault quotes a value: any of them could be a credential at the wrong key.
struct Reader<'a> {
    store: &'static str,
    parameters: &'a BTreeMap<String, SecretValue>,
}

impl Reader<'_> {
    fn check_keys(&self) -> Result<(), SecretsError> {
        match self.parameters.keys().find(|key| !KEYS.contains(&key.as_str())) {
            Some(key) => Err(self.fault(key, &format!("is not known; the keys are {}", KEYS.join(", ")))),
            None => Ok(()),
        }
    }

    /// A value; one that is empty counts as absent, since `${VAR:-}` yields it.
    fn value(&self, key: &str) -> Option<&SecretValue> {
        self.parameters.get(key).filter(|value| !value.is_empty())
    }

    fn text(&self, key: &str) -> Option<String> {
        // REVEAL: only the values of keys that are no credentials are read as text.
        self.value(key).map(|value| value.reveal().trim().to_owned())
    }

    fn keys(&self) -> Result<Option<GivenKeys>, SecretsError> {
        let token = self.value("sessionToken").cloned();
        match (self.text("accessKeyId"), self.value("secretAccessKey")) {
            (Some(id), Some(secret)) => Ok(Some(GivenKeys { id, secret: secret.clone(), token })),
            (None, None) if token.is_some() => {
                Err(self.fault("sessionToken", "goes with accessKeyId and secretAccessKey, which are missing"))
            }
            (None, None) => Ok(None),
            (Some(_), None) => Err(self.fault("secretAccessKey", "is missing beside accessKeyId")),
            (None, Some(_)) => Err(self.fault("accessKeyId", "is missing beside secretAccessKey")),
        }
    }

    fn profile(&self) -> Result<Option<String>, SecretsError> {
        let profile = self.text("profile");
        if profile.is_some() && self.value("accessKeyId").is_some() {
            return Err(self.fault("profile", "and accessKeyId exclude each other"));
        }
        Ok(profile)
    }

    fn role(&self) -> Result<Option<RoleSettings>, SecretsError> {
        let (external_id, session_name) = (self.text("externalId"), self.text("roleSessionName"));
        let Some(arn) = self.text("assumeRoleArn") else {
            let without_role = [("externalId", external_id), ("roleSessionName", session_name)];
            return match without_role.into_iter().find(|(_, value)| value.is_some()) {
                Some((key, _)) => Err(self.fault(key, "goes with assumeRoleArn, which is missing")),
                None => Ok(None),
            };
        };
        if !arn.starts_with("arn:") || !arn.contains(":role/") {
            return Err(self.fault("assumeRoleArn", "must be the ARN of a role: arn:aws:iam::<account>:role/<name>"));
        }
        let session_name = session_name.unwrap_or_else(|| "strongroom".to_owned());
        Ok(Some(RoleSettings { arn, external_id, session_name }))
    }

    fn endpoint_url(&self) -> Result<Option<String>, SecretsError> {
        let url = self.text("endpointUrl");
        match &url {
            Some(url) if !url.starts_with("https://") && !url.starts_with("http://") => {
                Err(self.fault("endpointUrl", "must begin with https:// or http://"))
            }
            _ => Ok(url),
        }
    }

    fn flag(&self, key: &str) -> Result<bool, SecretsError> {
        match self.text(key).as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(self.fault(key, "must be true or false")),
        }
    }

    fn recovery_window_days(&self) -> Result<i64, SecretsError> {
        const KEY: &str = "recoveryWindowDays";
        let Some(text) = self.text(KEY) else { return Ok(30) };
        // <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_DeleteSecret.html>
        let days = text.parse().ok().filter(|days| (7..=30).contains(days));
        days.ok_or_else(|| self.fault(KEY, "must be a number of days from 7 to 30"))
    }

    fn tier(&self) -> Result<Option<Tier>, SecretsError> {
        match self.text("ssmTier").map(|tier| tier.to_ascii_lowercase()).as_deref() {
            None => Ok(None),
            Some("standard") => Ok(Some(Tier::Standard)),
            Some("advanced") => Ok(Some(Tier::Advanced)),
            Some("intelligent" | "intelligent-tiering") => Ok(Some(Tier::Intelligent)),
            Some(_) => {
                Err(self.fault("ssmTier", "must be standard, advanced or intelligent; leave it out for \"by size\""))
            }
        }
    }

    fn rate(&self, key: &str) -> Result<Option<f64>, SecretsError> {
        let Some(text) = self.text(key) else { return Ok(None) };
        let rate = text.parse().ok().filter(|rate: &f64| (0.1..=100_000.0).contains(rate));
        rate.map(Some).ok_or_else(|| self.fault(key, "must be a number of calls a second from 0.1 to 100000"))
    }

    fn fault(&self, key: &str, fault: &str) -> SecretsError {
        SecretsError::new(SecretsErrorKind::Settings, self.store, "configure")
            .because(format!("secretsManagerConfiguration.parameters.{key} {fault}"))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn read(parameters: &[(&str, &str)]) -> Result<AwsSettings, SecretsError> {
        let value = |text: &str| SecretValue::new(text.to_owned());
        let parameters = parameters.iter().map(|(key, text)| ((*key).to_owned(), value(text))).collect();
        AwsSettings::read("managed-aws", &parameters)
    }

    #[rstest]
    #[case(&[("regoin", "canary")], "regoin is not known; the keys are region, ")]
    #[case(&[("accessKeyId", "canary")], "secretAccessKey is missing beside accessKeyId")]
    #[case(&[("secretAccessKey", "canary")], "accessKeyId is missing beside secretAccessKey")]
    #[case(&[("sessionToken", "canary")], "sessionToken goes with accessKeyId")]
    #[case(&[("externalId", "canary")], "externalId goes with assumeRoleArn")]
    #[case(&[("assumeRoleArn", "canary")], "assumeRoleArn must be the ARN of a role")]
    #[case(&[("endpointUrl", "canary")], "endpointUrl must begin with https://")]
    #[case(&[("fips", "canary")], "fips must be true or false")]
    #[case(&[("recoveryWindowDays", "6")], "recoveryWindowDays must be a number of days from 7 to 30")]
    #[case(&[("ssmTier", "canary")], "ssmTier must be standard, advanced or intelligent")]
    #[case(&[("writesPerSecond", "0")], "writesPerSecond must be a number of calls a second")]
    fn what_is_wrong_is_named_and_never_quoted(#[case] parameters: &[(&str, &str)], #[case] fault: &str) {
        let error = read(parameters).unwrap_err();

        assert_eq!(error.kind, SecretsErrorKind::Settings);
        let detail = error.detail.unwrap();
        assert!(detail.starts_with(&format!("secretsManagerConfiguration.parameters.{fault}")), "{detail}");
        assert!(!detail.contains("canary"), "{detail}");
    }

    #[test]
    fn what_is_left_out_has_safe_defaults() {
        let settings = read(&[("region", "eu-west-1"), ("sessionToken", "")]).unwrap();

        assert!(settings.keys.is_none());
        assert_eq!((settings.recovery_window_days, settings.force_delete), (30, false));
    }

    #[test]
    fn debug_shows_no_credential() {
        let settings = read(&[("accessKeyId", "canary"), ("secretAccessKey", "canary")]).unwrap();

        assert!(!format!("{settings:?}").contains("canary"));
    }
}
