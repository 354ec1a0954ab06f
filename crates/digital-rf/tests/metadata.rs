//! Metadata is read as it was written, by the number of its sample.

#![expect(clippy::unwrap_used, reason = "a test may panic anywhere, in its helpers too")]

use std::{collections::BTreeMap, fs, path::Path};

use digital_rf::{
    MetadataError, MetadataLayout, MetadataReader, MetadataWriter, Record, SampleRate, Value,
    WriteError, hdf5::Array,
};

fn layout() -> MetadataLayout {
    MetadataLayout {
        subdir_cadence_secs: 20,
        file_cadence_secs: 10,
        ..MetadataLayout::new(SampleRate::new(1, 3).unwrap())
    }
}

fn record(k: i64) -> Record {
    BTreeMap::from(
        [
            ("int", Value::Int(-k)),
            ("large", Value::UInt(u64::MAX - k as u64)),
            ("azimuth", Value::Float(90.0 + k as f64 / 3.0)),
            ("is_on", Value::Bool(k % 2 == 0)),
            ("name", Value::Text(format!("beam {k} µ"))),
            ("ints", Value::Ints(Array { shape: vec![2, 1], values: vec![k, 7] })),
            ("floats", Value::Floats(Array { shape: vec![1], values: vec![k as f64] })),
            ("texts", Value::Texts(vec!["a".to_owned(), String::new()])),
            ("inner", Value::Group(BTreeMap::from([("x".to_owned(), Value::Int(k))]))),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    )
}

fn write(dir: &Path, samples: impl IntoIterator<Item = u64>) -> Result<(), WriteError> {
    let mut writer = MetadataWriter::create(dir, layout())?;
    for sample in samples {
        writer.write(sample, record(sample as i64))?;
    }
    writer.finish()
}

/// One sample in three seconds, so that files hold three or four, and their numbers have one, two
/// or three digits.
#[test]
fn every_value_comes_back_in_the_order_of_samples() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), (3..120).step_by(2)).unwrap();
    let reader = MetadataReader::open(dir.path()).unwrap();
    assert_eq!(reader.layout(), &layout());
    assert_eq!(reader.fields(), record(0).into_keys().collect::<Vec<_>>());
    let (bounds, skipped) = reader.bounds().unwrap();
    assert_eq!((bounds, skipped.len()), (Some(3..120), 0));
    let all = reader.read(0..1000).unwrap();
    let expected: Vec<_> = (3..120).step_by(2).map(|k| (k, record(k as i64))).collect();
    assert_eq!(all, expected);
    assert_eq!(reader.read(8..12).unwrap(), expected[3..5]);
    assert_eq!(reader.read(8..8).unwrap(), []);

    assert_eq!(reader.at(2).unwrap(), None);
    assert_eq!(reader.at(3).unwrap(), Some((3, record(3))));
    assert_eq!(reader.at(100).unwrap(), Some((99, record(99))));
    assert_eq!(reader.at(u64::MAX).unwrap(), Some((119, record(119))));
}

#[test]
fn metadata_is_continued_but_never_written_over() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), [10, 11]).unwrap();
    // In the same file, and in a later one.
    write(dir.path(), [12, 40]).unwrap();
    assert!(write(dir.path(), [12]).is_err());
    let reader = MetadataReader::open(dir.path()).unwrap();
    let samples: Vec<u64> = reader.read(0..100).unwrap().into_iter().map(|(s, _)| s).collect();
    assert_eq!(samples, [10, 11, 12, 40]);
    assert_eq!(reader.read(12..13).unwrap(), [(12, record(12))]);

    let other = MetadataLayout { file_cadence_secs: 5, ..layout() };
    let error = MetadataWriter::create(dir.path(), other).unwrap_err();
    assert!(matches!(error, WriteError::OtherChannel { .. }), "{error}");
}

#[test]
fn a_damaged_file_is_named_and_passed_over_by_bounds() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 0..20).unwrap();
    let first = dir.path().join("1970-01-01T00-00-00/metadata@0.h5");
    fs::write(&first, &fs::read(&first).unwrap()[..100]).unwrap();
    let reader = MetadataReader::open(dir.path()).unwrap();
    let (bounds, skipped) = reader.bounds().unwrap();
    // A file is ten seconds, a sample three.
    assert_eq!(bounds, Some(4..20));
    assert!(skipped[0].to_string().contains("metadata@0.h5"), "{}", skipped[0]);
    assert!(matches!(reader.read(0..20), Err(MetadataError::Hdf5(_))));
    assert_eq!(reader.read(4..20).unwrap().len(), 16);
}

#[test]
fn names_and_layouts_that_cannot_be_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let error = MetadataReader::open(dir.path()).unwrap_err();
    assert!(matches!(error, MetadataError::NoProperties { .. }), "{error}");
    let create = |layout| MetadataWriter::create(dir.path().join("new"), layout);
    for file_name in ["", "a/b", "µ"] {
        let error = create(MetadataLayout { file_name: file_name.to_owned(), ..layout() });
        assert!(matches!(error, Err(WriteError::Option { option: "file_name", .. })));
    }
    let error = create(MetadataLayout { file_cadence_secs: 7, ..layout() }).unwrap_err();
    assert!(matches!(error, WriteError::Layout(_)), "{error}");
    assert!(!dir.path().join("new").exists());
    let mut writer = create(layout()).unwrap();
    for name in ["", "a/b", ".", &"x".repeat(129)] {
        let error = writer.write(1, BTreeMap::from([(name.to_owned(), Value::Int(1))]));
        assert!(matches!(error, Err(WriteError::Option { option: "field", .. })), "{name}");
    }
    writer.write(1, record(1)).unwrap();
    let error = writer.write(1, record(1)).unwrap_err();
    assert!(error.to_string().contains("1 again"), "{error}");
}
