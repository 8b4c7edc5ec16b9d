//! The fake that other tests rely on fails as a real store does.

use strongroom_domain::{NamedVersion, SecretValue, SecretVersion, SecretsErrorKind, SecretsManager};
use uuid::Uuid;

use super::promises;
use crate::support::FailingManager;

#[tokio::test]
async fn every_call_of_a_failing_manager_fails_with_its_kind_and_never_as_missing() {
    for (manager, kind) in [
        (FailingManager::unavailable(), SecretsErrorKind::Unavailable),
        (FailingManager::permission_denied(), SecretsErrorKind::PermissionDenied),
    ] {
        let value = SecretValue::new("value".into());
        let secret = NamedVersion { secret: promises::a_secret(), version: SecretVersion::new("v1") };

        assert_eq!(manager.put(promises::put_of(&secret.secret, &value)).await.unwrap_err().kind, kind);
        assert_eq!(manager.get(&secret).await.unwrap_err().kind, kind);
        assert_eq!(manager.find_put(&secret.secret, Uuid::new_v4()).await.unwrap_err().kind, kind);
        assert_eq!(manager.delete(&secret.secret).await.unwrap_err().kind, kind);
        assert_eq!(manager.check().await.pop().unwrap().outcome.unwrap_err().kind, kind);
        assert_eq!(manager.get_many(&[secret]).await[0].as_ref().unwrap_err().kind, kind);
    }
}
