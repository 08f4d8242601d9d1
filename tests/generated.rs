//! Generated requests and responses.

#[path = "fuzz/src/lib.rs"]
mod fuzz;

#[test]
fn smoke() {
    for (stream, good) in [
        (&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], 1),
        (b"POST /a%20b?c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET http://y?z HTTP/1.0\r\n\r\n", 2),
    ] {
        for seed in 0..10 {
            assert_eq!(fuzz::request::check_stream(stream, seed), good);
            assert_eq!(fuzz::connection::check_stream(stream, seed), good);
        }
    }
}

#[test]
fn replies() {
    use proptest::prelude::*;
    use proptest::strategy::ValueTree;
    use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
    let mut runner =
        TestRunner::new_with_rng(Config::default(), TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let strategy = proptest::collection::vec(any::<u8>(), 0..400);
    let mut answers = 0;
    for _ in 0..3000 {
        answers += fuzz::reply::check(&strategy.new_tree(&mut runner).unwrap().current());
    }
    println!("{answers} answers");
}
