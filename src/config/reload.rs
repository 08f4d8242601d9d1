//! What `--reload` watches beside the application's modules.

use globset::{Glob, GlobBuilder};

/// Settings of `--reload`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reload {
    /// Patterns of further files, relative to the current directory (`--reload-include`).
    pub include: Vec<Glob>,
}

/// A pattern as a shell reads it: `*` stays within a folder, `**` does not.
pub fn pattern(text: &str) -> Result<Glob, globset::Error> {
    GlobBuilder::new(text).literal_separator(true).build()
}
