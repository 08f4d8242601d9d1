#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    chaussette_fuzz::proxies::check(input);
});
