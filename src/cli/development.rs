//! Options for who writes the application: `--reload` and what goes with it.

use clap::Args;
use globset::Glob;

use crate::config::{Reload, pattern};

/// The options of a developer's own machine.
#[derive(Debug, Args)]
#[command(next_help_heading = "Development")]
pub(super) struct DevelopmentArgs {
    /// Load the application again whenever a file that it has imported is saved
    #[arg(long)]
    reload: bool,
    /// Files that count as well: a pattern as in a shell, ** for any folders; may be repeated
    #[arg(long, value_name = "GLOB", value_parser = glob)]
    reload_include: Vec<Glob>,
}

impl DevelopmentArgs {
    /// The settings, and what is odd about them. `asked` is 1.3's `--use-reloader`.
    pub(super) fn resolve(self, asked: Asked) -> (Option<Reload>, Option<String>) {
        if self.reload || asked == Asked::Yes {
            return (Some(Reload { include: self.reload_include }), None);
        }
        let odd = !self.reload_include.is_empty();
        (None, odd.then(|| "--reload-include has no effect without --reload".to_owned()))
    }
}

/// Whether `--use-reloader` was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Yes,
    No,
}

fn glob(text: &str) -> Result<Glob, String> {
    if text.is_empty() {
        return Err("no pattern: write for example 'templates/**/*.html'".to_owned());
    }
    pattern(text)
        .map_err(|error| format!("not a pattern: {}: write for example 'templates/**/*.html'", error.kind()))
}
