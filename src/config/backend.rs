//! Which server answers: ours, or one written in Python that is given the sockets and the application.

/// The name of our own: the front end, and interpreters behind it.
pub const INTERPRETERS: &str = "interpreters";

/// `--backend` and what goes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backend {
    /// [`INTERPRETERS`], or a name that the Python package knows; whether it does is found out there.
    pub name: String,
    /// Requests that a backend with greenlets serves at once (`--spawn`). `None`: as many as come.
    pub spawn: Option<u32>,
    /// Whether such a backend patches the standard library before the application is imported.
    pub patching: Patching,
    /// The options that the command line named, without their dashes, for any but ours: what a backend does not heed
    /// is told.
    pub named: Vec<String>,
}

/// What becomes of the standard library under gevent or eventlet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patching {
    /// Its blocking calls yield to other greenlets.
    Patched,
    /// It is left alone (`--no-monkey`).
    LeftAlone,
}

impl Backend {
    /// Whether the front end of this crate serves.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.name == INTERPRETERS
    }
}

impl Default for Backend {
    fn default() -> Self {
        Self { name: INTERPRETERS.to_owned(), spawn: None, patching: Patching::Patched, named: Vec::new() }
    }
}
