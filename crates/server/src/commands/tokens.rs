//! `strongroom token`.

use anyhow::Context;
use serde_json::{Value, json};
use strongroom_domain::{Clock, ListedToken, TokenRow};
use uuid::Uuid;

use super::actor;
use super::output::{Table, time};
use crate::cli::{OutputFormat, TokenCommand};
use crate::system_clock::SystemClock;
use crate::wiring::Application;

/// Runs `strongroom token`.
pub(super) async fn run(parts: &Application, command: TokenCommand, output: OutputFormat) -> anyhow::Result<()> {
    match command {
        TokenCommand::Create { name, expires } => {
            let lifetime = expires.map(|it| i64::try_from(it.as_millis())).transpose()?;
            let issued = parts.tokens.issue(&name, lifetime, false, actor()).await?;
            // REVEAL: a token is shown once, when it is made, to whoever made it.
            let token = issued.token.reveal();
            match output {
                OutputFormat::Text => println!("{token}"),
                OutputFormat::Json => {
                    let expires = issued.expires_at.map_or(Value::Null, time);
                    println!("{}", json!({ "id": issued.id, "token": token, "expires": expires }));
                }
            }
            Ok(())
        }
        TokenCommand::List => list(parts, output).await,
        TokenCommand::Revoke { id } => {
            let id = Uuid::parse_str(&id).context("ID must be a UUID; `strongroom token list` shows them")?;
            Ok(parts.tokens.revoke(id, actor()).await?)
        }
    }
}

async fn list(parts: &Application, output: OutputFormat) -> anyhow::Result<()> {
    let mut table = Table::new(&["id", "owner", "role", "state", "created", "expires", "used"]);
    let now = SystemClock.now();
    for ListedToken { token, owner, fault } in parts.tokens.tokens().await? {
        let optional = |at: Option<i64>| at.map_or(Value::Null, time);
        table.push(vec![
            json!(token.id),
            json!(owner.name),
            json!(owner.role),
            json!(fault.map_or_else(|| state(&token, owner.disabled, now).to_owned(), |fault| fault.to_string())),
            time(token.created_at),
            optional(token.expires_at),
            optional(token.last_used_at),
        ]);
    }
    table.print(output);
    Ok(())
}

fn state(token: &TokenRow, owner_disabled: bool, now: i64) -> &'static str {
    match token.expires_at {
        _ if token.revoked_at.is_some() => "revoked",
        _ if owner_disabled => "owner disabled",
        Some(end) if end <= now => "expired",
        _ => "active",
    }
}
