//! `--reload-include`: files beside the modules, by pattern.

use std::path::{Component, Path, PathBuf};

use globset::{Glob, GlobSet, GlobSetBuilder};
use notify::RecursiveMode;

use crate::config::pattern;

/// Patterns, and where what they match can lie.
#[derive(Debug, Default)]
pub(super) struct Included {
    patterns: GlobSet,
    folders: Vec<(PathBuf, RecursiveMode)>,
}

impl Included {
    /// Patterns are relative to the current directory, as a shell has them.
    pub(super) fn new(globs: &[Glob]) -> Self {
        let here = std::env::current_dir().unwrap_or_default();
        let mut patterns = GlobSetBuilder::new();
        let mut folders = Vec::new();
        for glob in globs {
            let (base, rest) = split(glob.glob());
            let base = here.join(base);
            if !base.is_dir() {
                tracing::warn!(
                    "--reload-include {}: there is no folder {}: nothing is watched",
                    glob.glob(),
                    base.display()
                );
                continue;
            }
            // What the kernel tells of begins with the folder that is watched, so the pattern does as well.
            let whole = globset::escape(&base.to_string_lossy()) + "/" + rest;
            match pattern(&whole) {
                Ok(whole) => {
                    patterns.add(whole);
                }
                Err(error) => tracing::warn!("--reload-include {}: {error}", glob.glob()),
            }
            let deep = rest.contains('/') || rest.contains("**");
            folders.push((base, if deep { RecursiveMode::Recursive } else { RecursiveMode::NonRecursive }));
        }
        Self { patterns: patterns.build().unwrap_or_default(), folders }
    }

    pub(super) fn folders(&self) -> Vec<(PathBuf, RecursiveMode)> {
        self.folders.clone()
    }

    pub(super) fn has(&self, path: &Path) -> bool {
        self.patterns.is_match(path)
    }
}

/// The folder before the first part that is a pattern, and the rest.
fn split(glob: &str) -> (PathBuf, &str) {
    let plain = glob.find(['*', '?', '[', '{', '\\']).unwrap_or(glob.len());
    let (base, rest) = match glob.get(..plain).unwrap_or_default().rfind('/') {
        Some(slash) => glob.split_at(slash + 1),
        None => ("", glob),
    };
    // `./templates/*.html`: the folder is watched without the dot, so that names can be compared.
    let base = Path::new(base).components().filter(|part| *part != Component::CurDir).collect();
    (base, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_split_before_its_first_part_that_is_one() {
        assert_eq!(split("templates/**/*.html"), (PathBuf::from("templates"), "**/*.html"));
        assert_eq!(split("*.yaml"), (PathBuf::new(), "*.yaml"));
        assert_eq!(split("./conf/site.ini"), (PathBuf::from("conf"), "site.ini"));
        assert_eq!(split("/etc/site/[ab].ini"), (PathBuf::from("/etc/site"), "[ab].ini"));
    }
}
