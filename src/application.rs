//! The seam: what a worker asks of an application, and what brings one to life.
//!
//! Knows neither HTTP nor Python. Fakes in `tests/support` stand behind the same traits.

mod either;

use std::time::{Duration, Instant};

pub use either::Either;

use crate::census::{Identity, Overdue, Thread};
use crate::exchange::{Exchange, Request, Service};

/// An application on the thread that serves it. Not `Send`: it is born, serves and ends there.
pub trait Application {
    /// Serves `first`, then whatever `line` gives, until that is `None`. Each exchange is answered.
    /// One attachment to an interpreter serves the whole batch.
    fn serve(&mut self, first: Exchange, line: &mut dyn Line);

    /// Whether it can be given requests: one whose process is gone cannot.
    fn can_serve(&self) -> bool {
        true
    }

    /// This thread, as whoever interrupts it from outside must name it.
    fn thread(&self) -> Thread;

    /// Ends it on its own thread. For the thread that loaded the application, all guests have ended.
    fn end(self) -> Ended;
}

/// The requests that wait, as an application sees them.
pub trait Line {
    /// The next request, if one waits already. The reply before it is on its way.
    fn next(&mut self) -> Option<Exchange>;

    /// Whether a request was interrupted from outside since this was asked last: then what was raised may be
    /// pending in this thread, and is nobody's any more.
    fn was_interrupted(&mut self) -> bool;

    /// A part of a reply was sent and the application goes on: the front end is told when it is time.
    fn offered(&mut self);

    /// So long has this thread waited for its interpreter's GIL.
    fn attached_after(&mut self, _wait: Duration) {}

    /// The application has finished with this request, whose box the next one may have.
    fn done_with(&mut self, _request: Box<Request>) {}

    /// The application has not begun with this request and never will: another one shall.
    fn give_back(&mut self, exchange: Exchange);

    /// Further requests that wait, for an application that is quicker with several at once. Each is begun by
    /// [`Line::proceed`], in order, or taken back.
    fn ahead(&mut self, _appetite: Appetite) -> Vec<Exchange> {
        Vec::new()
    }

    /// The request in hand was done with `at` that time, and the next of those ahead begun. Who serves it now.
    fn proceed(&mut self, _at: Instant) -> Option<Service> {
        None
    }

    /// The last of those ahead was not begun: another one shall have it.
    fn take_back(&mut self, exchange: Exchange) {
        self.give_back(exchange);
    }
}

/// How many requests an application takes beside the one in hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Appetite {
    /// At most, if others have as many.
    pub most: usize,
    /// Also if others then have none: no more than `most`.
    pub alone: usize,
}

/// How an application ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// In order: nothing of it is left.
    Cleanly,
    /// It could not be ended safely and is left as it is: the process must leave by `_exit`.
    Abandoned(String),
}

/// Where an application is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Home {
    /// In sub-interpreters with a GIL of their own.
    OwnGil,
    /// In the main interpreter, shared by all threads.
    Main,
    /// In processes of their own.
    Process,
}

/// Brings applications to life.
pub trait Loader: Send + Sync + 'static {
    type Application: Application;
    type Invitation: Invitation<Application = Self::Application>;

    /// Called on the interpreter's first thread, which serves and ends what it returns. May take long.
    fn load(&self, identity: Identity) -> Result<Loaded<Self>, NotLoaded>
    where
        Self: Sized;

    /// Nothing is loaded any more: what a load has begun outside of this process is ended.
    fn close(&self) {}
}

/// A loaded application and what its interpreter's further threads need to join it.
#[derive(Debug)]
pub struct Loaded<L: Loader> {
    pub application: L::Application,
    pub invitation: L::Invitation,
    /// What the application calls itself, for the log.
    pub name: String,
}

/// Lets another thread serve an application that is loaded already.
pub trait Invitation: Clone + std::fmt::Debug + Send + 'static {
    type Application: Application;

    /// Called on the guest's own thread.
    fn join(self) -> Result<Self::Application, LoadError>;

    /// Tells where a thread is whose request has taken too long, and raises an exception in it. Called on a thread
    /// of its own, which may have to wait for the interpreter for ever.
    fn interrupt(self, overdue: &Overdue);

    /// The number of its process, if that is not this one.
    fn process(&self) -> Option<u32> {
        None
    }

    /// Has `obituary` called, on whatever thread, when its process has ended: an interpreter's never does.
    fn mourn(&self, _obituary: Obituary) {}

    /// Ends it by force, whatever its threads do.
    fn kill(&self) -> Killed {
        Killed::Impossible
    }
}

/// Told how a process ended, as it continues a sentence.
pub type Obituary = Box<dyn FnOnce(String) + Send>;

/// Whether an application ends that was to be ended by force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Killed {
    Soon,
    /// A thread of this process cannot be killed.
    Impossible,
}

/// A load that failed, and what is left of it.
#[derive(Debug)]
pub struct NotLoaded {
    pub error: LoadError,
    pub ended: Ended,
}

impl From<LoadError> for NotLoaded {
    fn from(error: LoadError) -> Self {
        Self { error, ended: Ended::Cleanly }
    }
}

/// Why an application could not be loaded.
#[derive(Debug, Clone, thiserror::Error, serde::Serialize, serde::Deserialize)]
pub enum LoadError {
    /// Its own fault: the report holds the traceback.
    #[error("{report}")]
    Application { report: String },
    /// A C extension refuses interpreters with their own GIL.
    #[error("{report}")]
    Refused {
        /// The extension module's full name.
        extension: String,
        /// Who imported whom, outermost first, the extension last.
        chain: Vec<String>,
        report: String,
    },
    /// A C extension has switched the GIL of a free-threaded build on again, which was to stay off.
    #[error("extension module {extension} switched the GIL on again")]
    GilIsBack {
        /// The extension module's full name.
        extension: String,
    },
    /// It was loaded, but failed the request of `--warmup`.
    #[error("{0}")]
    WarmUp(String),
    /// No interpreter could be made.
    #[error("{0}")]
    Interpreter(String),
}

impl LoadError {
    /// As it continues a line that ends in a colon.
    #[must_use]
    pub fn told(&self) -> String {
        match self {
            Self::Refused { extension, chain, report } => format!(
                " extension module {extension} refuses interpreters with their own GIL (imported through {}): use \
                 --isolation process, or a release of it that supports them\n{report}",
                chain.join(" > "),
            ),
            Self::GilIsBack { extension } => format!(
                " extension module {extension} switched the GIL on again, so that threads take turns: use --isolation \
                 auto, or process, or a release of it that supports free-threading",
            ),
            // A traceback begins on a line of its own; what comes before one does not.
            Self::Application { report } if report.contains('\n') && !report.starts_with("it ") => {
                format!("\n{report}")
            }
            Self::Application { report } => format!(" {report}"),
            Self::WarmUp(message) | Self::Interpreter(message) => format!(" {message}"),
        }
    }
}
