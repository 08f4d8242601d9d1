//! `wsgi.early_hints`: headers ahead of the response, in an interim one: 103, RFC 8297. The name and the call are
//! gunicorn's.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::StatusCode;

use crate::interp::{Arguments, Attached, Class, ExceptionKind, Outcome, Protocol, PythonError};
use crate::wsgi::failure::describe;
use crate::wsgi::responder::{Responder, add_headers, refused};
use crate::wsgi::response::{Head, Repeated};

/// Bytes of hints for one response. 64 KiB: more than any page links to; a loop that hints for ever ends here.
const MOST: usize = 64 * 1024;

/// What a header takes beside its name and value: colon, space, CRLF, and its share of the rest.
const PER_HEADER: usize = 32;

/// `wsgi.early_hints` as Python sees it: called with a list of (name, value).
#[derive(Debug)]
pub(super) struct EarlyHints {
    responder: Arc<Responder>,
    sent: AtomicUsize,
}

impl EarlyHints {
    pub(super) fn new(responder: Arc<Responder>) -> Self {
        Self { responder, sent: AtomicUsize::new(0) }
    }

    /// It hints at another response.
    pub(super) fn reopen(&self) {
        self.sent.store(0, Ordering::Relaxed);
    }
}

impl Class for EarlyHints {
    const NAME: &'static std::ffi::CStr = c"chaussette.EarlyHints";
    const METHODS: &'static [&'static std::ffi::CStr] = &[];
    const PROTOCOL: Protocol = Protocol::Callable;

    fn method<'a>(&self, at: Attached<'a>, _: usize, _: &Arguments<'a>) -> Outcome<'a> {
        Ok(at.none())
    }

    fn call<'a>(&self, at: Attached<'a>, arguments: &Arguments<'a>) -> Outcome<'a> {
        let wrong = |kind, what: &str| Err(PythonError::new(at, kind, what));
        let usage = "wsgi.early_hints takes one list of (str, str) tuples";
        let headers = match (arguments.len(), arguments.get(0)) {
            (1, Some(headers)) if at.is_list(&headers) => headers,
            (1, Some(other)) => {
                return wrong(ExceptionKind::TypeError, &format!("{usage}, not {}", describe(at, &other)));
            }
            _ => return wrong(ExceptionKind::TypeError, usage),
        };
        let count = at.sequence_length(&headers).unwrap_or(0);
        let mut head = Head::new((StatusCode::OK, None), count).map_err(|error| refused(at, &error))?;
        add_headers(at, &headers, (&mut head, &mut Repeated::default()))?;
        if head.declared.is_some() || head.wish.is_some() {
            // RFC 9110 §8.6: a 1xx has no Content-Length; and a hint says nothing of the connection.
            return wrong(ExceptionKind::ValueError, "a hint has no Content-Length and no Connection header");
        }
        let headers = head.response.headers;
        if headers.is_empty() {
            return Ok(at.none());
        }
        let size: usize =
            headers.iter().map(|(name, value)| name.as_str().len() + value.len() + PER_HEADER).sum();
        if self.sent.fetch_add(size, Ordering::Relaxed) + size > MOST {
            return wrong(
                ExceptionKind::ValueError,
                &format!("a response has {MOST} bytes of hints at most"),
            );
        }
        match self.responder.hint(at, headers) {
            true => Ok(at.none()),
            false => wrong(
                ExceptionKind::ValueError,
                "wsgi.early_hints was called after the head of its response was sent",
            ),
        }
    }
}
