//! How much memory the process has.

/// Bytes of this process that are in memory now, shared pages included (RSS). `None` where the system does not
/// tell in this way: anywhere but on Linux.
#[must_use]
pub fn resident() -> Option<u64> {
    resident_of("self")
}

/// The same of a process in /proc.
pub(super) fn resident_of(process: &str) -> Option<u64> {
    // proc_pid_statm(5): pages, the second field is "resident".
    let pages = std::fs::read_to_string(format!("/proc/{process}/statm")).ok()?;
    let pages: u64 = pages.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// And its share of them: of a page that several processes have, each has its part (PSS). It takes the kernel about
/// a millisecond a GiB.
pub(super) fn share_of(process: &str) -> Option<u64> {
    // proc_pid_smaps(5), summed up: "Pss:    1234 kB".
    let sums = std::fs::read_to_string(format!("/proc/{process}/smaps_rollup")).ok()?;
    let line = sums.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10)
}

#[cfg(test)]
mod tests {
    #[test]
    #[cfg(target_os = "linux")]
    fn memory_is_counted_in_bytes() {
        let filled = std::hint::black_box(vec![1_u8; 8 << 20]);
        let resident = super::resident().unwrap();
        // A test process has some MiB of its own, and not a TiB.
        assert!(resident > filled.len() as u64 && resident < 1 << 40, "{resident}");
    }
}
