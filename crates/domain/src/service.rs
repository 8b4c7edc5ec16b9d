//! What a service is: its family, its names, its version.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The kinds of source systems. Each has its own route and its own namespace of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// Databases and warehouses.
    Database,
    /// Dashboards.
    Dashboard,
    /// Message brokers.
    Messaging,
    /// Pipelines.
    Pipeline,
    /// Machine-learning models.
    MlModel,
    /// Metadata services.
    Metadata,
    /// Object stores.
    Storage,
    /// Search engines.
    Search,
    /// APIs.
    Api,
    /// Drives.
    Drive,
    /// Security services.
    Security,
    /// Model Context Protocol servers.
    Mcp,
    /// Large language models.
    Llm,
}

impl Family {
    /// All families, in the order of the documentation.
    pub const ALL: [Self; 13] = [
        Self::Database,
        Self::Dashboard,
        Self::Messaging,
        Self::Pipeline,
        Self::MlModel,
        Self::Metadata,
        Self::Storage,
        Self::Search,
        Self::Api,
        Self::Drive,
        Self::Security,
        Self::Mcp,
        Self::Llm,
    ];

    /// The family in lower case, as in folders, rows and names of secrets.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Database => "database",
            Self::Dashboard => "dashboard",
            Self::Messaging => "messaging",
            Self::Pipeline => "pipeline",
            Self::MlModel => "mlmodel",
            Self::Metadata => "metadata",
            Self::Storage => "storage",
            Self::Search => "search",
            Self::Api => "api",
            Self::Drive => "drive",
            Self::Security => "security",
            Self::Mcp => "mcp",
            Self::Llm => "llm",
        }
    }

    /// Reads a family as [`Family::as_str`] writes it.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|family| family.as_str() == text)
    }

    /// The last part of the family's route, for example `databaseServices`.
    pub fn route(self) -> &'static str {
        match self {
            Self::Database => "databaseServices",
            Self::Dashboard => "dashboardServices",
            Self::Messaging => "messagingServices",
            Self::Pipeline => "pipelineServices",
            Self::MlModel => "mlmodelServices",
            Self::Metadata => "metadataServices",
            Self::Storage => "storageServices",
            Self::Search => "searchServices",
            Self::Api => "apiServices",
            Self::Drive => "driveServices",
            Self::Security => "securityServices",
            Self::Mcp => "mcpServices",
            Self::Llm => "llmServices",
        }
    }

    /// The family behind a route.
    pub fn of_route(route: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|family| family.route() == route)
    }

    /// The type that the family's entities have in references and versions, for example `databaseService`.
    pub fn entity_type(self) -> &'static str {
        self.route().strip_suffix('s').unwrap_or(self.route())
    }
}

impl fmt::Display for Family {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The fully qualified name of a service: its name, in quotes where it holds a dot or a quote; quotes are doubled.
/// One to one: two names never share a fully qualified one.
pub fn fully_qualified_name(name: &str) -> String {
    if name.contains(['.', '"']) { format!("\"{}\"", name.replace('"', "\"\"")) } else { name.to_owned() }
}

/// The version of an entity: tenths, shown with one decimal. It starts at 0.1 and grows by 0.1 with each change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntityVersion(u64);

impl EntityVersion {
    /// The version of a new entity.
    pub const FIRST: Self = Self(1);

    /// The version of this many tenths.
    pub fn from_tenths(tenths: u64) -> Self {
        Self(tenths)
    }

    /// The version in tenths.
    pub fn tenths(self) -> u64 {
        self.0
    }

    /// The version after this one.
    #[must_use]
    pub fn next(self) -> Self {
        self.0.checked_add(1).map_or(Self::FIRST, Self)
    }

    /// Reads `0.1`, `1.0` and the like.
    pub fn parse(text: &str) -> Option<Self> {
        let (whole, tenth) = text.split_once('.').unwrap_or((text, "0"));
        let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !is_digits(whole) || !is_digits(tenth) || tenth.len() != 1 {
            return None;
        }
        let whole: u64 = whole.parse().ok()?;
        Some(Self(whole.checked_mul(10)?.checked_add(tenth.parse().ok()?)?))
    }
}

impl fmt::Display for EntityVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.0 / 10, self.0 % 10)
    }
}

/// How a request names one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceKey {
    /// By id.
    Id(Uuid),
    /// By its name or its fully qualified name; an exact fully qualified name wins.
    Name(String),
}

/// Which services a request means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Include {
    /// Those that are not soft-deleted.
    #[default]
    NonDeleted,
    /// Soft-deleted ones only.
    Deleted,
    /// Both.
    All,
}

impl Include {
    /// Reads `non-deleted`, `deleted` or `all`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "non-deleted" => Some(Self::NonDeleted),
            "deleted" => Some(Self::Deleted),
            "all" => Some(Self::All),
            _ => None,
        }
    }

    /// Says whether a service in this state is meant.
    pub fn admits(self, deleted: bool) -> bool {
        match self {
            Self::NonDeleted => !deleted,
            Self::Deleted => deleted,
            Self::All => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_version_grows_by_a_tenth_and_keeps_one_decimal() {
        let ninth = EntityVersion::from_tenths(9);

        assert_eq!(ninth.to_string(), "0.9");
        assert_eq!(ninth.next().to_string(), "1.0");
        assert_eq!(EntityVersion::parse("1.0"), Some(ninth.next()));
        assert_eq!(EntityVersion::parse("0.12"), None);
        assert_eq!(EntityVersion::parse("-0.1"), None);
    }

    #[test]
    fn a_name_with_a_dot_or_a_quote_is_quoted() {
        assert_eq!(fully_qualified_name("shop"), "shop");
        assert_eq!(fully_qualified_name("prod.x"), "\"prod.x\"");
        assert_eq!(fully_qualified_name("a\"b"), "\"a\"\"b\"");
    }

    #[test]
    fn entity_types_are_the_routes_in_the_singular() {
        assert_eq!(Family::Database.entity_type(), "databaseService");
        assert_eq!(Family::MlModel.entity_type(), "mlmodelService");
    }

    proptest! {
        #[test]
        fn two_names_never_share_a_fully_qualified_one(a in "[ab.\"]{1,6}", b in "[ab.\"]{1,6}") {
            prop_assert_eq!(a == b, fully_qualified_name(&a) == fully_qualified_name(&b));
        }
    }
}
