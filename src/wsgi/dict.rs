//! The environ as a Python dict.
//!
//! Owns, for one thread, a template with what never varies and the interned keys of what does: a request
//! costs a copy of the template and the values that it brings (measured: half of building it anew).

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use http::{HeaderMap, HeaderName};

use crate::census::Identity;
use crate::config::VERSION;
use crate::exchange::{Client, Connection, Request};
use crate::interp::{Attached, Kept, Object, PythonError, Truth};
use crate::wsgi::environ;

/// Header names remembered per thread at most. Clients choose names: beyond this they are made each time.
/// 256: several times what applications and proxies use.
const REMEMBERED: usize = 256;

/// What an interpreter tells its application about where it runs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Surroundings {
    pub(super) identity: Identity,
    /// Another thread may call the same application object at the same time.
    pub(super) multithread: Truth,
    /// An equivalent application object may be called at the same time elsewhere.
    pub(super) multiprocess: Truth,
    /// How long it may take for a request.
    pub(super) request_timeout: Option<Duration>,
}

#[derive(Debug)]
pub(super) struct Environ {
    template: Kept,
    keys: Keys,
    headers: HashMap<HeaderName, Option<Kept>>,
    values: Values,
    /// What requests of one listener and one proxy have in common.
    server_name: Last<String>,
    server_port: Last<String>,
    client: Last<IpAddr>,
}

/// The last value and its Python string: what mostly repeats is not made anew.
#[derive(Debug)]
struct Last<T>(Option<(T, Kept)>);

impl<T> Last<T> {
    /// The Python string of `value`.
    fn str<'a, Q>(&mut self, at: Attached<'a>, value: &Q) -> Result<Object<'a>, PythonError<'a>>
    where
        Q: PartialEq<T> + ToOwned<Owned = T> + ToString + ?Sized,
    {
        if let Some((last, kept)) = &self.0
            && value == last
        {
            return Ok(kept.get(at));
        }
        let made = at.str(&value.to_string())?.keep();
        let result = made.get(at);
        if let Some((_, before)) = self.0.replace((value.to_owned(), made)) {
            before.release(at);
        }
        Ok(result)
    }

    fn release(self, at: Attached<'_>) {
        if let Some((_, kept)) = self.0 {
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
        http_11: "HTTP/1.1",
        http: "http",
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
            keys,
            headers: HashMap::new(),
            values,
            server_name: Last(None),
            server_port: Last(None),
            client: Last(None),
        })
    }

    /// The environ of one request.
    pub(super) fn build<'a>(
        &mut self,
        at: Attached<'a>,
        request: &Request,
        input: &Object<'a>,
        hints: &Object<'a>,
    ) -> Result<Object<'a>, PythonError<'a>> {
        let dict = at.dict_copy(&self.template)?;
        let keys = &self.keys;
        let method = match request.method.as_str() {
            "GET" => self.values.get.get(at),
            "POST" => self.values.post.get(at),
            "HEAD" => self.values.head.get(at),
            other => at.str(other)?,
        };
        at.dict_set(&dict, &keys.request_method, &method)?;
        let protocol = match environ::server_protocol(request.version) {
            "HTTP/1.1" => self.values.http_11.get(at),
            other => at.str(other)?,
        };
        at.dict_set(&dict, &keys.server_protocol, &protocol)?;
        self.set_target(at, &dict, request)?;
        self.set_connection(at, &dict, &request.connection)?;
        at.dict_set(&dict, &self.keys.input, input)?;
        at.dict_set(&dict, &self.keys.hints, hints)?;
        self.set_headers(at, &dict, &request.headers)?;
        Ok(dict)
    }

    fn set_target<'a>(
        &self,
        at: Attached<'a>,
        dict: &Object<'a>,
        request: &Request,
    ) -> Result<(), PythonError<'a>> {
        let (keys, uri, sent) = (&self.keys, &request.uri, request.target.as_deref());
        at.dict_set(dict, &keys.path_info, &at.latin1(&environ::path_info(uri))?)?;
        let query = match environ::query_string(uri, sent) {
            b"" => self.values.empty.get(at),
            query => at.latin1(query)?,
        };
        at.dict_set(dict, &keys.query_string, &query)?;
        let target = at.latin1(environ::request_uri(uri, sent))?;
        at.dict_set(dict, &keys.request_uri, &target)?;
        at.dict_set(dict, &keys.raw_uri, &target)
    }

    fn set_connection<'a>(
        &mut self,
        at: Attached<'a>,
        dict: &Object<'a>,
        connection: &Connection,
    ) -> Result<(), PythonError<'a>> {
        let keys = &self.keys;
        if !connection.script_name.is_empty() {
            at.dict_set(dict, &keys.script_name, &at.str(&connection.script_name)?)?;
        }
        at.dict_set(dict, &keys.server_name, &self.server_name.str(at, connection.server_name.as_str())?)?;
        at.dict_set(dict, &keys.server_port, &self.server_port.str(at, connection.server_port.as_str())?)?;
        let scheme = match connection.scheme.as_str() {
            "http" => self.values.http.get(at),
            other => at.str(other)?,
        };
        at.dict_set(dict, &keys.url_scheme, &scheme)?;
        match connection.client {
            // A unix socket's peer has no address; the key exists, since applications index it.
            Client::Unix => at.dict_set(dict, &keys.remote_addr, &self.values.empty),
            Client::Inet(address, port) => {
                at.dict_set(dict, &keys.remote_addr, &self.client.str(at, &address)?)?;
                match port {
                    Some(port) => at.dict_set(dict, &keys.remote_port, &at.str(&port.to_string())?),
                    // A proxy did not tell it, and its own port is not the client's.
                    None => Ok(()),
                }
            }
        }
    }

    fn set_headers<'a>(
        &mut self,
        at: Attached<'a>,
        dict: &Object<'a>,
        headers: &HeaderMap,
    ) -> Result<(), PythonError<'a>> {
        for name in headers.keys() {
            let fresh;
            let key = match self.headers.get(name) {
                Some(known) => known.as_ref(),
                None => {
                    let made = match environ::header_key(name) {
                        Some(key) => Some(at.interned(&key)?.keep()),
                        None => None,
                    };
                    if self.headers.len() < REMEMBERED {
                        self.headers.entry(name.clone()).or_insert(made).as_ref()
                    } else {
                        fresh = made;
                        fresh.as_ref()
                    }
                }
            };
            let Some(key) = key else { continue };
            let mut values = headers.get_all(name).iter();
            let first = values.next().map_or(&b""[..], |value| value.as_bytes());
            if values.next().is_none() {
                at.dict_set(dict, key, &at.latin1(first)?)?;
            } else {
                let lines: Vec<_> = headers.get_all(name).iter().map(|value| value.as_bytes()).collect();
                at.dict_set(dict, key, &at.latin1(&lines.join(environ::separator(name)))?)?;
            }
        }
        Ok(())
    }

    pub(super) fn release(self, at: Attached<'_>) {
        self.template.release(at);
        self.keys.release(at);
        self.values.release(at);
        self.server_name.release(at);
        self.server_port.release(at);
        self.client.release(at);
        for key in self.headers.into_values().flatten() {
            key.release(at);
        }
    }
}
