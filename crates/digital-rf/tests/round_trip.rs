//! What is written is read again, for every type of sample and every way to store it.

#![expect(clippy::unwrap_used, reason = "a test may panic anywhere, in its helpers too")]

use std::{collections::BTreeMap, fs, path::Path};

use digital_rf::{
    Channel, ChannelConfig, ChannelWriter, ReadError, Reader, Sample, SampleRate, WriteError,
    hdf5::{AttrValue, File, FileWriter, Publish},
};
use num_complex::{Complex, Complex32, Complex64};
use proptest::prelude::*;

const START: u64 = 16_182_297_400_333;

fn config(start: u64) -> ChannelConfig {
    ChannelConfig {
        subdir_cadence_secs: 1,
        file_cadence_ms: 10,
        ..ChannelConfig::new(SampleRate::from_hz(10_000).unwrap(), start)
    }
}

fn open(top: &Path) -> Channel {
    Reader::open(top).unwrap().channel("rx").unwrap()
}

/// Some 250 samples over four files, whatever their type.
fn samples<T: Sample>(n: usize) -> Vec<T> {
    let bytes: Vec<u8> = (0..n * size_of::<T>()).map(|k| (k * 37 + k / 251 + 11) as u8).collect();
    bytemuck::pod_collect_to_vec(&bytes)
}

fn round_trip<T: Sample>() {
    for (nsub, compression, checksum, is_continuous) in [
        (1, 0, false, true),
        (3, 0, false, true),
        (1, 0, false, false),
        (3, 0, true, false),
        (1, 6, false, true),
        (2, 9, true, true),
        (2, 1, true, false),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let config = ChannelConfig {
            num_subchannels: nsub,
            compression,
            checksum,
            is_continuous,
            ..config(START)
        };
        let what = format!("{} {config:?}", T::TYPE);
        let samples = samples::<T>(250 * nsub);
        let mut writer = ChannelWriter::<T>::create(dir.path().join("rx"), config).unwrap();
        for part in samples.chunks(70 * nsub) {
            writer.write(part).unwrap();
        }
        assert_eq!(writer.next_sample(), START + 250, "{what}");
        writer.finish().unwrap();

        let channel = open(dir.path());
        assert_eq!(channel.sample_type(), T::TYPE, "{what}");
        assert_eq!(channel.num_subchannels(), nsub, "{what}");
        let whole_files = is_continuous && compression == 0 && !checksum;
        let bounds =
            if whole_files { 16_182_297_400_300..16_182_297_400_600 } else { START..START + 250 };
        assert_eq!(channel.bounds().unwrap().samples, Some(bounds.clone()), "{what}");
        assert_eq!(channel.coverage(0..u64::MAX).unwrap().blocks, [bounds], "{what}");
        let mut bytes = vec![0; 250 * channel.row_bytes()];
        channel.read_raw(START, &mut bytes).unwrap();
        assert!(bytes == bytemuck::cast_slice::<T, u8>(&samples), "{what}");
        // Outside of what was written, whole files hold the fill value, and others nothing.
        let mut before = vec![0; channel.row_bytes()];
        match channel.read_raw(START - 1, &mut before) {
            Ok(()) => assert!(whole_files && before == T::TYPE.fill().repeat(nsub), "{what}"),
            Err(ReadError::Gap { sample, .. }) => {
                assert!(!whole_files && sample == START - 1, "{what}");
            }
            Err(error) => panic!("{what}: {error}"),
        }
    }
}

#[test]
fn every_type_of_sample_comes_back_from_every_way_to_store_it() {
    round_trip::<i8>();
    round_trip::<i16>();
    round_trip::<i32>();
    round_trip::<i64>();
    round_trip::<u8>();
    round_trip::<u16>();
    round_trip::<u32>();
    round_trip::<u64>();
    round_trip::<f32>();
    round_trip::<f64>();
    round_trip::<Complex<i8>>();
    round_trip::<Complex<i16>>();
    round_trip::<Complex<i32>>();
    round_trip::<Complex<i64>>();
    round_trip::<Complex<u8>>();
    round_trip::<Complex<u16>>();
    round_trip::<Complex<u32>>();
    round_trip::<Complex<u64>>();
    round_trip::<Complex<f32>>();
    round_trip::<Complex<f64>>();
}

#[test]
fn samples_are_converted_as_a_cast_does() {
    let dir = tempfile::tempdir().unwrap();
    for compression in [0, 3] {
        let top = dir.path().join(compression.to_string());
        let config = ChannelConfig { num_subchannels: 2, compression, ..config(START) };
        let samples: Vec<Complex<i16>> =
            (0..2000).map(|k| Complex::new(k - 1000, 7 * (k % 100) - 350)).collect();
        let mut writer = ChannelWriter::create(top.join("rx"), config.clone()).unwrap();
        writer.write(&samples).unwrap();
        writer.finish().unwrap();
        let mut writer = ChannelWriter::create(top.join("real"), config).unwrap();
        writer.write(&samples.iter().map(|z| z.re).collect::<Vec<_>>()).unwrap();
        writer.finish().unwrap();

        let reader = Reader::open(&top).unwrap();
        for (name, imaginary) in [("rx", 1.0_f32), ("real", 0.0)] {
            let channel = reader.channel(name).unwrap();
            for subchannel in 0..2 {
                // Across the ends of files, and not from their begin.
                let (skip, n) = (17, 950);
                let expected = samples.iter().skip(subchannel).step_by(2).skip(skip).take(n);
                let mut single = vec![Complex32::default(); n];
                channel.read_complex32(START + skip as u64, subchannel, &mut single).unwrap();
                let mut double = vec![Complex64::default(); n];
                channel.read_complex64(START + skip as u64, subchannel, &mut double).unwrap();
                for ((z, single), double) in expected.zip(single).zip(double) {
                    let z = Complex32::new(f32::from(z.re), f32::from(z.im) * imaginary);
                    assert_eq!(single, z);
                    assert_eq!(double, Complex64::new(f64::from(z.re), f64::from(z.im)));
                }
            }
            let error = channel.read_complex32(START, 2, &mut [Complex32::default()]).unwrap_err();
            assert!(matches!(error, ReadError::Subchannel { subchannel: 2, .. }), "{error}");
        }
    }
}

#[test]
fn the_same_samples_make_the_same_files() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str| {
        let top = dir.path().join(name);
        let config = ChannelConfig { compression: 6, is_continuous: false, ..config(START) };
        let mut writer = ChannelWriter::<Complex<i16>>::create(top.join("rx"), config).unwrap();
        writer.write(&samples(123)).unwrap();
        writer.write_at(START + 500, &samples(77)).unwrap();
        writer.finish().unwrap();
        files(&top)
    };
    let (a, b) = (write("a"), write("b"));
    assert_eq!(a.len(), 5, "{:?}", a.keys());
    assert!(a == b);
}

/// Every file below a folder, with what it holds.
fn files(top: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![top.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(top).unwrap().to_string_lossy().into_owned();
                found.insert(name, fs::read(path).unwrap());
            }
        }
    }
    found
}

#[test]
fn what_is_there_is_not_written_over() {
    let dir = tempfile::tempdir().unwrap();
    let rx = dir.path().join("rx");
    let write = |config: ChannelConfig, at, value: i16| {
        let mut writer = ChannelWriter::create(&rx, config)?;
        writer.write_at(at, &[value; 50])?;
        writer.finish()
    };
    write(config(START), START, 1).unwrap();
    // The same file again is refused, a later one is taken as a continuation.
    let error = write(config(START), START, 2).unwrap_err();
    assert!(error.to_string().contains("exists already"), "{error}");
    write(config(START), START + 1000, 3).unwrap();
    let other = ChannelConfig { num_subchannels: 2, ..config(START) };
    let error = write(other, START + 2000, 4).unwrap_err();
    assert!(
        matches!(error, WriteError::OtherChannel { what: "number of sub-channels", .. }),
        "{error}"
    );

    let channel = open(dir.path());
    let mut first = [Complex32::default(); 50];
    channel.read_complex32(START, 0, &mut first).unwrap();
    assert_eq!(first, [Complex32::new(1.0, 0.0); 50]);
    channel.read_complex32(START + 1000, 0, &mut first).unwrap();
    assert_eq!(first, [Complex32::new(3.0, 0.0); 50]);
    let left: Vec<String> =
        files(dir.path()).into_keys().filter(|name| name.contains("tmp.")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn wrong_options_and_samples_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let create = |change: fn(&mut ChannelConfig)| {
        let mut config = config(START);
        change(&mut config);
        ChannelWriter::<i16>::create(dir.path().join("rx"), config)
    };
    for (change, message) in [
        ((|c| c.compression = 10) as fn(&mut ChannelConfig), "compression cannot be 10"),
        (|c| c.num_subchannels = 0, "num_subchannels cannot be 0"),
        (|c| c.file_cadence_ms = 300, "files of 300 ms do not divide folders of 1 s"),
        (|c| c.file_cadence_ms = 0, "files of 0 ms"),
        (|c| c.rate = SampleRate::from_hz(u64::MAX).unwrap(), "file_cadence_ms cannot be 10"),
        (|c| c.uuid = "é".to_owned(), "uuid cannot be é"),
    ] {
        let error = create(change).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
    assert!(!dir.path().join("rx").exists());
    assert!(SampleRate::new(0, 1).is_err() && SampleRate::new(1, 0).is_err());

    let mut writer = create(|c| c.num_subchannels = 2).unwrap();
    let error = writer.write(&[1, 2, 3]).unwrap_err();
    assert!(matches!(error, WriteError::Rows { len: 3, num_subchannels: 2 }), "{error}");
    writer.write(&[1, 2]).unwrap();
    let error = writer.write_at(START, &[1, 2]).unwrap_err();
    assert!(matches!(error, WriteError::Backwards { next, .. } if next == START + 1), "{error}");
    let error = writer.write_at(u64::MAX, &[1, 2, 3, 4]).unwrap_err();
    assert!(matches!(error, WriteError::Overflow { .. }), "{error}");
}

/// A channel in two folders is one channel; folders that disagree are refused.
#[test]
fn a_channel_recorded_in_turns_is_one() {
    let dir = tempfile::tempdir().unwrap();
    let write = |top: &str, at: u64, n: usize, nsub: usize| {
        let config = ChannelConfig { is_continuous: false, num_subchannels: nsub, ..config(at) };
        let rx = dir.path().join(top).join("rx");
        let mut writer = ChannelWriter::<i16>::create(rx, config).unwrap();
        writer
            .write(&(0..(n * nsub) as i16).map(|k| k + (at - START) as i16).collect::<Vec<_>>())
            .unwrap();
        writer.finish().unwrap();
    };
    // They meet in the middle of a file.
    write("a", START, 120, 1);
    write("b", START + 120, 150, 1);
    write("c", START + 900, 10, 2);
    let tops = ["a", "b"].map(|top| dir.path().join(top));
    let channel = Reader::open_all(&tops).unwrap().channel("rx").unwrap();
    let all = START..START + 270;
    assert_eq!(channel.bounds().unwrap().samples, Some(all.clone()));
    assert_eq!(channel.coverage(all.clone()).unwrap().blocks, std::slice::from_ref(&all));
    let blocks = channel.read_blocks(all).unwrap();
    let values: Vec<i16> = bytemuck::pod_collect_to_vec(&blocks[0].bytes);
    assert!(values.iter().copied().eq(0..270));

    let tops = ["a", "c"].map(|top| dir.path().join(top));
    let error = Reader::open_all(&tops).unwrap().channel("rx").unwrap_err();
    assert!(error.to_string().contains("disagree about the number of sub-channels"), "{error}");
}

#[test]
fn folders_that_are_no_product_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let error = Reader::open(dir.path()).unwrap_err();
    assert!(matches!(error, ReadError::NoChannels { .. }), "{error}");
    let error = Reader::open(dir.path().join("nowhere")).unwrap_err();
    assert!(matches!(error, ReadError::List { .. }), "{error}");
    let rx = dir.path().join("rx");
    ChannelWriter::<i16>::create(&rx, config(START)).unwrap().finish().unwrap();
    assert!(matches!(Reader::open(&rx).unwrap_err(), ReadError::IsChannel { .. }));
    let reader = Reader::open(dir.path()).unwrap();
    let error = reader.channel("tx").unwrap_err();
    assert!(error.to_string().contains("only rx"), "{error}");
    // A channel without a file of samples has no bounds.
    let channel = reader.channel("rx").unwrap();
    assert_eq!(channel.bounds().unwrap().samples, None);
    let error = channel.read_complex32(START, 0, &mut [Complex32::default(); 2]).unwrap_err();
    assert!(error.to_string().contains("2021-04-12T12-15-40/rf@1618229740.030.h5"), "{error}");
}

/// Channels of version 2.0 have another name for their properties, and the rate as a number.
#[test]
fn properties_of_old_channels_are_understood() {
    let dir = tempfile::tempdir().unwrap();
    let rx = dir.path().join("rx");
    let mut writer = ChannelWriter::create(&rx, config(START)).unwrap();
    writer.write(&[5_i16; 200]).unwrap();
    writer.finish().unwrap();
    let new = File::open(rx.join("drf_properties.h5")).unwrap().attrs("/").unwrap();
    fs::remove_file(rx.join("drf_properties.h5")).unwrap();
    let rewrite = |changes: &[(&str, AttrValue)]| {
        let mut file = FileWriter::create(rx.join("metadata.h5")).unwrap();
        let kept = new.iter().filter(|(name, _)| !name.starts_with("sample_rate"));
        for (name, value) in kept {
            if changes.iter().all(|(changed, _)| changed != name) {
                file.set_attr("/", name, value).unwrap();
            }
        }
        for (name, value) in changes {
            file.set_attr("/", name, value).unwrap();
        }
        file.publish(Publish::Replace).unwrap();
        Reader::open(dir.path()).unwrap().channel("rx")
    };
    let error = |changes: &[(&str, AttrValue)]| {
        let error = rewrite(changes).unwrap_err();
        std::error::Error::source(&error).unwrap().to_string()
    };
    const RATE: &str = "samples_per_second";
    for rate in [AttrValue::U64(10_000), AttrValue::F64(10_000.0), AttrValue::U64s(vec![10_000])] {
        let channel = rewrite(&[(RATE, rate)]).unwrap();
        assert_eq!(channel.properties().layout.rate(), SampleRate::from_hz(10_000).unwrap());
        let mut out = [Complex32::default(); 200];
        channel.read_complex32(START, 0, &mut out).unwrap();
        assert_eq!(out[199].re, 5.0);
    }
    let rate = || (RATE, AttrValue::U64(10_000));
    let version = |v: &str| ("digital_rf_version", AttrValue::Ascii(v.to_owned()));
    let newer = rewrite(&[rate(), version("3.1")]).unwrap();
    assert!(newer.properties().is_newer_than_known());
    assert!(error(&[rate(), version("1.9.2")]).contains("metadata.h5 is of version 1.9.2"));
    assert!(error(&[]).contains("metadata.h5 lacks sample_rate_numerator"));
    assert!(error(&[(RATE, AttrValue::F64(-1.0))]).contains("samples_per_second"));
    let wrong = error(&[rate(), ("H5Tget_size", AttrValue::U64(3))]);
    assert!(wrong.contains("H5Tget_size of") && wrong.contains("cannot be 3"), "{wrong}");
    let wrong = error(&[rate(), ("num_subchannels", AttrValue::I32(0))]);
    assert!(wrong.contains("num_subchannels of") && wrong.contains("cannot be 0"), "{wrong}");
    let wrong = error(&[rate(), ("file_cadence_millisecs", AttrValue::from("x"))]);
    assert!(wrong.contains("file_cadence_millisecs of"), "{wrong}");
}

/// Threads that share a channel, or have a clone each, read the same.
#[test]
fn threads_may_share_a_channel() {
    let dir = tempfile::tempdir().unwrap();
    let config = ChannelConfig { compression: 1, ..config(START) };
    let samples: Vec<i16> = (0..3000).collect();
    let mut writer = ChannelWriter::create(dir.path().join("rx"), config).unwrap();
    writer.write(&samples).unwrap();
    writer.finish().unwrap();
    let shared = &open(dir.path());
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            scope.spawn(move || {
                let own = shared.clone();
                let channel = if thread % 2 == 0 { shared } else { &own };
                let mut out = [Complex32::default(); 100];
                for k in (thread..2900).step_by(53) {
                    channel.read_complex32(START + k, 0, &mut out).unwrap();
                    assert!(out.iter().zip(k..).all(|(z, k)| z.re == k as f32));
                }
            });
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Blocks at any places, at any rate, are found again, joined, and with what they held.
    #[test]
    fn any_blocks_are_found_again(
        (num, den) in prop_oneof![Just((10_000, 1)), Just((100_000, 7)), Just((10_000_000, 333))],
        compression in prop_oneof![Just(0_u32), Just(2)],
        blocks in prop::collection::vec((0_u64..500, 0_usize..400), 1..6),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let rate = SampleRate::new(num, den).unwrap();
        let config = ChannelConfig {
            rate,
            compression,
            is_continuous: false,
            ..config(rate.sample_from_ms(1_618_229_740_003))
        };
        let mut at = config.start_sample;
        let mut writer = ChannelWriter::<i16>::create(dir.path().join("rx"), config).unwrap();
        let mut expected = Vec::<std::ops::Range<u64>>::new();
        for (gap, n) in blocks {
            at += gap;
            let samples: Vec<i16> = (at..at + n as u64).map(|k| k as i16).collect();
            writer.write_at(at, &samples).unwrap();
            let block = at..at + n as u64;
            match expected.last_mut() {
                Some(last) if last.end == block.start => last.end = block.end,
                _ if n == 0 => {}
                _ => expected.push(block),
            }
            at += n as u64;
        }
        writer.finish().unwrap();

        let channel = open(dir.path());
        let bounds = expected.first().map(|a| a.start..expected[expected.len() - 1].end);
        prop_assert_eq!(channel.bounds().unwrap().samples, bounds);
        let found = channel.read_blocks(0..u64::MAX).unwrap();
        prop_assert_eq!(found.iter().map(|b| b.samples.clone()).collect::<Vec<_>>(), expected);
        for block in found {
            let values: Vec<i16> = bytemuck::pod_collect_to_vec(&block.bytes);
            prop_assert!(values.into_iter().eq(block.samples.map(|k| k as i16)));
        }
    }
}
