//! The first admin: made once, with a token in a file that only the server's user can read.

use anyhow::Context;
use strongroom_domain::{AccessError, AccessTokens, Origin, PrincipalKind, Role};

use crate::data_directory::DataDirectory;

/// The name of the first admin.
const NAME: &str = "admin";

/// Who made it, in the audit.
const ACTOR: &str = "first start";

/// Makes the first admin, where there is no user or bot at all.
pub(crate) async fn ensure_exists(tokens: &AccessTokens, directory: &DataDirectory) -> anyhow::Result<()> {
    if !tokens.principals().await?.is_empty() {
        return Ok(());
    }
    let actor = (ACTOR, &Origin::default());
    match tokens.create_principal((PrincipalKind::User, NAME), None, Role::Admin, actor).await {
        // Another replica was just before us, and has the token.
        Err(AccessError::NameTaken) => return Ok(()),
        created => created.map(drop)?,
    }
    let issued = tokens.issue(NAME, None, true, actor).await?;
    // REVEAL: the file is the one place where the first token is ever written.
    let written = directory.write_admin_token(issued.token.reveal());
    written.with_context(|| {
        let path = directory.admin_token();
        format!("{} cannot be written; make a token with `strongroom token create {NAME}`", path.display())
    })
}
