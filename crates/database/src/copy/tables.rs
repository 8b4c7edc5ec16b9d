//! What is carried from one database to another: which tables, which columns, in which order.

use uuid::Uuid;

/// A table whose rows are carried over. They are paged by the first column, which has an index that orders by bytes on
/// every engine; rows that share it stay together.
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) columns: &'static [(&'static str, Kind)],
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Integer,
    Text,
    Bytes,
    Id,
}

/// One value of a row. It may be a ciphertext or the hash of a token: no `Debug`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cell {
    Null,
    Integer(i64),
    Text(String),
    Bytes(Vec<u8>),
    Id(Uuid),
}

/// The values of a row, in the order of the table's columns.
pub(crate) type Row = Vec<Cell>;

/// A row comes after those that it refers to. What is not here belongs to one installation (the ledger of the schema,
/// leases, replicas, changes), or is made by the rows themselves (totals, known names).
pub(crate) const TABLES: &[Table] = &[
    Table {
        name: "principals",
        columns: &[
            ("id", Kind::Id),
            ("kind", Kind::Text),
            ("name", Kind::Text),
            ("email", Kind::Text),
            ("role", Kind::Text),
            ("disabled", Kind::Integer),
            ("created_at", Kind::Integer),
            ("key_id", Kind::Text),
            ("mac", Kind::Bytes),
        ],
    },
    Table {
        name: "tokens",
        columns: &[
            ("id", Kind::Id),
            ("hash", Kind::Bytes),
            ("principal_id", Kind::Id),
            ("first_admin", Kind::Integer),
            ("created_at", Kind::Integer),
            ("expires_at", Kind::Integer),
            ("last_used_at", Kind::Integer),
            ("revoked_at", Kind::Integer),
            ("key_id", Kind::Text),
            ("mac", Kind::Bytes),
        ],
    },
    Table {
        name: "services",
        columns: &[
            ("id", Kind::Id),
            ("family", Kind::Text),
            ("fqn", Kind::Text),
            ("deleted", Kind::Integer),
            ("version", Kind::Integer),
            ("revision", Kind::Integer),
            ("document", Kind::Text),
            ("secrets", Kind::Text),
            ("key_id", Kind::Text),
            ("mac", Kind::Bytes),
        ],
    },
    Table {
        name: "service_versions",
        columns: &[("service_id", Kind::Id), ("version", Kind::Integer), ("document", Kind::Text)],
    },
    Table {
        name: "ciphertexts",
        columns: &[
            ("owner_id", Kind::Id),
            ("owner_kind", Kind::Text),
            ("path", Kind::Text),
            ("version", Kind::Text),
            ("key_id", Kind::Text),
            ("ciphertext", Kind::Bytes),
        ],
    },
    Table {
        name: "secret_names",
        columns: &[("normal_name", Kind::Text), ("name", Kind::Text), ("service_id", Kind::Id), ("path", Kind::Text)],
    },
    Table {
        name: "typed_references",
        columns: &[("service_id", Kind::Id), ("normal_name", Kind::Text), ("name", Kind::Text), ("path", Kind::Text)],
    },
    Table {
        name: "secret_intents",
        columns: &[
            ("token", Kind::Id),
            ("place", Kind::Text),
            ("owner_kind", Kind::Text),
            ("owner_id", Kind::Id),
            ("path", Kind::Text),
            ("name", Kind::Text),
            ("normal_name", Kind::Text),
            ("state", Kind::Text),
            ("due_at", Kind::Integer),
        ],
    },
    Table {
        name: "active_store",
        columns: &[
            ("number", Kind::Integer),
            ("place", Kind::Text),
            ("moving_from", Kind::Text),
            ("progress", Kind::Text),
        ],
    },
    Table {
        name: "audit_entries",
        columns: &[
            ("sequence", Kind::Integer),
            ("at", Kind::Integer),
            ("actor", Kind::Text),
            ("action", Kind::Text),
            ("family", Kind::Text),
            ("subject_id", Kind::Id),
            ("subject", Kind::Text),
            ("secret_paths", Kind::Text),
            ("address", Kind::Text),
            ("request_id", Kind::Text),
        ],
    },
];

impl Table {
    /// The columns, as a statement lists them.
    pub(crate) fn column_list(&self) -> String {
        self.columns.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
    }

    /// Reads the rows between two values of the first column, where there are such.
    pub(crate) fn select(&self, has_after: bool, has_up_to: bool) -> String {
        let (name, columns, column) = (self.name, self.column_list(), self.paging_column());
        let condition = match (has_after, has_up_to) {
            (false, false) => String::new(),
            (true, false) => format!("WHERE {column} > $1"),
            (false, true) => format!("WHERE {column} <= $1"),
            (true, true) => format!("WHERE {column} > $1 AND {column} <= $2"),
        };
        format!("SELECT {columns} FROM {name} {condition}")
    }

    /// Reads the value of the first column that ends a page of so many rows.
    pub(crate) fn select_end_of_page(&self, has_after: bool, rows: usize) -> String {
        let (name, column, offset) = (self.name, self.paging_column(), rows.saturating_sub(1));
        let condition = if has_after { format!("WHERE {column} > $1") } else { String::new() };
        format!("SELECT {column} FROM {name} {condition} ORDER BY {column} LIMIT 1 OFFSET {offset}")
    }

    /// The column that pages the table.
    fn paging_column(&self) -> &'static str {
        self.columns.first().map_or("", |(name, _)| name)
    }
}

impl Cell {
    /// How much room it takes, about.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Null | Self::Integer(_) => 8,
            Self::Text(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
            Self::Id(_) => 16,
        }
    }
}
