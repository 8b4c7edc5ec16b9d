//! What the process may do: no core files, which would hold secrets, and as many open files as it is allowed.

use std::io;

use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};

/// Sees to it that no core file is written, whoever asks for one.
///
/// The limit covers files; not being dumpable also covers a `core_pattern` that pipes to a program.
pub(crate) fn refuse_core_dumps() -> io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}

/// Raises the limit of open files to what is allowed: each connection takes one.
pub(crate) fn allow_many_files() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!(error = %error, "the limit of open files could not be raised");
    }
}
