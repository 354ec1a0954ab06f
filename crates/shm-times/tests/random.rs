//! Any bytes at all: no panic, no hang.

mod common;

use common::{Scratch, root_of, stamped};
use gtimer_core::publish::{NodeKind, Position};
use proptest::prelude::*;
use shm_times::{publish_histograms_in, read_segment};

/// The first file of a process with timers, threads that ended, and a merge that goes on.
fn valid() -> Vec<u8> {
    let scratch = Scratch::new();
    let (mut publisher, root) =
        root_of(publish_histograms_in(&scratch.0).expect("as every session"));
    for i in 0..4 {
        let stamp = publisher
            .add(NodeKind::Stamp, &format!("s{i}"), Some(root.node))
            .expect("as every session");
        stamped(&stamp, 3);
        publisher.histogram(stamp.node).expect("as every session");
        for _ in 0..2 {
            let sub = publisher
                .add(NodeKind::Subdivision, "sub", Some(root.node))
                .expect("as every session");
            stamped(
                &publisher.add(NodeKind::Stamp, "in", Some(sub.node)).expect("as every session"),
                1,
            );
            publisher.set_position(sub.node, Position::Stamp(stamp.node));
            publisher.begin_merge(sub.node, root.node);
        }
    }
    let ended = publisher.forked().expect("as every session");
    drop(root_of(ended));
    let file = std::fs::read_dir(scratch.0.dir())
        .expect("as every session")
        .next()
        .expect("as every session")
        .expect("as every session")
        .path();
    std::fs::read(file).expect("as every session")
}

/// A step of damage: where in the used part, and what is put there.
fn damage() -> impl Strategy<Value = Vec<(usize, u64)>> {
    let value = prop_oneof![
        0_u64..64,
        any::<u64>(),
        Just(u64::MAX),
        (0_u64..80, 0_u64..80).prop_map(|(a, b)| a << 32 | b),
    ];
    // The words of the header that change, where the slots begin, and the slots.
    let at = prop_oneof![8 => 32_usize..39, 1 => 11_usize..12, 9 => 608_usize..1700];
    prop::collection::vec((at, value), 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..9000)) {
        prop_assert!(read_segment(&bytes).is_err());
    }
}

#[test]
fn a_damaged_file_is_read_as_far_as_it_goes() {
    let valid = valid();
    let config =
        ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(damage in damage())| {
        let mut bytes = valid.clone();
        for (at, value) in damage {
            bytes[8 * at..8 * at + 8].copy_from_slice(&value.to_ne_bytes());
        }
        let Ok((lanes, _)) = read_segment(&bytes) else {
            // Only where there are no slots in that place.
            prop_assert_ne!(&bytes[88..96], &valid[88..96]);
            return Ok(());
        };
        // What comes out can be shown and saved: no number of it is infinite.
        for lane in lanes {
            prop_assert!(lane.times.total.is_finite() && lane.times.self_agg.is_finite());
            let counts = lane.histograms.iter().map(|one| (one.count(), one.path.len() % 2));
            prop_assert!(counts.into_iter().all(|(n, odd)| n > 0 && odd == 0));
        }
    });
}
