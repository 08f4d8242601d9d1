//! What counts as a change.

use std::path::Path;

use notify::EventKind;
use notify::event::{AccessKind, AccessMode, ModifyKind};

/// Whether content may have changed. Reading, as an import does, and changing owner or mode is none; what opens a
/// file for writing and closes it again is (touch).
pub(super) fn counts(kind: &EventKind) -> bool {
    match kind {
        EventKind::Create(_) | EventKind::Remove(_) => true,
        EventKind::Modify(kind) => !matches!(kind, ModifyKind::Metadata(_)),
        EventKind::Access(kind) => *kind == AccessKind::Close(AccessMode::Write),
        EventKind::Any | EventKind::Other => false,
    }
}

/// Whether a file can be a module that the application will import: one in a folder of its own modules.
pub(super) fn is_source(path: &Path) -> bool {
    // Editors keep locks and copies beside it, and hide them: .#app.py, .app.py.swp.
    let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
    !hidden && path.extension().is_some_and(|extension| extension == "py")
}
