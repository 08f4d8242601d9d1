//! The environ as a Python dict.
//!
//! Owns, for one thread, a template with what never varies and what mostly repeats, and the interned keys of the
//! rest: a request costs a copy of the template and the values that it alone brings.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Duration;

use http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION};
use http::{HeaderMap, HeaderName, Method, Version};

use crate::census::{Identity, Pool};
use crate::config::VERSION;
use crate::exchange::{Client, Connection, Request, Scheme};
use crate::interp::{AsPython, Attached, Kept, Object, PythonError, Truth};
use crate::wsgi::environ;

/// Header names remembered per thread at most. Clients choose names: beyond this they are made each time.
/// 256: several times what applications and proxies use.
const REMEMBERED: usize = 256;

/// Bytes of a header's value that is remembered, at most. 256: browsers' longest that all requests have; what is
/// longer is mostly a secret or different each time.
const REPEATED: usize = 256;

/// What an interpreter tells its application about where it runs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Surroundings {
    pub(super) identity: Identity,
    /// Another thread may call the same application object at the same time.
    pub(super) multithread: Truth,
    /// An equivalent application object may be called at the same time elsewhere.
    pub(super) multiprocess: Truth,
    /// Which of the server's pools it serves, where there are several.
    pub(super) pool: Option<Pool>,
    /// How long it may take for a request.
    pub(super) request_timeout: Option<Duration>,
}

#[derive(Debug)]
pub(super) struct Environ {
    /// With what never varies, and of [`Usual`] what the last request brought.
    template: Kept,
    usual: Usual,
    keys: Keys,
    headers: HeaderMap<Option<Header>>,
    values: Values,
}

/// What the template holds of that which mostly repeats.
#[derive(Debug, Default)]
struct Usual {
    method: Held<Method>,
    version: Held<Version>,
    /// As it was sent, and nothing else than the path and query of its `Uri`.
    target: Held<String>,
    script_name: Held<String>,
    server_name: Held<String>,
    server_port: Held<String>,
    scheme: Held<Scheme>,
    client: Held<Option<IpAddr>>,
}

/// A value that the template holds, once it is known.
#[derive(Debug)]
struct Held<T>(Option<T>);

impl<T> Default for Held<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Held<T> {
    /// Makes the template hold `value` at `key`, as `make` puts it for Python, unless it does so already.
    fn set<'a, Q>(
        &mut self,
        at: Attached<'a>,
        (template, key): (&Kept, &Kept),
        value: &Q,
        make: impl FnOnce(&Q) -> Result<Object<'a>, PythonError<'a>>,
    ) -> Result<(), PythonError<'a>>
    where
        Q: PartialEq<T> + ToOwned<Owned = T> + ?Sized,
    {
        if self.0.as_ref().is_some_and(|held| value == held) {
            return Ok(());
        }
        // Forgotten first: what fails below holds nothing.
        self.0 = None;
        at.dict_set(template, key, &make(value)?)?;
        self.0 = Some(value.to_owned());
        Ok(())
    }
}

/// A request header that has a key.
#[derive(Debug)]
struct Header {
    key: Kept,
    /// Its last value and that as a Python string: most clients say the same in each request, and many in all.
    last: Option<(Vec<u8>, Kept)>,
}

impl Header {
    /// The Python string of `value`.
    fn value<'a>(
        &mut self,
        at: Attached<'a>,
        name: &HeaderName,
        value: &[u8],
    ) -> Result<Object<'a>, PythonError<'a>> {
        if let Some((last, kept)) = &self.last
            && value == last
        {
            return Ok(kept.get(at));
        }
        let made = at.latin1(value)?;
        if value.len() > REPEATED || [COOKIE, AUTHORIZATION, PROXY_AUTHORIZATION].contains(name) {
            return Ok(made);
        }
        let kept = made.keep();
        let made = kept.get(at);
        match &mut self.last {
            Some((last, before)) => {
                last.clear();
                last.extend_from_slice(value);
                std::mem::replace(before, kept).release(at);
            }
            None => self.last = Some((value.to_vec(), kept)),
        }
        Ok(made)
    }

    fn release(self, at: Attached<'_>) {
        self.key.release(at);
        if let Some((_, kept)) = self.last {
            kept.release(at);
        }
    }
}

macro_rules! kept {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug)]
        struct $name { $($field: Kept,)* }
        impl $name {
            fn new(at: Attached<'_>) -> Result<Self, PythonError<'_>> {
                Ok(Self { $($field: at.interned($text)?.keep(),)* })
            }
            fn release(self, at: Attached<'_>) {
                $(self.$field.release(at);)*
            }
        }
    };
}

kept! {
    /// Keys whose values vary.
    Keys {
        request_method: "REQUEST_METHOD",
        path_info: "PATH_INFO",
        query_string: "QUERY_STRING",
        request_uri: "REQUEST_URI",
        raw_uri: "RAW_URI",
        server_protocol: "SERVER_PROTOCOL",
        script_name: "SCRIPT_NAME",
        server_name: "SERVER_NAME",
        server_port: "SERVER_PORT",
        remote_addr: "REMOTE_ADDR",
        remote_port: "REMOTE_PORT",
        url_scheme: "wsgi.url_scheme",
        input: "wsgi.input",
        hints: "wsgi.early_hints",
    }
}

kept! {
    /// Values that most requests have.
    Values {
        get: "GET",
        post: "POST",
        head: "HEAD",
        empty: "",
    }
}

impl Keys {
    /// All but REMOTE_PORT, which some requests do without.
    fn of_each_request(&self) -> [&Kept; 12] {
        [
            &self.request_method,
            &self.path_info,
            &self.query_string,
            &self.request_uri,
            &self.raw_uri,
            &self.server_protocol,
            &self.server_name,
            &self.server_port,
            &self.remote_addr,
            &self.url_scheme,
            &self.input,
            &self.hints,
        ]
    }
}

impl Environ {
    pub(super) fn new<'a>(
        at: Attached<'a>,
        surroundings: Surroundings,
        file_wrapper: &Object<'a>,
        errors: &Object<'a>,
    ) -> Result<Self, PythonError<'a>> {
        let template = at.dict()?;
        let set = |key: &str, value: &Object<'a>| at.dict_set(&template, &at.interned(key)?, value);
        set("GATEWAY_INTERFACE", &at.str("CGI/1.1")?)?;
        set("SERVER_SOFTWARE", &at.str(&format!("chaussette/{VERSION}"))?)?;
        set("SCRIPT_NAME", &at.str("")?)?;
        let one = at.int(1)?;
        let version =
            at.call(&at.attribute(&at.import(c"builtins")?, c"tuple")?, &[&at.list(vec![one, at.int(0)?])?])?;
        set("wsgi.version", &version)?;
        set("wsgi.errors", errors)?;
        set("wsgi.multithread", &at.boolean(surroundings.multithread))?;
        set("wsgi.multiprocess", &at.boolean(surroundings.multiprocess))?;
        set("wsgi.run_once", &at.boolean(Truth::False))?;
        set("wsgi.input_terminated", &at.boolean(Truth::True))?;
        set("wsgi.file_wrapper", file_wrapper)?;
        set(
            "chaussette.interpreter",
            &at.int(isize::try_from(surroundings.identity.place).unwrap_or(isize::MAX))?,
        )?;
        if let Some(pool) = surroundings.pool {
            set("CHAUSSETTE_POOL", &at.str(pool.as_str())?)?;
        }
        let timeout = surroundings
            .request_timeout
            .map_or_else(|| Ok(at.none()), |limit| at.float(limit.as_secs_f64()))?;
        set("chaussette.request_timeout", &timeout)?;
        let (keys, values) = (Keys::new(at)?, Values::new(at)?);
        // The keys that each request sets are there already, so that its copy of the template need not grow.
        for key in keys.of_each_request() {
            at.dict_set(&template, key, &values.empty)?;
        }
        Ok(Self {
            template: template.keep(),
            usual: Usual::default(),
            keys,
            headers: HeaderMap::default(),
            values,
        })
    }

    /// Makes the template hold these, a reference to each: the environs from here on have them.
    pub(super) fn hold<'a>(
        &self,
        at: Attached<'a>,
        input: &impl AsPython,
        hints: &impl AsPython,
    ) -> Result<(), PythonError<'a>> {
        at.dict_set(&self.template, &self.keys.input, input)?;
        at.dict_set(&self.template, &self.keys.hints, hints)
    }

    /// The environ of one request, with what is held.
    pub(super) fn build<'a>(
        &mut self,
        at: Attached<'a>,
        request: &Request,
    ) -> Result<Object<'a>, PythonError<'a>> {
        let (keys, values, template) = (&self.keys, &self.values, &self.template);
        self.usual.method.set(
            at,
            (template, &keys.request_method),
            &request.method,
            |method| match method.as_str() {
                "GET" => Ok(values.get.get(at)),
                "POST" => Ok(values.post.get(at)),
                "HEAD" => Ok(values.head.get(at)),
                other => at.str(other),
            },
        )?;
        self.usual.version.set(at, (template, &keys.server_protocol), &request.version, |version| {
            at.str(environ::server_protocol(*version))
        })?;
        self.set_target(at, request)?;
        self.set_connection(at, &request.connection)?;
        let dict = at.dict_copy(&self.template)?;
        // Of each request alone, so never in the template.
        if let Client::Inet(_, Some(port)) = request.connection.client {
            at.dict_set(&dict, &self.keys.remote_port, &at.decimal(port)?)?;
        }
        self.set_headers(at, &dict, &request.headers)?;
        Ok(dict)
    }

    /// Makes the template hold the target.
    fn set_target<'a>(&mut self, at: Attached<'a>, request: &Request) -> Result<(), PythonError<'a>> {
        let (keys, template) = (&self.keys, &self.template);
        let (uri, sent) = (&request.uri, request.target.as_deref());
        let target = environ::request_uri(uri, sent);
        let held = self.usual.target.0.take();
        if let Some(held) = held
            && sent.is_none()
            && held.as_bytes() == target
        {
            self.usual.target = Held(Some(held));
            return Ok(());
        }
        let target_str = at.latin1(target)?;
        at.dict_set(template, &keys.request_uri, &target_str)?;
        at.dict_set(template, &keys.raw_uri, &target_str)?;
        match environ::path_info(uri) {
            path if *path == *target => at.dict_set(template, &keys.path_info, &target_str)?,
            path => at.dict_set(template, &keys.path_info, &at.latin1(&path)?)?,
        }
        let query = match environ::query_string(uri, sent) {
            b"" => self.values.empty.get(at),
            query => at.latin1(query)?,
        };
        at.dict_set(template, &keys.query_string, &query)?;
        self.usual.target = Held(uri.path_and_query().filter(|_| sent.is_none()).map(ToString::to_string));
        Ok(())
    }

    /// Makes the template hold what a connection, or a proxy for it, says of all its requests.
    fn set_connection<'a>(
        &mut self,
        at: Attached<'a>,
        connection: &Connection,
    ) -> Result<(), PythonError<'a>> {
        let (keys, template, usual) = (&self.keys, &self.template, &mut self.usual);
        let str = |text: &str| at.str(text);
        usual.script_name.set(at, (template, &keys.script_name), connection.script_name.as_str(), str)?;
        usual.server_name.set(at, (template, &keys.server_name), connection.server_name.as_str(), str)?;
        usual.server_port.set(at, (template, &keys.server_port), connection.server_port.as_str(), str)?;
        usual
            .scheme
            .set(at, (template, &keys.url_scheme), &connection.scheme, |scheme| at.str(scheme.as_str()))?;
        // A unix socket's peer has no address; the key exists, since applications index it.
        usual.client.set(at, (template, &keys.remote_addr), &connection.client.address(), |address| {
            address.map_or_else(|| at.str(""), |address| at.str(&address.to_string()))
        })
    }

    fn set_headers<'a>(
        &mut self,
        at: Attached<'a>,
        dict: &Object<'a>,
        headers: &HeaderMap,
    ) -> Result<(), PythonError<'a>> {
        // All lines of one name come one after the other.
        let mut lines = headers.iter().peekable();
        while let Some((name, first)) = lines.next() {
            let mut joined = Cow::Borrowed(first.as_bytes());
            while let Some((_, further)) = lines.next_if(|(next, _)| *next == name) {
                let joined = joined.to_mut();
                joined.extend_from_slice(environ::separator(name));
                joined.extend_from_slice(further.as_bytes());
            }
            match self.headers.get_mut(name) {
                Some(None) => {}
                Some(Some(header)) => {
                    let value = header.value(at, name, &joined)?;
                    at.dict_set(dict, &header.key, &value)?;
                }
                None => {
                    let header = match environ::header_key(name) {
                        Some(key) => Some(Header { key: at.interned(&key)?.keep(), last: None }),
                        None => None,
                    };
                    if let Some(Header { key, .. }) = &header {
                        at.dict_set(dict, key, &at.latin1(&joined)?)?;
                    }
                    if self.headers.len() < REMEMBERED {
                        self.headers.insert(name, header);
                    } else if let Some(header) = header {
                        header.release(at);
                    }
                }
            }
        }
        Ok(())
    }

    pub(super) fn release(self, at: Attached<'_>) {
        self.template.release(at);
        self.keys.release(at);
        self.values.release(at);
        for (_, header) in self.headers {
            if let Some(header) = header {
                header.release(at);
            }
        }
    }
}
