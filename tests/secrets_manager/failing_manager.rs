//! The fake that other tests rely on fails as a real store does.

use strongroom_domain::{SecretId, SecretValue, SecretVersion, SecretsErrorKind, SecretsManager, StoredSecret};
use uuid::Uuid;

use crate::support::FailingManager;

#[tokio::test]
async fn every_call_of_a_failing_manager_fails_with_its_kind_and_never_as_missing() {
    for (manager, kind) in [
        (FailingManager::unavailable(), SecretsErrorKind::Unavailable),
        (FailingManager::permission_denied(), SecretsErrorKind::PermissionDenied),
    ] {
        let id = SecretId::of_service(Uuid::new_v4(), "/config/password");
        let secret = StoredSecret { id: id.clone(), version: SecretVersion::new("v1") };

        assert_eq!(manager.put(&id, &SecretValue::new("value".into())).await.unwrap_err().kind, kind);
        assert_eq!(manager.get(&secret).await.unwrap_err().kind, kind);
        assert_eq!(manager.get_many(&[secret]).await[0].as_ref().unwrap_err().kind, kind);
        assert_eq!(manager.delete(&id).await.unwrap_err().kind, kind);
        assert_eq!(manager.check().await.unwrap_err().kind, kind);
    }
}
