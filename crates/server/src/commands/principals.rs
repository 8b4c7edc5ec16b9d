//! `strongroom user` and `strongroom bot`.

use serde_json::json;
use strongroom_domain::{PrincipalKind, Role};

use super::actor;
use super::output::{Table, time};
use crate::cli::{BotCommand, BotRole, OutputFormat, UserCommand};
use crate::wiring::Application;

/// Runs `strongroom user`.
pub(super) async fn user(parts: &Application, command: UserCommand, output: OutputFormat) -> anyhow::Result<()> {
    match command {
        UserCommand::Create { name, email, admin } => {
            let role = if admin { Role::Admin } else { Role::None };
            create(parts, (PrincipalKind::User, &name), Some(email), role, output).await
        }
        UserCommand::List => list(parts, PrincipalKind::User, output).await,
        UserCommand::Disable { name } => Ok(parts.tokens.disable(&name, actor()).await?),
    }
}

/// Runs `strongroom bot`.
pub(super) async fn bot(parts: &Application, command: BotCommand, output: OutputFormat) -> anyhow::Result<()> {
    match command {
        BotCommand::Create { name, role } => {
            let role = match role {
                BotRole::Admin => Role::Admin,
                BotRole::Worker => Role::Worker,
                BotRole::None => Role::None,
            };
            create(parts, (PrincipalKind::Bot, &name), None, role, output).await
        }
        BotCommand::List => list(parts, PrincipalKind::Bot, output).await,
    }
}

async fn create(
    parts: &Application,
    subject: (PrincipalKind, &str),
    email: Option<String>,
    role: Role,
    output: OutputFormat,
) -> anyhow::Result<()> {
    let made = parts.tokens.create_principal(subject, email, role, actor()).await?;
    match output {
        OutputFormat::Json => println!("{}", json!({ "id": made.id, "name": made.name, "role": made.role })),
        OutputFormat::Text => println!("{} {} with the role {}", subject.0.as_str(), made.name, role.as_str()),
    }
    Ok(())
}

async fn list(parts: &Application, kind: PrincipalKind, output: OutputFormat) -> anyhow::Result<()> {
    let mut table = Table::new(&["name", "email", "role", "state", "created", "id"]);
    for (principal, fault) in parts.tokens.principals().await? {
        if principal.kind != kind {
            continue;
        }
        let state = match (fault, principal.disabled) {
            (Some(fault), _) => fault.to_string(),
            (None, true) => "disabled".to_owned(),
            (None, false) => "active".to_owned(),
        };
        let created = time(principal.created_at);
        table.push(vec![
            json!(principal.name),
            json!(principal.email),
            json!(principal.role),
            json!(state),
            created,
            json!(principal.id),
        ]);
    }
    table.print(output);
    Ok(())
}
