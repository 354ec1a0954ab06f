//! Arbitrary bytes as a file of a process: no panic, no hang, bounded memory.
//!
//! `cargo +nightly fuzz run read_segment -- -runs=10000000 -max_len=8192 -rss_limit_mb=512 -timeout=1`
//! in `crates/shm-times`.
//!
//! Half of the inputs are taken as they are. The others get a header that is in order, or nothing
//! behind it would ever be reached: their bytes are the slots, and the names behind them.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&way, data)) = data.split_first() else { return };
    if way.is_multiple_of(2) {
        let _ = shm_times::read_segment(data);
        return;
    }
    let n_slots = 8 + data.len() / 128;
    let mut file = vec![0; 1024];
    file.extend_from_slice(data);
    let whole = file.len() as u64;
    file[..8].copy_from_slice(b"PCTIMES\0");
    file[8..10].copy_from_slice(&2_u16.to_ne_bytes());
    file[12..16].copy_from_slice(&0x0102_0304_u32.to_ne_bytes());
    file[16..20].copy_from_slice(&1024_u32.to_ne_bytes());
    file[20..24].copy_from_slice(&128_u32.to_ne_bytes());
    file[24..32].copy_from_slice(&whole.to_ne_bytes());
    // Up to three slots are taken for marks, which nobody looks at here.
    let first = (8 + usize::from(way >> 3 & 3)).min(n_slots);
    file[88..96].copy_from_slice(&(128 * first as u64).to_ne_bytes());
    file[256..264].copy_from_slice(&(n_slots as u64).to_ne_bytes());
    file[264..272].copy_from_slice(&u64::MAX.to_ne_bytes());
    file[280..288].copy_from_slice(&u64::from(way >> 1 & 3).to_ne_bytes());
    // Small numbers are what slots, kinds and lanes have; as they are, they are never hit.
    for slot in 8..n_slots {
        let at = slot * 128;
        let small = |at: usize, below: u32, from: u32| {
            (u32::from(data[at - 1024]) % below + from).to_ne_bytes()
        };
        let (parent, kind, lane) =
            (small(at + 116, 40, 6), small(at + 120, 9, 0), small(at + 124, 6, 7));
        file[at + 116..at + 120].copy_from_slice(&parent);
        file[at + 120..at + 124].copy_from_slice(&kind);
        file[at + 124..at + 128].copy_from_slice(&lane);
        if kind == 8_u32.to_ne_bytes() {
            let first = small(at + 112, 5, 0)[0];
            file[at + 112..at + 116].copy_from_slice(&(12 * u32::from(first)).to_ne_bytes());
        }
        let from = small(at + 52, 40, 6);
        file[at + 52..at + 56].copy_from_slice(&from);
        let into = small(at + 48, 40, 6);
        file[at + 40..at + 44].copy_from_slice(&into);
    }
    let (lanes, _) = shm_times::read_segment(&file).expect("its header is in order");
    for lane in lanes {
        assert!(lane.times.total.is_finite() && lane.times.stamps_sum.is_finite());
        assert!(!lane.thread.chars().any(char::is_control));
        for one in &lane.histograms {
            assert!(one.count() > 0 && one.quantile_s(0.5).is_none_or(f64::is_finite));
        }
    }
});
