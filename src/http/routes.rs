//! Which pool's queue a request goes to: by its path.
//!
//! Pure but for the hand-over. Compared is what the application gets as PATH_INFO: a path that it would read otherwise
//! than we do would go to workers that cannot serve it.

use std::sync::Arc;

use hyper::Uri;

use crate::bell::Bell;
use crate::config::PathPrefix;
use crate::dispatch::Dispatcher;

/// The queues of all pools, and what goes where.
#[derive(Debug, Clone)]
pub struct Routes {
    usual: Dispatcher,
    apart: Option<Arc<Apart>>,
}

/// A pool that has some paths for itself.
#[derive(Debug)]
struct Apart {
    prefixes: Vec<PathPrefix>,
    dispatcher: Dispatcher,
}

impl Routes {
    /// Requests under one of `prefixes` go to `dispatcher`. Both queues share one bell.
    #[must_use]
    pub fn apart(self, prefixes: Vec<PathPrefix>, dispatcher: Dispatcher) -> Self {
        Self { apart: Some(Arc::new(Apart { prefixes, dispatcher })), ..self }
    }

    /// The queue for a request.
    pub(super) fn of(&self, uri: &Uri) -> &Dispatcher {
        match &self.apart {
            None => &self.usual,
            Some(apart) if apart.prefixes.iter().any(|prefix| prefix.holds(uri.path())) => &apart.dispatcher,
            Some(_) => &self.usual,
        }
    }

    /// Hands over what was submitted to any of them.
    pub(super) fn flush(&self) {
        self.usual.flush();
        if let Some(apart) = &self.apart {
            apart.dispatcher.flush();
        }
    }

    pub(super) fn bell(&self) -> &Arc<Bell> {
        self.usual.bell()
    }
}

/// All to one queue.
impl From<Dispatcher> for Routes {
    fn from(usual: Dispatcher) -> Self {
        Self { usual, apart: None }
    }
}

impl From<&Dispatcher> for Routes {
    fn from(usual: &Dispatcher) -> Self {
        usual.clone().into()
    }
}

impl From<&Routes> for Routes {
    fn from(routes: &Routes) -> Self {
        routes.clone()
    }
}
