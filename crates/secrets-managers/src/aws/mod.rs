//! The two stores of AWS: Secrets Manager and SSM Parameter Store.

mod access;
mod error;
mod identity;
mod marks;
#[cfg(feature = "aws-parameter-store")]
mod parameter_store;
#[cfg(feature = "aws-secrets-manager")]
mod secrets_manager;
mod settings;

#[cfg(feature = "aws-parameter-store")]
pub use self::parameter_store::AwsParameterStore;
#[cfg(feature = "aws-secrets-manager")]
pub use self::secrets_manager::AwsSecretsManager;
pub use self::settings::AwsSettings;
