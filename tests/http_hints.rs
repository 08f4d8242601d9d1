//! Interim responses: 103 (RFC 8297), before the response and never to those who do not know them.

mod support;

use std::sync::Mutex;
use std::sync::mpsc::channel;

use bytes::Bytes;
use chaussette::exchange::Exchange;
use http::{HeaderMap, HeaderValue};
use support::{Site, head};

fn link(value: &'static str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.append("link", HeaderValue::from_static(value));
    headers
}

fn hinting(exchange: Exchange) {
    exchange.reply.hint(link("</a.css>; rel=preload"));
    exchange.reply.hint(link("</b.js>; rel=preload"));
    exchange.reply.respond(head(200, &[]), Bytes::from_static(b"late"));
}

#[test]
fn hints_come_in_order_before_the_response_on_each_request_of_a_connection() {
    let site = Site::new(hinting);
    let mut client = site.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n");
    for _ in 0..2 {
        for expected in ["</a.css>; rel=preload", "</b.js>; rel=preload"] {
            let interim = client.answer();
            assert_eq!((interim.status, interim.header("Link")), (103, Some(expected)));
        }
        assert_eq!(client.answer().text(), "late");
    }
}

#[test]
fn a_hint_is_with_the_client_while_the_application_still_works() {
    let (release, released) = channel::<()>();
    let released = Mutex::new(released);
    let site = Site::new(move |exchange: Exchange| {
        exchange.reply.hint(link("</a.css>; rel=preload"));
        released.lock().unwrap().recv().unwrap();
        exchange.reply.respond(head(200, &[]), Bytes::from_static(b"late"));
    });
    let mut client = site.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.answer().status, 103);
    release.send(()).unwrap();
    assert_eq!(client.answer().text(), "late");
}

#[test]
fn a_hint_goes_before_the_head_and_after_the_leave_to_continue() {
    let site = Site::new(hinting);
    let mut client = site.connect();
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.answer().status, 100);
    client.send("body");
    assert_eq!([client.answer().status, client.answer().status, client.answer().status], [103, 103, 200]);
}

#[test]
fn a_client_of_http_1_0_gets_the_response_only() {
    let site = Site::new(hinting);
    let mut client = site.connect();
    client.send("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(client.answer().text(), "late");
}

#[test]
fn a_hint_without_a_response_is_followed_by_500() {
    let site = Site::new(|exchange: Exchange| {
        exchange.reply.hint(link("</a.css>; rel=preload"));
        drop(exchange.reply);
    });
    let mut client = site.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!([client.answer().status, client.answer().status], [103, 500]);
}
