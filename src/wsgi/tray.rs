//! What a request's application is handed beside plain values: `wsgi.input`, `start_response`, `wsgi.early_hints`.
//!
//! Owns one of each for a thread. They serve its next request, too, where the application has kept none of them: making
//! and freeing them costs as much as the environ. What it has kept stays that request's, and says so when it is used.

use std::sync::Arc;

use http::HeaderMap;
use parking_lot::Mutex;

use crate::exchange::{Reply, RequestBody};
use crate::interp::{Attached, Instance, KeptInstance, PythonError, Type};
use crate::wsgi::hints::EarlyHints;
use crate::wsgi::input::Body;
use crate::wsgi::responder::{Responder, StartResponse, Workbench};

/// Headers for which a request's map has room that is kept for a response. 64: a map that was made for a large head is
/// not carried along with every small one.
const SPARE: usize = 64;

#[derive(Debug)]
pub(super) struct Tray {
    input: Type<Body>,
    hints: Type<EarlyHints>,
    start_response: Type<StartResponse>,
    workbench: Arc<Mutex<Workbench>>,
    rest: Option<Rest>,
}

/// What waits for the next request.
#[derive(Debug)]
struct Rest {
    input: KeptInstance<Body>,
    hints: KeptInstance<EarlyHints>,
    start_response: KeptInstance<StartResponse>,
    responder: Arc<Responder>,
}

/// One request's.
#[derive(Debug)]
pub(super) struct Hands<'a> {
    pub(super) input: Instance<'a, Body>,
    pub(super) hints: Instance<'a, EarlyHints>,
    pub(super) start_response: Instance<'a, StartResponse>,
    /// They were made for it.
    pub(super) are_new: bool,
}

impl Tray {
    pub(super) fn new(at: Attached<'_>) -> Result<Self, PythonError<'_>> {
        let (input, hints, start_response) = (Type::new(at)?, Type::new(at)?, Type::new(at)?);
        Ok(Self { input, hints, start_response, workbench: Arc::default(), rest: None })
    }

    /// Begins a response, and hands out what its application gets.
    pub(super) fn serve<'a>(
        &mut self,
        at: Attached<'a>,
        body: RequestBody,
        reply: Reply,
    ) -> (Arc<Responder>, Result<Hands<'a>, PythonError<'a>>) {
        let Some(Rest { input, hints, start_response, responder }) = self.rest.take() else {
            let body = Body::new(body, &reply);
            let responder = Responder::new(reply, Arc::clone(&self.workbench));
            let hands = self.make(at, body, &responder);
            return (responder, hands);
        };
        let (input, hints, start_response) = (input.take(at), hints.take(at), start_response.take(at));
        input.reopen(body, &reply);
        hints.reopen();
        responder.reopen(reply);
        (responder, Ok(Hands { input, hints, start_response, are_new: false }))
    }

    fn make<'a>(
        &self,
        at: Attached<'a>,
        body: Body,
        responder: &Arc<Responder>,
    ) -> Result<Hands<'a>, PythonError<'a>> {
        Ok(Hands {
            input: self.input.instance(at, body)?,
            hints: self.hints.instance(at, EarlyHints::new(Arc::clone(responder)))?,
            start_response: self.start_response.instance(at, StartResponse(Arc::clone(responder)))?,
            are_new: true,
        })
    }

    /// A request's headers are in the environ: the response's get their place.
    pub(super) fn recycle(&self, mut headers: HeaderMap) {
        headers.clear();
        if headers.capacity() <= SPARE
            && let Some(mut workbench) = self.workbench.try_lock()
        {
            workbench.spare = headers;
        }
    }

    /// The request is over. The environ's template has a reference to the first two.
    pub(super) fn clear(&mut self, hands: Hands<'_>, responder: Arc<Responder>) {
        let Hands { input, hints, start_response, .. } = hands;
        let is_kept_by_nobody = input.is_known_to(1) && hints.is_known_to(1) && start_response.is_known_to(0);
        // A wish is told of with the response that has it.
        if is_kept_by_nobody && responder.wish().is_none() {
            responder.close();
            let (input, hints, start_response) = (input.keep(), hints.keep(), start_response.keep());
            self.rest = Some(Rest { input, hints, start_response, responder });
        }
    }

    pub(super) fn release(self, at: Attached<'_>) {
        if let Some(Rest { input, hints, start_response, .. }) = self.rest {
            drop((input.take(at), hints.take(at), start_response.take(at)));
        }
        self.input.release(at);
        self.hints.release(at);
        self.start_response.release(at);
    }
}
