//! Times in files: round trips, and that nothing hostile does harm.

#![cfg(feature = "save")]

mod common;

use std::fs;

use gtimer_core::{
    MAX_DEPTH, StampTimes, Times, TimesDataError, TimesFileError, TimesFormat, load_times,
    save_times, times_from_bytes, times_to_bytes,
};
use proptest::collection::vec;
use proptest::prelude::*;

use common::{cases, chain, trees};

const FORMATS: [TimesFormat; 2] = [TimesFormat::Binary, TimesFormat::Json];

fn sample() -> Vec<Times> {
    use proptest::strategy::ValueTree as _;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let tree = |runner: &mut _| trees().new_tree(runner).expect("has values").current();
    // Some trees are bare: the fullest of many is taken.
    let size = |times: &Times| format!("{times:?}").len();
    let many = (0..64).map(|_| tree(&mut runner)).filter(|times| size(times) < 6000);
    let largest = many.max_by_key(size).expect("there are some");
    assert!(largest.depth() > 2, "{largest:?}");
    vec![largest, chain(3)]
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn what_is_saved_is_loaded(all in vec(trees(), 0..3)) {
        for format in FORMATS {
            let bytes = times_to_bytes(&all, format).unwrap();
            prop_assert_eq!(&times_from_bytes(&bytes).unwrap(), &all);
        }
    }

    #[test]
    fn numbers_come_back_to_the_bit(
        total in any::<f64>().prop_filter("is finite", |value| value.is_finite()),
        itrs in vec(0.0..1e6, 1..20),
    ) {
        let stamp = StampTimes { itrs: Some(itrs), itr_num: u64::MAX, ..StampTimes::default() };
        let times = Times { total, stamps: vec![stamp], ..Times::default() };
        for format in FORMATS {
            let bytes = times_to_bytes(std::slice::from_ref(&times), format).unwrap();
            let again = &times_from_bytes(&bytes).unwrap()[0];
            prop_assert_eq!(again.total.to_bits(), times.total.to_bits());
            prop_assert_eq!(again, &times);
        }
    }

    #[test]
    fn any_bytes_are_refused_or_loaded(bytes in vec(any::<u8>(), 0..400)) {
        let _ = times_from_bytes(&bytes);
    }

    /// A header that fits hides nothing: the payload is looked at, whatever it promises.
    #[test]
    fn any_payload_with_a_right_checksum_is_refused_or_loaded(
        count in any::<u64>(),
        payload in vec(prop_oneof![any::<u8>(), Just(0), Just(1), Just(0xff)], 0..400),
    ) {
        let _ = times_from_bytes(&with_header(1, 1, count, &payload));
        let _ = times_from_bytes(&with_header(1, 1, 1, &payload));
    }

    /// Valid JSON of any shape behind the right head.
    #[test]
    fn any_json_is_refused_or_loaded(text in "[\\[\\]{}\",:0-9a-z]{0,60}") {
        let file = format!("{{\"format\":\"polychron-times\",\"version\":1,\"times\":{text}}}");
        let _ = times_from_bytes(file.as_bytes());
    }
}

/// A file's bytes with a right length and checksum.
fn with_header(version: u16, kind: u16, count: u64, payload: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x8fPCTIME\n".to_vec();
    bytes.extend(version.to_le_bytes());
    bytes.extend(kind.to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(count.to_le_bytes());
    bytes.extend((payload.len() as u64).to_le_bytes());
    let sum = xxhash_rust::xxh3::xxh3_64(&[&bytes, payload].concat());
    bytes.extend(sum.to_le_bytes());
    bytes.extend(payload);
    bytes
}

#[test]
fn every_truncation_is_refused() {
    for format in FORMATS {
        let bytes = times_to_bytes(&sample(), format).unwrap();
        // Of JSON only the closing line end may go.
        let whole = if format == TimesFormat::Json { bytes.len() - 1 } else { bytes.len() };
        for n_bytes in 0..whole {
            let refusal = times_from_bytes(&bytes[..n_bytes]);
            assert!(refusal.is_err(), "{format:?}, {n_bytes} of {}", bytes.len());
            if format == TimesFormat::Binary && n_bytes > 0 {
                let is_truncated = matches!(refusal, Err(TimesDataError::Truncated { .. }));
                assert!(is_truncated, "{n_bytes}: {refusal:?}");
            }
        }
    }
}

#[test]
fn every_flipped_byte_of_the_binary_form_is_noticed() {
    let bytes = times_to_bytes(&sample(), TimesFormat::Binary).unwrap();
    for at in 0..bytes.len() {
        for flip in [1, 0x80, 0xff] {
            let mut bytes = bytes.clone();
            bytes[at] ^= flip;
            assert!(times_from_bytes(&bytes).is_err(), "byte {at} ^ {flip}");
        }
    }
}

/// Whoever makes the checksum fit, too, gets a refusal or times that can be saved and shown.
#[test]
fn flipped_bytes_that_fit_the_checksum_do_no_harm() {
    let all = sample();
    let payload = times_to_bytes(&all, TimesFormat::Binary).unwrap().split_off(40);
    let mut n_loaded = 0;
    for at in 0..payload.len() {
        for flip in [1, 2, 0x10, 0x80, 0xff] {
            let mut payload = payload.clone();
            payload[at] ^= flip;
            let bytes = with_header(1, 1, all.len() as u64, &payload);
            let Ok(loaded) = times_from_bytes(&bytes) else { continue };
            n_loaded += 1;
            assert_eq!(times_to_bytes(&loaded, TimesFormat::Binary).unwrap(), bytes);
            for times in &loaded {
                gtimer_core::report::tree(times, &gtimer_core::report::TreeFormat::default());
            }
        }
    }
    assert!(n_loaded > 100, "{n_loaded}");
}

#[test]
fn flipped_bytes_of_json_do_no_harm() {
    let bytes = times_to_bytes(&sample(), TimesFormat::Json).unwrap();
    for at in 0..bytes.len() {
        for flip in [1, 2, 0x20, 0x80] {
            let mut bytes = bytes.clone();
            bytes[at] ^= flip;
            let _ = times_from_bytes(&bytes);
        }
    }
}

#[test]
fn deep_trees_are_saved_and_loaded_up_to_the_limit_and_refused_beyond() {
    for format in FORMATS {
        let deep = vec![chain(MAX_DEPTH)];
        let bytes = times_to_bytes(&deep, format).unwrap();
        assert_eq!(times_from_bytes(&bytes).unwrap(), deep, "{format:?}");
        let too_deep = times_to_bytes(&[chain(MAX_DEPTH + 1)], format);
        assert_eq!(too_deep, Err(TimesDataError::TooDeep { limit: MAX_DEPTH }));
    }
}

/// A megabyte of brackets, or of timers each of which promises one more below, ends quickly.
#[test]
fn hostile_depth_is_refused() {
    let too_deep = Err(TimesDataError::TooDeep { limit: MAX_DEPTH });
    let head = "{\"format\":\"polychron-times\",\"version\":1,\"times\":";
    let times = "[{\"name\":\"a\",\"total\":1,\"stamps_sum\":1,\"self_agg\":0,\"subdivisions\":\
                 [{\"position\":\"p\",\"timers\":";
    for text in [head.to_owned() + &"[".repeat(1 << 20), head.to_owned() + &times.repeat(10_000)] {
        let refusal = times_from_bytes(text.as_bytes());
        assert!(matches!(refusal, Err(TimesDataError::Damaged { .. })), "{refusal:?}");
    }
    let close = "}]".repeat(2);
    let whole = format!("{head}{}[]{}}}", times.repeat(600), close.repeat(600));
    assert_eq!(times_from_bytes(whole.as_bytes()), too_deep);

    let bytes = times_to_bytes(&[chain(2)], TimesFormat::Binary).unwrap();
    let outer = times_to_bytes(&[chain(1)], TimesFormat::Binary).unwrap().len();
    let first = &bytes[40..bytes.len() - (outer - 40)];
    let refusal = times_from_bytes(&with_header(1, 1, 1, &first.repeat(20_000)));
    assert_eq!(refusal, too_deep);
}

#[test]
fn hostile_counts_are_refused() {
    let damaged = |bytes: &[u8]| {
        let refusal = times_from_bytes(bytes);
        assert!(matches!(refusal, Err(TimesDataError::Damaged { .. })), "{refusal:?}");
    };
    let payload = &times_to_bytes(&sample(), TimesFormat::Binary).unwrap()[40..];
    damaged(&with_header(1, 1, u64::MAX, payload));
    damaged(&with_header(1, 1, 1, payload));
    damaged(&with_header(1, 1, 0, payload));
    damaged(&with_header(1, 2, 2, payload));
    // A name of 2^63 bytes; 2^63 stamps.
    let huge = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1];
    damaged(&with_header(1, 1, 1, &huge));
    let mut stamps = vec![0, 0];
    stamps.extend([0; 26]);
    stamps.extend(huge);
    damaged(&with_header(1, 1, 1, &stamps));
    // More timers below than there are bytes for.
    let mut below = vec![0, 0];
    below.extend([0; 26]);
    below.extend([0, 1, 0, 200, 1, 0]);
    damaged(&with_header(1, 1, 1, &below));
}

#[test]
fn refusals_name_the_file_the_reason_and_a_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("times");
    let said = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        let said = load_times(&path).unwrap_err().to_string();
        assert!(said.starts_with(path.to_str().unwrap()), "{said}");
        said
    };
    let whole = times_to_bytes(&sample(), TimesFormat::Binary).unwrap();
    assert!(said(b"").contains("not a file of times (it begins with nothing); give one"));
    assert!(said(b"\x1b[2Jtext").contains("begins with \"\\x1b[2Jtext\""));
    assert!(said(b"{\"format\": \"other\"}").contains("not a file of times"));
    assert!(said(b"{\"a\": [1, 2").contains("not a file of times"));
    assert!(said(&whole[..100]).contains("cut off after 100 of"));
    assert!(said(&[&whole[..], b"x"].concat()).contains("1 bytes after the end; take another"));
    assert!(
        said(&with_header(2, 1, 0, b"")).contains("version 2, and this program knows version 1")
    );
    let json = b"{\"format\": \"polychron-times\", \"version\": 7, \"trees\": []}";
    assert!(said(json).contains("version 7"));
    let json = b"{\"format\": \"polychron-times\", \"version\": 1, \"times\": [{}]}";
    assert!(said(json).contains("missing field `name`"), "{}", said(json));
}

#[test]
fn files_appear_whole_and_are_loaded_by_content() {
    let folder = tempfile::tempdir().unwrap();
    let all = sample();
    for (name, format) in [("a.json", TimesFormat::Binary), ("b.times", TimesFormat::Json)] {
        // The wrong name for the content, which counts.
        let path = folder.path().join(name);
        save_times(&path, &all, format).unwrap();
        save_times(&path, &all[1..], format).unwrap();
        assert_eq!(load_times(&path).unwrap(), all[1..]);
        assert_eq!(Times::load(&path).unwrap(), all[1]);
        all[0].save(&path).unwrap();
        assert_eq!(Times::load(&path).unwrap(), all[0]);
    }
    let json = fs::read(folder.path().join("a.json")).unwrap();
    assert!(
        json.starts_with(b"{\"format\":\"polychron-times\",\"version\":1,\"times\":[{\"name\":")
    );
    let several = folder.path().join("several");
    save_times(&several, &all, TimesFormat::Binary).unwrap();
    let refusal = Times::load(&several).unwrap_err().to_string();
    assert!(refusal.contains("times of 2 timers where one is asked for"), "{refusal}");
    // Nothing temporary stays.
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
}

#[test]
fn what_cannot_be_written_leaves_things_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kept.json");
    let times = chain(2);
    times.save(&path).unwrap();
    let broken = Times { total: f64::NAN, ..times.clone() };
    let refusal = broken.save(&path).unwrap_err();
    assert!(refusal.to_string().contains("not finite"), "{refusal}");
    assert_eq!(Times::load(&path).unwrap(), times);
    for target in [folder.path().to_owned(), folder.path().join("no/such/folder")] {
        let refusal = times.save(&target).unwrap_err();
        assert!(matches!(refusal, TimesFileError::Write { .. }), "{refusal:?}");
        let refusal = load_times(&target).unwrap_err();
        assert!(matches!(refusal, TimesFileError::Read { .. }), "{refusal:?}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    // Not finite, but exact in the other form.
    let bytes = times_to_bytes(&[broken], TimesFormat::Binary).unwrap();
    assert!(times_from_bytes(&bytes).unwrap()[0].total.is_nan());
}
