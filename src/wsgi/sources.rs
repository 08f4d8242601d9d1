//! What an interpreter's application is made of, told to who watches files: `--reload`.

use std::path::PathBuf;
use std::time::SystemTime;

use crate::interp::{Attached, Kept, Object, PythonError};
use crate::reload::{Made, Sources};

/// Tells from one interpreter.
#[derive(Debug)]
pub(super) struct Teller {
    sources: Sources,
    /// `chaussette._sources`.
    helper: Kept,
}

impl Teller {
    pub(super) fn new<'a>(at: Attached<'a>, sources: &Sources) -> Result<Self, PythonError<'a>> {
        Ok(Self { sources: sources.clone(), helper: at.import(c"chaussette._sources")?.keep() })
    }

    /// After a load that began at `since`, whether or not it failed with `error`.
    pub(super) fn loaded(&self, at: Attached<'_>, since: SystemTime, error: Option<&PythonError<'_>>) {
        let found = at.attribute(&self.helper, c"made").and_then(|made| match error {
            Some(error) => at.call(&made, &[error.instance()]),
            None => at.call(&made, &[&at.none()]),
        });
        self.tell(at, since, found);
    }

    /// After requests: modules may have been imported by them.
    pub(super) fn served(&self, at: Attached<'_>) {
        let found = at.attribute(&self.helper, c"more").and_then(|more| at.call(&more, &[]));
        self.tell(at, SystemTime::now(), found);
    }

    fn tell<'a>(&self, at: Attached<'a>, since: SystemTime, found: Result<Object<'a>, PythonError<'a>>) {
        let told = found.and_then(|found| {
            if !at.is_none(&found) {
                let paths = |place| paths(at, &at.sequence_item(&found, place)?);
                self.sources.made(Made { since, files: paths(0)?, folders: paths(1)? });
            }
            Ok(())
        });
        if let Err(error) = told {
            tracing::warn!("--reload: cannot tell which files the application has: {}", error.message());
        }
    }

    pub(super) fn release(self, at: Attached<'_>) {
        self.helper.release(at);
    }
}

fn paths<'a>(at: Attached<'a>, list: &Object<'a>) -> Result<Vec<PathBuf>, PythonError<'a>> {
    let places = 0..at.sequence_length(list).unwrap_or(0);
    places.map(|place| Ok(PathBuf::from(at.text(&at.sequence_item(list, place)?)?))).collect()
}
