//! The command line: what words give which settings, and what is said of mistakes.

use std::ffi::OsString;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use chaussette::cli::{ExitStatus, Form, Outcome, Question, main, parse};
use chaussette::config::{
    Access, AccessFormat, AccessOutput, Address, AppForm, Backend, Bounds, Config, ControlAddress, Family,
    ForwardedHeader, ForwardedHeaders, Given, Heartbeat, Hooks, Isolation, Life, Limits, Lives, LogLevel,
    LogOutput, Logs, Manager, Patching, Preload, ProcessPool, Proxies, ProxyProtocol, Reload, Report, Statsd,
    StatsdAddress, Timeouts, Trusted, Unbelieved, Workers,
};

fn argv(words: &str) -> Vec<OsString> {
    std::iter::once("/venv/bin/chaussette").chain(words.split_whitespace()).map(OsString::from).collect()
}

/// The settings that the words give in an empty environment.
fn config(words: &str) -> Config {
    parse(argv(words), &|_| None).unwrap_or_else(|outcome| panic!("{words}: {outcome:?}"))
}

fn sockets(words: &str) -> Vec<Address> {
    config(words).sockets
}

/// What is said of words that are a mistake.
fn mistake(words: Vec<OsString>, env: &dyn Fn(&str) -> Option<OsString>) -> String {
    match parse(words, env) {
        Err(Outcome::Usage(line)) => line,
        other => panic!("taken: {other:?}"),
    }
}

fn tcp(host: &str, port: u16) -> Address {
    Address::Tcp { host: host.to_owned(), port, family: Family::Any }
}

/// An environment as systemd makes it, with two sockets for the process `pid`.
fn two_sockets_for(pid: u32) -> impl Fn(&str) -> Option<OsString> {
    move |name| match name {
        "LISTEN_PID" => Some(pid.to_string().into()),
        "LISTEN_FDS" => Some("2".into()),
        _ => None,
    }
}

#[test]
fn no_words_give_the_defaults() {
    let two = NonZeroUsize::new(2).unwrap();
    let expected = Config {
        argv0: "/venv/bin/chaussette".to_owned(),
        application: "chaussette.util.hello_app".to_owned(),
        arguments: Vec::new(),
        form: AppForm::Application,
        python_path: Vec::new(),
        sockets: vec![tcp("localhost", 8080)],
        backlog: 2048,
        backend: Backend::default(),
        workers: Workers {
            interpreters: std::thread::available_parallelism().unwrap(),
            threads: NonZeroUsize::MIN,
            isolation: Isolation::Auto,
            preload: Preload::Zygote,
            queue: 1024,
            bounds: Bounds {
                least: NonZeroUsize::MIN,
                most: std::thread::available_parallelism().unwrap().saturating_mul(two),
            },
        },
        timeouts: Timeouts {
            request: None,
            grace: Duration::from_secs(5),
            queue: Some(Duration::from_secs(60)),
            most_stuck: None,
        },
        process_pool: None,
        life: Life { graceful_timeout: Duration::from_secs(25) },
        lives: Lives::default(),
        limits: Limits {
            max_body: Some(1 << 30),
            max_header_size: 32 * 1024,
            max_headers: 100,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(60),
            min_rate: NonZeroU32::new(240),
            keep_alive: Duration::from_secs(75),
            drain_idle: Duration::ZERO,
        },
        proxies: Proxies {
            trusted: Trusted { networks: Vec::new(), unix: false, every_peer: false },
            headers: ForwardedHeaders(ForwardedHeader::ALL.to_vec()),
            unbelieved: Unbelieved::Kept,
            protocol: ProxyProtocol::Off,
        },
        control: None,
        probes: None,
        access: None,
        statsd: None,
        logs: Logs { level: LogLevel::Info, output: LogOutput::Stderr },
        hooks: Hooks::default(),
        reload: None,
        check: None,
        resumed: Vec::new(),
        manager: Manager::default(),
        notices: Vec::new(),
    };
    assert_eq!(config(""), expected);
}

#[test]
fn each_option_sets_its_setting() {
    let words = "--host ::1 --port 0 --backlog 5 --interpreters 3 --threads 4 --isolation own-gil --factory --process-for /report --process-for /a%20b/ --processes 2 \
        --queue 7 --graceful-timeout 0.5 --timeout 30 --timeout-grace 0.5 --queue-timeout 0 --max-stuck 3 --min-interpreters 2 --max-interpreters 5 --max-requests 100 \
        --max-requests-jitter 7 --max-lifetime 3600 --spare --warmup http://example.org/health --max-growth 256 --max-body 0 --max-header-size 8192 --max-headers 9 \
        --header-timeout 1 --body-timeout 2 --min-rate 0 --keep-alive 0 --drain-idle 5 --forwarded-allow-ips 10.1.2.3/8,unix \
        --forwarded-headers X-Forwarded-For,x-forwarded-proto --clear-untrusted-proxy-headers --proxy-protocol v2 \
        --control unix:/c --heartbeat udp://127.0.0.1:1664 --heartbeat-interval 2 --log-level debug --log-output /log --access-log - --access-log-format json --statsd [::1] --statsd-prefix a.b \
        --python-path /a::/b --pre-hook app.pre --post-hook app:post --socket-type SOCK_STREAM pkg:app one -- --two";
    let expected = Config {
        argv0: "/venv/bin/chaussette".to_owned(),
        application: "pkg:app".to_owned(),
        arguments: vec!["one".to_owned(), "--two".to_owned()],
        form: AppForm::Factory,
        python_path: vec![PathBuf::from("/a"), PathBuf::from("/b")],
        sockets: vec![tcp("::1", 0)],
        backlog: 5,
        backend: Backend::default(),
        workers: Workers {
            interpreters: NonZeroUsize::new(3).unwrap(),
            threads: NonZeroUsize::new(4).unwrap(),
            isolation: Isolation::OwnGil,
            preload: Preload::Zygote,
            queue: 7,
            bounds: Bounds { least: NonZeroUsize::new(2).unwrap(), most: NonZeroUsize::new(5).unwrap() },
        },
        timeouts: Timeouts {
            request: Some(Duration::from_secs(30)),
            grace: Duration::from_millis(500),
            queue: None,
            most_stuck: NonZeroUsize::new(3),
        },
        process_pool: Some(ProcessPool {
            prefixes: vec!["/report".parse().unwrap(), "/a%20b/".parse().unwrap()],
            processes: NonZeroUsize::new(2).unwrap(),
            bounds: Bounds { least: NonZeroUsize::MIN, most: NonZeroUsize::new(4).unwrap() },
        }),
        life: Life { graceful_timeout: Duration::from_millis(500) },
        lives: Lives {
            max_requests: NonZeroU64::new(100),
            max_requests_jitter: 7,
            max_lifetime: Some(Duration::from_secs(3600)),
            max_lifetime_jitter: Duration::from_secs(360),
            spares: 1,
            warmup: Some("http://example.org/health".parse().unwrap()),
            max_growth: NonZeroU64::new(256 << 20),
        },
        limits: Limits {
            max_body: None,
            max_header_size: 8192,
            max_headers: 9,
            header_timeout: Duration::from_secs(1),
            body_timeout: Duration::from_secs(2),
            min_rate: None,
            keep_alive: Duration::ZERO,
            drain_idle: Duration::from_secs(5),
        },
        proxies: Proxies {
            trusted: "10.0.0.0/8,unix".parse().unwrap(),
            headers: ForwardedHeaders(vec![ForwardedHeader::For, ForwardedHeader::Proto]),
            unbelieved: Unbelieved::Removed,
            protocol: ProxyProtocol::V2,
        },
        control: Some(ControlAddress::Unix("/c".into())),
        probes: None,
        access: Some(Access { output: AccessOutput::Stdout, format: AccessFormat::json() }),
        statsd: Some(Statsd {
            address: StatsdAddress::Udp("::1".to_owned(), 8125),
            prefix: "a.b".parse().unwrap(),
        }),
        logs: Logs { level: LogLevel::Debug, output: LogOutput::File("/log".into()) },
        hooks: Hooks { pre: Some("app.pre".to_owned()), post: Some("app:post".to_owned()) },
        reload: None,
        check: None,
        resumed: Vec::new(),
        manager: Manager {
            heartbeat: Some(Heartbeat {
                to: "127.0.0.1:1664".parse().unwrap(),
                interval: Duration::from_secs(2),
            }),
            ..Manager::default()
        },
        notices: Vec::new(),
    };
    assert_eq!(config(words), expected);
}

#[test]
fn sockets_are_those_that_the_command_line_names() {
    let unix = |path: &str| Address::Unix(path.into());
    let v6 = Address::Tcp { host: "localhost".to_owned(), port: 8080, family: Family::V6 };
    let v4 = Address::Tcp { host: "localhost".to_owned(), port: 8080, family: Family::V4 };
    let table = [
        ("--port 99", vec![tcp("localhost", 99)]),
        ("--host [::1]", vec![tcp("::1", 8080)]),
        ("--host unix:/a --port 7", vec![unix("/a")]),
        ("--host unix:/a --address-family AF_UNIX", vec![unix("/a")]),
        ("--host fd://4", vec![Address::Fd(4)]),
        ("--fd 0", vec![Address::Fd(0)]),
        // 1.3's default, which meant none.
        ("--fd -1 --host a", vec![tcp("a", 8080)]),
        // 1.3 ignored the port and crashed on the family.
        ("--fd 5 --port 80 --backlog 9 --address-family AF_UNIX", vec![Address::Fd(5)]),
        ("--fd 5 --bind fd://6 --bind unix:b", vec![Address::Fd(5), Address::Fd(6), unix("b")]),
        ("--bind [::1]:80 --bind a:0 --bind a:0", vec![tcp("::1", 80), tcp("a", 0), tcp("a", 0)]),
        ("--address-family AF_INET6", vec![v6]),
        ("--address-family AF_INET", vec![v4]),
        // As argparse: the last one wins.
        ("--fd 5 --fd 6", vec![Address::Fd(6)]),
    ];
    for (words, expected) in table {
        assert_eq!(sockets(words), expected, "{words}");
    }
}

#[test]
fn an_address_is_written_as_1_3_wrote_it() {
    let table = [
        (tcp("localhost", 8080), "localhost:8080"),
        (tcp("::1", 8080), "::1:8080"),
        (Address::Fd(3), "fd://3"),
        (Address::Inherited(3), "fd://3"),
        (Address::Unix("/tmp/x.sock".into()), "unix:/tmp/x.sock"),
    ];
    for (address, expected) in table {
        assert_eq!(address.to_string(), expected);
    }
}

#[test]
fn log_levels_are_read_in_any_case() {
    for (word, level) in
        [("CRITICAL", LogLevel::Critical), ("Warning", LogLevel::Warning), ("error", LogLevel::Error)]
    {
        assert_eq!(config(&format!("--log-level {word}")).logs.level, level);
    }
}

#[test]
fn the_sockets_of_listen_fds_are_served_if_none_is_named() {
    let env = two_sockets_for(std::process::id());
    for words in ["", "--fd -1 --backlog 3"] {
        let config = parse(argv(words), &env).unwrap();
        assert_eq!(config.sockets, [Address::Inherited(3), Address::Inherited(4)]);
        assert_eq!(config.notices, [""; 0]);
    }
}

#[test]
fn listen_fds_of_another_process_is_not_for_us() {
    let env = two_sockets_for(std::process::id() + 1);
    assert_eq!(parse(argv(""), &env).unwrap().sockets, [tcp("localhost", 8080)]);
}

#[test]
fn a_named_socket_wins_over_listen_fds_with_one_notice() {
    let env = two_sockets_for(std::process::id());
    for (words, unused) in [("--port 80", "[3, 4]"), ("--bind a:1", "[3, 4]"), ("--fd 3", "[4]")] {
        let notices = parse(argv(words), &env).unwrap().notices;
        assert_eq!(notices.len(), 1, "{words}");
        assert!(
            notices[0].contains(&format!("descriptors {unused} of LISTEN_FDS are not served")),
            "{notices:?}"
        );
    }
    assert_eq!(parse(argv("--fd 3 --bind fd://4"), &env).unwrap().notices, [""; 0]);
}

#[test]
fn an_empty_list_of_proxies_is_nobody() {
    assert_eq!(config("--forwarded-allow-ips=").proxies, Proxies::default());
    let said = config("--forwarded-headers forwarded").notices;
    assert_eq!(said, ["--forwarded-headers has no effect without --forwarded-allow-ips"]);
}

#[test]
fn the_control_socket_is_for_this_machine_only() {
    let loopback = |text: &str| ControlAddress::Loopback(text.parse().unwrap());
    let table = [
        ("unix:/run/c", ControlAddress::Unix("/run/c".into())),
        ("127.0.0.1:0", loopback("127.0.0.1:0")),
        ("127.9.9.9:90", loopback("127.9.9.9:90")),
        ("[::1]:90", loopback("[::1]:90")),
        ("LocalHost:90", loopback("127.0.0.1:90")),
    ];
    for (word, expected) in table {
        assert_eq!(config(&format!("--control {word}")).control, Some(expected), "{word}");
    }
}

#[test]
fn a_check_knows_the_options_that_were_named() {
    let words = "--check --json --check-timeout 5 --factory --bind 127.0.0.1:1 --bind [::1]:2";
    let check = config(words).check.unwrap_or_else(|| panic!("no check"));
    assert_eq!((check.report, check.timeout), (Report::Json, Duration::from_secs(5)));
    let given = |name: &str, values: &[&str]| Given {
        name: name.to_owned(),
        values: values.iter().map(|&value| value.to_owned()).collect(),
    };
    let named = [given("factory", &[]), given("bind", &["127.0.0.1:1", "[::1]:2"])];
    assert!(named.iter().all(|one| check.given.contains(one)), "{:?}", check.given);
    assert_eq!(check.given.len(), 5);
}

#[test]
fn a_check_reports_as_text_within_a_minute_unless_it_is_told_otherwise() {
    let check = config("--check").check.map(|check| (check.report, check.timeout));
    assert_eq!(check, Some((Report::Text, Duration::from_secs(60))));
}

#[test]
fn probes_are_for_other_machines_too() {
    for (word, told) in
        [("0.0.0.0:8081", "0.0.0.0:8081"), ("[::]:0", "[::]:0"), ("web.example:1", "web.example:1")]
    {
        assert_eq!(config(&format!("--probes {word}")).probes.unwrap().to_string(), told);
    }
    assert_eq!(config("").probes, None);
}

#[test]
fn a_census_is_a_question_to_another_process() {
    let address = ControlAddress::Unix("/c".into());
    for (words, form) in [("", Form::Table), (" --json", Form::Json)] {
        let asked = parse(argv(&format!("--control unix:/c --census{words}")), &|_| None);
        assert_eq!(asked, Err(Outcome::Ask(Question { address: address.clone(), form })));
    }
}

#[test]
fn a_census_of_a_server_that_is_not_there_is_an_error() {
    let never = |_: Config| -> ExitStatus { panic!("served") };
    let nowhere = std::env::temp_dir().join(format!("chaussette-nobody-{}", std::process::id()));
    let words = format!("--control unix:{} --census", nowhere.display());
    assert_eq!(main(argv(&words), String::new, never), ExitStatus::Socket.code());
}

#[test]
fn a_mistake_is_told_in_one_line_with_option_value_and_cure() {
    let places = "use unix:/path, 127.0.0.1:PORT, [::1]:PORT or localhost:PORT";
    let circus =
        "Circus did not replace it: the watcher needs use_sockets = True, and there must be a [socket:web]";
    let table = [
        ("--nope", "--nope: unknown option: see chaussette --help".to_owned()),
        ("--por 3", "--por: unknown option: did you mean --port?".to_owned()),
        ("-x", "-x: unknown option: see chaussette --help".to_owned()),
        (
            "--process-for report",
            "--process-for report: not a path: begin with a slash, as in /report".to_owned(),
        ),
        (
            "--process-for=",
            "--process-for '': empty: write the beginning of a path, /report".to_owned(),
        ),
        (
            "--process-for /report?x",
            "--process-for /report?x: a path has no query and no fragment: leave out what begins with ? or #".to_owned(),
        ),
        (
            "--process-for /",
            "--process-for /: every path lies under it: use --isolation process instead".to_owned(),
        ),
        (
            "--process-for /report --isolation process",
            "--process-for /report: with --isolation process every request goes to a process: leave one of them out"
                .to_owned(),
        ),
        (
            "--processes 2",
            "--processes 2: goes with --process-for only: with --isolation process it is --interpreters that says \
             how many"
                .to_owned(),
        ),
        (
            "--process-for /report --processes 0",
            "--processes 0: not a number of processes: use 1 to 1024".to_owned(),
        ),
        ("--port", "--port: needs a value".to_owned()),
        ("--port 65536", "--port 65536: not a TCP port: use 0 to 65535, 0 for any free one".to_owned()),
        ("--port -1", "--port -1: not a TCP port: use 0 to 65535, 0 for any free one".to_owned()),
        (
            "--fd web",
            "--fd web: not a descriptor: use the number of an inherited listening socket".to_owned(),
        ),
        ("--fd -2", "--fd -2: not a descriptor: use the number of an inherited listening socket".to_owned()),
        (
            "--fd=",
            "--fd '': no number: with Circus write $(circus.sockets.NAME), and leave out shell = True"
                .to_owned(),
        ),
        ("--fd $(circus.sockets.web)", format!("--fd $(circus.sockets.web): {circus}")),
        ("--fd ((circus.sockets.web))", format!("--fd ((circus.sockets.web)): {circus}")),
        ("--bind fd://$(circus.sockets.web)", format!("--bind fd://$(circus.sockets.web): {circus}")),
        ("--host $(CIRCUS.SOCKETS.WEB)", format!("--host $(CIRCUS.SOCKETS.WEB): {circus}")),
        ("--host=", "--host '': no host: write 0.0.0.0 for every interface".to_owned()),
        ("--host unix:", "--host unix:: no path: write unix:/path/to/socket".to_owned()),
        ("--bind unix:", "--bind unix:: no path: write unix:/path/to/socket".to_owned()),
        ("--bind :80", "--bind :80: no host: write 0.0.0.0 for every interface".to_owned()),
        ("--bind ::1:80", "--bind ::1:80: an IPv6 address stands in brackets: write [::1]:port".to_owned()),
        ("--bind http://a:1", "--bind http://a:1: write host:port without a scheme".to_owned()),
        ("--bind fd://x", "--bind fd://x: no descriptor number: write fd://3".to_owned()),
        ("--bind a", "--bind a: no port: write host:port, [::1]:port, unix:/path or fd://N".to_owned()),
        (
            "--bind a:70000",
            "--bind a:70000: \"70000\" is not a TCP port: use 0 (any free one) to 65535".to_owned(),
        ),
        ("--bind a:+1", "--bind a:+1: \"+1\" is not a TCP port: use 0 (any free one) to 65535".to_owned()),
        ("--bind [::1:1", "--bind [::1:1: not a host name or address".to_owned()),
        ("--bind a:1 --bind a:1", "a:1 is named twice (--fd, --bind): leave one out".to_owned()),
        ("--fd 3 --bind fd://3", "fd://3 is named twice (--fd, --bind): leave one out".to_owned()),
        ("--fd 3 --host a", "--host a and --fd 3 exclude each other: leave one out".to_owned()),
        (
            "--bind a:1 --port 3",
            "--port 3 and --bind exclude each other: write --bind HOST:PORT for each socket".to_owned(),
        ),
        (
            "--bind a:1 --host b",
            "--host b and --bind exclude each other: write --bind HOST:PORT for each socket".to_owned(),
        ),
        ("--backlog 0", "--backlog 0: not a number of connections: use 1 to 65535".to_owned()),
        (
            "--address-family AF_UNIX",
            "--address-family AF_UNIX does not go with localhost:8080: write --host unix:/path".to_owned(),
        ),
        ("--address-family IPv4", "--address-family IPv4: use one of AF_INET, AF_INET6, AF_UNIX".to_owned()),
        (
            "--socket-type SOCK_DGRAM",
            "--socket-type SOCK_DGRAM: HTTP needs a byte stream: use SOCK_STREAM, or leave the option out"
                .to_owned(),
        ),
        (
            "--interpreters 0",
            "--interpreters 0: not a number of interpreters: use 1 to 1024, or auto".to_owned(),
        ),
        (
            "--interpreters -1",
            "--interpreters -1: not a number of interpreters: use 1 to 1024, or auto".to_owned(),
        ),
        (
            "--interpreters 2000",
            "--interpreters 2000: not a number of interpreters: use 1 to 1024, or auto".to_owned(),
        ),
        ("--threads 0", "--threads 0: not a number of threads: use 1 to 1024".to_owned()),
        ("--threads 1.5", "--threads 1.5: not a number of threads: use 1 to 1024".to_owned()),
        ("--isolation none", "--isolation none: use one of auto, own-gil, free-threaded, process, main".to_owned()),
        ("--queue 0", "--queue 0: not a number of waiting requests: use 1 to 1000000".to_owned()),
        (
            "--graceful-timeout -1",
            "--graceful-timeout -1: not a number of seconds: use 25 or 0.5, say".to_owned(),
        ),
        ("--keep-alive nan", "--keep-alive nan: not a number of seconds: use 25 or 0.5, say".to_owned()),
        ("--keep-alive 1e300", "--keep-alive 1e300: not a number of seconds: use 25 or 0.5, say".to_owned()),
        (
            "--header-timeout 0",
            "--header-timeout 0: would end every request: use more than 0 seconds".to_owned(),
        ),
        ("--body-timeout 0", "--body-timeout 0: would end every request: use more than 0 seconds".to_owned()),
        ("--max-body 1M", "--max-body 1M: not a number of bytes: use digits only, 0 for no limit".to_owned()),
        (
            "--max-header-size 100",
            "--max-header-size 100: not a number of bytes: use 8192 to 16777216".to_owned(),
        ),
        (
            "--interpreters 2 --min-interpreters 3",
            "--min-interpreters 3: there are 2 at the start: use --interpreters 3, or fewer here".to_owned(),
        ),
        (
            "--interpreters 2 --max-interpreters 1",
            "--max-interpreters 1: there are 2 at the start: use --interpreters 1, or more here".to_owned(),
        ),
        (
            "--max-requests-jitter 1",
            "--max-requests-jitter goes with --max-requests only".to_owned(),
        ),
        (
            "--max-lifetime-jitter 1",
            "--max-lifetime-jitter goes with --max-lifetime only".to_owned(),
        ),
        ("--max-requests x", "--max-requests x: not a number of requests: use digits only, 0 for never".to_owned()),
        (
            "--warmup health",
            "--warmup health: not a path or an http URL: use /health, or http://example.org/health".to_owned(),
        ),
        ("--max-headers 0", "--max-headers 0: not a number of header fields: use 1 to 10000".to_owned()),
        (
            "--forwarded-allow-ips 10.0.0.0/8,localhost",
            "--forwarded-allow-ips 10.0.0.0/8,localhost: \"localhost\" is no address or network: use 10.0.0.1, \
             10.0.0.0/8, 2001:db8::/32, unix or *, and commas between"
                .to_owned(),
        ),
        (
            "--forwarded-headers x-real-ip",
            "--forwarded-headers x-real-ip: \"x-real-ip\" is none of x-forwarded-for, -proto, -host, -port, -prefix \
             and forwarded: name some, with commas between"
                .to_owned(),
        ),
        ("--proxy-protocol v3", "--proxy-protocol v3: use one of off, auto, v1, v2".to_owned()),
        (
            "--proxy-protocol auto",
            "--proxy-protocol goes with --forwarded-allow-ips only: name there the proxies that send the header"
                .to_owned(),
        ),
        (
            "--control 0.0.0.0:90",
            format!(
                "--control 0.0.0.0:90: no loopback address, and who reaches it may read requests and stop the \
                 server: {places}"
            ),
        ),
        (
            "--control example.org:90",
            format!(
                "--control example.org:90: no loopback address, and who reaches it may read requests and stop the \
                 server: {places}"
            ),
        ),
        ("--probes 8081", "--probes 8081: no port: use 0.0.0.0:PORT, [::]:PORT or HOST:PORT".to_owned()),
        (
            "--probes unix:/p",
            "--probes unix:/p: probes come over TCP: use 0.0.0.0:PORT, [::]:PORT or HOST:PORT".to_owned(),
        ),
        ("--control fd://3", format!("--control fd://3: the control socket is never an inherited one: {places}")),
        ("--control 9000", format!("--control 9000: no port: {places}")),
        ("--control unix:", format!("--control unix:: no path: {places}")),
        (
            "--heartbeat 127.0.0.1:1664",
            "--heartbeat 127.0.0.1:1664: no address of Circus's watchdog: use udp://127.0.0.1:1664, say".to_owned(),
        ),
        (
            "--heartbeat udp://localhost:0",
            "--heartbeat udp://localhost:0: no address of Circus's watchdog: use udp://127.0.0.1:1664, say".to_owned(),
        ),
        ("--heartbeat-interval 0", "--heartbeat-interval 0: would never pause: use 20, say".to_owned()),
        ("--census", "--census asks a server that runs: add --control ADDR, as it was given".to_owned()),
        (
            "--control [::1]:0 --census",
            "--control [::1]:0: nobody listens on port 0: use the port that the server's log names".to_owned(),
        ),
        ("--check-timeout 5", "--check-timeout goes with --check only: leave it out".to_owned()),
        (
            "--check --check-timeout 0",
            "--check-timeout 0: nothing loads in no time: use more than 0 seconds".to_owned(),
        ),
        (
            "--check --control unix:/c --census",
            "--check looks at an application, --census at a server that runs: leave one out".to_owned(),
        ),
        (
            "--check --backend wsgiref",
            "--check is about --backend interpreters: leave --backend wsgiref out".to_owned(),
        ),
        ("--control [::1]:9 --json", "--json goes with --census or --check only: leave it out".to_owned()),
        ("--log-level loud", "--log-level loud: use one of critical, error, warning, info, debug".to_owned()),
        ("--log-output=", "--log-output '': empty: name a file, or - for standard error".to_owned()),
        ("--access-log=", "--access-log '': empty: name a file, or - for standard output".to_owned()),
        (
            "--access-log-format clf",
            "--access-log-format clf: use one of common, combined, timed, json, or directives as in '%h %t \"%r\" %>s %D'"
                .to_owned(),
        ),
        ("--pre-hook=", "--pre-hook '': empty: name a Python object, pkg.mod:attr".to_owned()),
    ];
    for (words, expected) in table {
        assert_eq!(mistake(argv(words), &|_| None), format!("chaussette: error: {expected}"), "{words}");
    }
}

#[test]
fn there_are_as_many_processes_as_interpreters_unless_told_otherwise() {
    let pool = config("--interpreters 3 --process-for /report").process_pool.unwrap();
    assert_eq!((pool.processes.get(), pool.bounds.most.get()), (3, 6));
}

#[test]
fn a_mistake_stays_one_line_when_the_word_has_two() {
    let words = ["chaussette", "--port", "80\n81"].map(OsString::from).to_vec();
    let line = mistake(words, &|_| None);
    assert!(line.starts_with(r"chaussette: error: --port 80\n81: not a TCP port"), "{line}");
    assert_eq!(line.lines().count(), 1);
}

#[test]
fn a_listen_fds_that_is_no_number_is_a_mistake() {
    let env = |name: &str| match name {
        "LISTEN_PID" => Some(std::process::id().to_string().into()),
        "LISTEN_FDS" => Some("two".into()),
        _ => None,
    };
    let expected = "chaussette: error: LISTEN_FDS=two: not a number of sockets: unset it or LISTEN_PID";
    assert_eq!(mistake(argv(""), &env), expected);
}

#[test]
fn help_groups_the_options_and_tells_their_defaults() {
    let Err(Outcome::Text(help)) = parse(argv("--help"), &|_| None) else { panic!("no help") };
    let headings: Vec<_> =
        help.lines().filter(|line| line.ends_with(':') && !line.starts_with(' ')).collect();
    let expected = [
        "Arguments:",
        "Options:",
        "Sockets:",
        "Backend:",
        "Workers:",
        "Life:",
        "Timeouts:",
        "Limits:",
        "Proxies:",
        "Control:",
        "Before a deploy:",
        "Logs:",
        "Development:",
        "From Chaussette 1.3:",
    ];
    assert_eq!(headings, expected);
    // Wrapped to the terminal's width, where there is one.
    let words = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for default in
        ["chaussette.util.hello_app", "localhost", "8080", "2048", "auto", "25", "1073741824", "info"]
    {
        assert!(words.contains(&format!("[default: {default}]")), "{default}");
    }
}

#[test]
fn version_has_two_names() {
    for words in ["--version", "-V"] {
        assert_eq!(parse(argv(words), &|_| None), Err(Outcome::Version));
    }
}

#[test]
fn the_exit_status_is_that_of_the_run_or_2_for_a_mistake() {
    let never = |_: Config| -> ExitStatus { panic!("ran") };
    assert_eq!(main(argv("--threads 0"), String::new, never), 2);
    assert_eq!(main(argv("--version"), String::new, never), 0);
    let table = [
        (ExitStatus::Stopped, 0),
        (ExitStatus::Internal, 1),
        (ExitStatus::Failing, 3),
        (ExitStatus::Load, 4),
        (ExitStatus::Socket, 5),
        (ExitStatus::Stuck, 70),
    ];
    for (status, code) in table {
        assert_eq!(main(argv("--threads 2"), String::new, |_| status), code);
    }
}

#[test]
fn reload_has_two_names_and_patterns() {
    assert_eq!(config("").reload, None);
    for name in ["--reload", "--use-reloader"] {
        assert_eq!(config(name).reload, Some(Reload::default()));
    }
    let config = config("--reload --reload-include *.html --reload-include conf/**/*.[ty]*ml");
    let include: Vec<_> = config.reload.unwrap().include.iter().map(|glob| glob.glob().to_owned()).collect();
    assert_eq!(include, ["*.html", "conf/**/*.[ty]*ml"]);
}

#[test]
fn sockets_are_resumed_by_the_process_that_had_them_alone() {
    let resumed = |value: String| {
        let env = move |name: &str| (name == "CHAUSSETTE_KEPT").then(|| value.clone().into());
        parse(vec!["chaussette".into()], &env).unwrap().resumed
    };
    assert_eq!(resumed(format!("{},7,-,9", std::process::id())), [Some(7), None, Some(9)]);
    assert_eq!(resumed("1,7".to_owned()), []);
    assert_eq!(resumed(String::new()), []);
}

#[test]
fn another_backend_is_told_which_options_were_named() {
    let config = config("--backend Gevent --spawn 3 --no-monkey --threads 2 pkg:app");
    let named = ["backend", "spawn", "no-monkey", "threads"].map(str::to_owned).to_vec();
    let expected =
        Backend { name: "gevent".to_owned(), spawn: Some(3), patching: Patching::LeftAlone, named };
    assert_eq!(config.backend.named.len(), expected.named.len());
    assert!(expected.named.iter().all(|name| config.backend.named.contains(name)), "{config:?}");
    assert_eq!(Backend { named: expected.named.clone(), ..config.backend }, expected);
    assert_eq!(config.notices, Vec::<String>::new());
}

#[test]
fn our_own_backend_says_that_greenlets_are_not_for_it() {
    let config = config("--backend interpreters --spawn 3 --no-monkey");
    assert_eq!(
        config.backend,
        Backend { spawn: Some(3), patching: Patching::LeftAlone, ..Backend::default() }
    );
    assert_eq!(config.notices.len(), 2, "{:?}", config.notices);
    assert!(config.notices.iter().all(|notice| notice.contains("has no effect with --backend interpreters")));
}
