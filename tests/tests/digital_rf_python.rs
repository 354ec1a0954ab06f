//! `digital-rf` beside the real digital_rf: each reads what the other wrote, equal to the bit.
//!
//! One Python program makes the channels, another says what digital_rf and h5py find in a folder:
//! in the channels made by digital_rf, and in the same samples written again by us.

#![expect(clippy::unwrap_used, reason = "a test may panic anywhere, in its helpers too")]

use std::{
    collections::BTreeMap,
    fs,
    ops::Range,
    path::{Path, PathBuf},
};

use digital_rf::{
    Channel, ChannelConfig, ChannelWriter, MetadataReader, MetadataWriter, Reader, Record, Sample,
    SampleRate, Value,
    hdf5::{AttrValue, ByteOrder, DatasetOptions, FileWriter, Publish},
};
use num_complex::{Complex, Complex32, Complex64};
use polychron_tests::{require_python, run_python, temp_dir};
use serde_json::Value as Json;

/// What digital_rf says of a folder: its description, and the samples that it refers to.
struct Described {
    json: Json,
    bytes: Vec<u8>,
}

impl Described {
    fn channels(&self) -> impl Iterator<Item = (&String, &Json)> {
        self.json["channels"].as_object().unwrap().iter()
    }
}

/// Makes the channels in `dir/real` and describes them; gives also what they were made with.
fn make(python: &Path, dir: &Path) -> (PathBuf, Described, Json) {
    let top = dir.join("real");
    fs::create_dir(&top).unwrap();
    run_python(python, "digital_rf_make.py", [&top]);
    let made = serde_json::from_slice(&fs::read(top.join("made.json")).unwrap()).unwrap();
    let described = describe(python, &top, &dir.join("real-described"));
    (top, described, made)
}

fn describe(python: &Path, top: &Path, out: &Path) -> Described {
    run_python(python, "digital_rf_describe.py", [top, out]);
    let json = serde_json::from_slice(&fs::read(out.with_extension("json")).unwrap()).unwrap();
    Described { json, bytes: fs::read(out.with_extension("bin")).unwrap() }
}

fn unsigned(json: &Json) -> u64 {
    json.as_u64().unwrap_or_else(|| panic!("{json} is no unsigned integer"))
}

fn size(json: &Json) -> usize {
    usize::try_from(unsigned(json)).unwrap()
}

/// Numpy's name for the type of a channel's samples.
fn numpy_type(channel: &Channel) -> String {
    let sample_type = channel.sample_type();
    let scalar = sample_type.number.scalar;
    let order = match (sample_type.number.order, scalar.size()) {
        (_, 1) => '|',
        (ByteOrder::Little, _) => '<',
        (ByteOrder::Big, _) => '>',
    };
    let kind = match scalar.name() {
        name if name.starts_with('f') => 'f',
        name if name.starts_with('u') => 'u',
        _ => 'i',
    };
    let part = format!("{order}{kind}{}", scalar.size());
    let native = matches!(order, '|' | '<');
    match (sample_type.complex, kind, native) {
        // What h5py gives its own name.
        (true, 'f', true) => format!("complex{}", 16 * scalar.size()),
        (true, ..) if order == '|' => {
            let part = &part[1..];
            format!("[('r', '{part}'), ('i', '{part}')]")
        }
        (true, 'f', false) => format!(">c{}", 2 * scalar.size()),
        (true, ..) => format!("[('r', '{part}'), ('i', '{part}')]"),
        (false, _, true) => scalar.name().to_owned(),
        (false, _, false) => part,
    }
}

#[test]
fn channels_made_by_digital_rf_are_read_equal_to_the_bit() {
    let python = require_python!();
    let dir = temp_dir();
    let (top, described, _) = make(&python, dir.path());
    let reader = Reader::open(&top).unwrap();
    assert!(reader.channels().len() >= 60, "{} channels", reader.channels().len());
    assert!(reader.channels().eq(described.channels().map(|(name, _)| name.as_str())));
    for (name, theirs) in described.channels() {
        let channel = reader.channel(name).unwrap();
        assert_channel_is(&channel, theirs, &described.bytes);
    }
}

/// Bounds, blocks, type, bytes, converted samples and properties are those that digital_rf found.
fn assert_channel_is(channel: &Channel, theirs: &Json, bytes: &[u8]) {
    let name = channel.name();
    let bounds = channel.bounds().unwrap();
    assert!(bounds.skipped.is_empty(), "{name}: {:?}", bounds.skipped);
    let (first, last) = (unsigned(&theirs["bounds"][0]), unsigned(&theirs["bounds"][1]));
    assert_eq!(bounds.samples, Some(first..last + 1), "{name}");

    let expected: Vec<(Range<u64>, &[u8])> = theirs["blocks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|block| {
            let (start, n, at) = (unsigned(&block[0]), size(&block[1]), size(&block[2]));
            (start..start + n as u64, &bytes[at..at + n * channel.row_bytes()])
        })
        .collect();
    let coverage = channel.coverage(first..last + 1).unwrap();
    assert!(coverage.skipped.is_empty(), "{name}: {:?}", coverage.skipped);
    assert!(coverage.blocks.iter().eq(expected.iter().map(|(range, _)| range)), "{name}");
    let blocks = channel.read_blocks(first..last + 1).unwrap();
    assert_eq!(blocks.len(), expected.len(), "{name}");
    for (ours, (range, bytes)) in blocks.iter().zip(&expected) {
        assert_eq!(&ours.samples, range, "{name}");
        assert!(ours.bytes == *bytes, "{name}: other bytes in {range:?}");
    }
    assert_eq!(numpy_type(channel), theirs["dtype"].as_str().unwrap(), "{name}");

    let [start, subchannel, n, at] = [0, 1, 2, 3].map(|k| unsigned(&theirs["vector"][k]));
    let (subchannel, n, at) = (subchannel as usize, n as usize, at as usize);
    let mut ours = vec![Complex64::default(); n];
    channel.read_complex64(start, subchannel, &mut ours).unwrap();
    let mut single = vec![Complex32::default(); n];
    channel.read_complex32(start, subchannel, &mut single).unwrap();
    // digital_rf takes the smallest float that is safe, which is exact up to 32 bits.
    let wide = channel.sample_type().number.scalar.size() == 8
        && !channel.sample_type().number.scalar.is_float();
    for (k, theirs) in bytes[at..at + 16 * n].chunks_exact(16).enumerate() {
        let part = |at: usize| f64::from_le_bytes(theirs[at..at + 8].try_into().unwrap());
        let (re, im) = (part(0), part(8));
        let same = |a: f64, b: f64| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan());
        let near = |a: f64, b: f64| (a - b).abs() <= b.abs() * f64::EPSILON;
        if wide {
            assert!(near(ours[k].re, re) && near(ours[k].im, im), "{name}: sample {k}");
            continue;
        }
        assert!(same(ours[k].re, re) && same(ours[k].im, im), "{name}: sample {k}");
        let as_single = |x: f64| f64::from(x as f32);
        assert!(
            same(f64::from(single[k].re), as_single(re))
                && same(f64::from(single[k].im), as_single(im)),
            "{name}: sample {k} in single precision"
        );
    }

    for (key, theirs) in theirs["properties"].as_object().unwrap() {
        // Not in the file: digital_rf computes it.
        if key == "samples_per_second" {
            let rate: f64 = theirs.as_str().unwrap().parse().unwrap();
            let ours = channel.properties().layout.rate().as_f64();
            assert!((ours - rate).abs() <= rate * f64::EPSILON, "{name}: {ours} {rate}");
            continue;
        }
        let ours = channel.properties().all.get(key).unwrap_or_else(|| panic!("{name}: no {key}"));
        assert_eq!(ours.to_string(), json_text(theirs), "{name}: {key}");
    }
}

fn json_text(json: &Json) -> String {
    json.as_str().map_or_else(|| json.to_string(), str::to_owned)
}

#[test]
fn what_we_write_is_to_digital_rf_as_if_it_had_written_it() {
    let python = require_python!();
    let dir = temp_dir();
    let (real, theirs, made) = make(&python, dir.path());
    let reader = Reader::open(&real).unwrap();
    let ours = dir.path().join("ours");
    let mut written = 0;
    for (name, made) in made.as_object().unwrap() {
        let channel = reader.channel(name).unwrap();
        if channel.sample_type().number.order == ByteOrder::Big {
            continue;
        }
        write_again(&channel, made, &ours.join(name));
        written += 1;
    }
    assert!(written >= 60, "{written} channels");
    copy_metadata(&real.join("metadata_only"), &ours.join("metadata_only"));

    let ours = describe(&python, &ours, &dir.path().join("ours-described"));
    assert_eq!(ours.channels().count(), written);
    for (name, ours_json) in ours.channels() {
        let theirs_json = &theirs.json["channels"][name];
        assert_same(name, ours_json, theirs_json);
        assert_same_bytes(name, (&ours, ours_json), (&theirs, theirs_json));
    }
    assert_eq!(ours.json["metadata"], theirs.json["metadata"]);
}

/// Writes the samples that digital_rf was given, by the arguments that it was given.
fn write_again(channel: &Channel, made: &Json, dir: &Path) {
    fn write<T: Sample>(channel: &Channel, made: &Json, dir: &Path) {
        assert_eq!(T::TYPE, channel.sample_type(), "{}", channel.name());
        let rate = SampleRate::new(unsigned(&made["numerator"]), unsigned(&made["denominator"]));
        let config = ChannelConfig {
            subdir_cadence_secs: unsigned(&made["subdir_cadence_secs"]),
            file_cadence_ms: unsigned(&made["file_cadence_ms"]),
            num_subchannels: size(&made["num_subchannels"]),
            is_continuous: made["is_continuous"].as_bool().unwrap(),
            compression: u32::try_from(unsigned(&made["compression"])).unwrap(),
            checksum: made["checksum"].as_bool().unwrap(),
            ..ChannelConfig::new(rate.unwrap(), unsigned(&made["start"]))
        };
        let mut writer = ChannelWriter::<T>::create(dir, config).unwrap();
        for block in made["blocks"].as_array().unwrap() {
            let (start, n) = (unsigned(&block[0]), size(&block[1]));
            let mut bytes = vec![0; n * channel.row_bytes()];
            channel.read_raw(start, &mut bytes).unwrap();
            let samples: Vec<T> = bytemuck::pod_collect_to_vec(&bytes);
            // In two calls, the second of which goes on where the first ended.
            let half = n / 2 * channel.num_subchannels();
            writer.write_at(start, &samples[..half]).unwrap();
            writer.write(&samples[half..]).unwrap();
        }
        writer.finish().unwrap();
    }
    let kind = made["dtype"].as_str().unwrap().trim_start_matches(['<', '|']);
    match (kind, made["is_complex"].as_bool().unwrap()) {
        ("i1", false) => write::<i8>(channel, made, dir),
        ("i2", false) => write::<i16>(channel, made, dir),
        ("i4", false) => write::<i32>(channel, made, dir),
        ("i8", false) => write::<i64>(channel, made, dir),
        ("u1", false) => write::<u8>(channel, made, dir),
        ("u2", false) => write::<u16>(channel, made, dir),
        ("u4", false) => write::<u32>(channel, made, dir),
        ("u8", false) => write::<u64>(channel, made, dir),
        ("f4", false) => write::<f32>(channel, made, dir),
        ("f8", false) => write::<f64>(channel, made, dir),
        ("i1", true) => write::<Complex<i8>>(channel, made, dir),
        ("i2", true) => write::<Complex<i16>>(channel, made, dir),
        ("i4", true) => write::<Complex<i32>>(channel, made, dir),
        ("i8", true) => write::<Complex<i64>>(channel, made, dir),
        ("u1", true) => write::<Complex<u8>>(channel, made, dir),
        ("u2", true) => write::<Complex<u16>>(channel, made, dir),
        ("u4", true) => write::<Complex<u32>>(channel, made, dir),
        ("u8", true) => write::<Complex<u64>>(channel, made, dir),
        ("f4", true) => write::<Complex<f32>>(channel, made, dir),
        ("f8", true) => write::<Complex<f64>>(channel, made, dir),
        other => panic!("no type for {other:?}"),
    }
}

fn copy_metadata(from: &Path, to: &Path) {
    let reader = MetadataReader::open(from).unwrap();
    let (bounds, skipped) = reader.bounds().unwrap();
    assert!(skipped.is_empty(), "{skipped:?}");
    let mut writer = MetadataWriter::create(to, reader.layout().clone()).unwrap();
    for (sample, record) in reader.read(bounds.unwrap()).unwrap() {
        writer.write(sample, record).unwrap();
    }
    writer.finish().unwrap();
}

/// All that was described is equal, but for what each writer says in its own words, and how it
/// cuts samples into chunks.
fn assert_same(name: &str, ours: &Json, theirs: &Json) {
    for key in ["bounds", "spans", "dtype", "property_types"] {
        assert_eq!(ours[key], theirs[key], "{name}: {key}");
    }
    for group in ["properties", "sample_properties"] {
        let theirs = theirs[group].as_object().unwrap();
        let ours = ours[group].as_object().unwrap();
        assert!(ours.keys().eq(theirs.keys()), "{name}: {group}");
        for (key, value) in theirs {
            if !["computer_time", "digital_rf_time_description"].contains(&key.as_str()) {
                assert_eq!(&ours[key], value, "{name}: {group}: {key}");
            }
        }
    }
    let files = |json: &Json| json["files"].as_array().unwrap().clone();
    assert_eq!(files(ours).len(), files(theirs).len(), "{name}");
    for (ours, theirs) in files(ours).iter().zip(&files(theirs)) {
        for (key, value) in theirs.as_object().unwrap() {
            if key != "chunks" {
                assert_eq!(&ours[key], value, "{name}: {key} of {}", theirs["name"]);
            }
        }
        assert_eq!(ours["chunks"].is_null(), theirs["chunks"].is_null(), "{name}");
    }
}

fn assert_same_bytes(name: &str, ours: (&Described, &Json), theirs: (&Described, &Json)) {
    let samples = |(described, json): (&Described, &Json)| -> BTreeMap<u64, (usize, Vec<u8>)> {
        let blocks = json["blocks"].as_array().unwrap();
        let ends = blocks.iter().skip(1).map(|block| size(&block[2]));
        blocks
            .iter()
            .zip(ends.chain([size(&json["vector"][3])]))
            .map(|(block, end)| {
                let bytes = described.bytes[size(&block[2])..end].to_vec();
                (unsigned(&block[0]), (size(&block[1]), bytes))
            })
            .collect()
    };
    assert!(samples(ours) == samples(theirs), "{name}: other samples");
}

#[test]
fn metadata_made_by_digital_rf_is_read_equal() {
    let python = require_python!();
    let dir = temp_dir();
    let (top, described, _) = make(&python, dir.path());
    let theirs = &described.json["metadata"];
    let reader = MetadataReader::open(top.join("metadata_only")).unwrap();
    let rate = reader.layout().rate;
    assert_eq!(theirs["rate"], serde_json::json!([rate.num(), rate.den()]));
    assert_eq!(theirs["fields"], serde_json::json!(reader.fields()));
    let (bounds, _) = reader.bounds().unwrap();
    let bounds = bounds.unwrap();
    assert_eq!(theirs["bounds"], serde_json::json!([bounds.start, bounds.end - 1]));

    let records = reader.read(bounds.clone()).unwrap();
    let samples = theirs["samples"].as_object().unwrap();
    assert_eq!(records.len(), samples.len());
    for (sample, record) in &records {
        assert_eq!(record_json(record), samples[&sample.to_string()], "sample {sample}");
    }
    // Between two samples, the earlier one holds; before the first, none does.
    let (second, record) = &records[1];
    assert_eq!(reader.at(second + 1).unwrap().as_ref(), Some(&(*second, record.clone())));
    assert_eq!(reader.at(bounds.start - 1).unwrap(), None);
}

/// A record as `digital_rf_describe.py` puts it: floats as text, arrays row by row.
fn record_json(record: &Record) -> Json {
    fn float(x: f64) -> String {
        format!("{x:?}")
    }
    fn value(value: &Value) -> Json {
        match value {
            Value::Int(x) => (*x).into(),
            Value::Float(x) => float(*x).into(),
            Value::Text(text) => text.as_str().into(),
            Value::Ints(array) => array.values.clone().into(),
            Value::Floats(array) => array
                .values
                .chunks(array.shape[1])
                .map(|row| {
                    let row: Vec<String> = row.iter().map(|&x| float(x)).collect();
                    format!("[{}]", row.join(", "))
                })
                .collect::<Vec<_>>()
                .into(),
            Value::Group(inner) => record_json(inner),
            other => panic!("{other:?} was not written"),
        }
    }
    record
        .iter()
        .map(|(name, x)| (name.clone(), value(x)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// Floats, ints and texts keep their exact types through attributes of our own files.
#[test]
fn attributes_are_to_h5py_what_they_are_to_us() {
    let python = require_python!();
    let dir = temp_dir();
    let path = dir.path().join("attrs.h5");
    let attrs = [
        ("i32", AttrValue::I32(-7), "int32 -7"),
        ("i64", AttrValue::I64(1 << 40), "int64 1099511627776"),
        ("u64", AttrValue::U64(u64::MAX), "uint64 18446744073709551615"),
        ("f32", AttrValue::F32(0.5), "float32 0.5"),
        ("f64", AttrValue::F64(-0.25), "float64 -0.25"),
        ("bool", AttrValue::Bool(true), "bool True"),
        ("str", AttrValue::from("µs"), "str µs"),
        ("empty", AttrValue::from(""), "str "),
        ("i64s", AttrValue::I64s(vec![1, -2]), "ndarray int64 [1, -2]"),
        ("f64s", AttrValue::F64s(vec![0.5, 2.0]), "ndarray float64 [0.5, 2.0]"),
        ("strs", AttrValue::Strs(vec!["a".into(), "bé".into()]), "ndarray object ['a', 'bé']"),
    ];
    let mut file = FileWriter::create(&path).unwrap();
    file.write_scalar("data", 1_i32).unwrap();
    file.group("outer/inner").unwrap();
    for object in ["/", "outer/inner", "data"] {
        for (name, value, _) in &attrs {
            file.set_attr(object, name, value).unwrap();
        }
    }
    file.publish(Publish::New).unwrap();
    let printed = run_python(&python, "hdf5_attrs.py", [&path]);
    let seen: Vec<&str> = printed.lines().collect();
    for object in ["/", "/outer/inner", "/data"] {
        for (name, _, expected) in &attrs {
            let line = format!("{object} {name} {expected}");
            assert!(seen.contains(&line.as_str()), "no line {line:?} in\n{printed}");
        }
    }
    let file = digital_rf::hdf5::File::open(&path).unwrap();
    for (name, value, _) in attrs {
        assert_eq!(file.attr("outer/inner", name).unwrap(), Some(value.clone()), "{name}");
        assert_eq!(file.dataset("data").unwrap().attr(name).unwrap(), Some(value), "{name}");
    }
}

/// Scales and labels made by us, in a file of ours and added to one that h5py wrote.
#[test]
fn dimension_scales_are_to_h5py_as_if_it_had_made_them() {
    let python = require_python!();
    let dir = temp_dir();
    let ours = dir.path().join("ours.h5");
    let mut file = FileWriter::create(&ours).unwrap();
    let plain = DatasetOptions::default();
    file.write("ranges", &[3], &[1.0, 2.0, 3.0], &plain).unwrap();
    file.write("integration_index", &[2], &[0_i64, 1], &plain).unwrap();
    file.write("unused", &[4], &[0.0_f64; 4], &plain).unwrap();
    for scale in ["ranges", "integration_index", "unused"] {
        file.make_scale(scale, scale).unwrap();
    }
    file.write("gmf", &[2, 3], &[0.5_f32; 6], &DatasetOptions::compressed(4)).unwrap();
    file.attach_scale("gmf", 0, "integration_index").unwrap();
    file.attach_scale("gmf", 1, "ranges").unwrap();
    file.label_dims("gmf", &["t", "r"]).unwrap();
    file.write("pointing", &[2, 2], &[90.0_f64, 45.0, 91.0, 46.0], &plain).unwrap();
    file.attach_scale("pointing", 0, "integration_index").unwrap();
    file.label_dims("pointing", &["t", ""]).unwrap();
    file.publish(Publish::New).unwrap();

    let folder = polychron_tests::data_dir()
        .join("gmf/dev1-c64-dec10-nipp10/expected-c-fgmf/2021-04-12T12-00-00");
    let theirs = dir.path().join("theirs.h5");
    // Not `fs::copy`: what was recorded may be read-only.
    fs::write(&theirs, fs::read(folder.join("gmf-1618229740000000.h5")).unwrap()).unwrap();

    for path in [&ours, &theirs] {
        let mut file = FileWriter::amend(path).unwrap();
        file.write("best", &[2], &[1.5_f32, 2.5], &plain).unwrap();
        file.attach_scale("best", 0, "integration_index").unwrap();
        file.label_dims("best", &["t"]).unwrap();
        file.set_attr("best", "long_name", &AttrValue::from("best of all")).unwrap();
        file.publish(Publish::Replace).unwrap();
        let dims = |name: &str| {
            let printed = run_python(&python, "hdf5_dims.py", [path.as_os_str(), name.as_ref()]);
            serde_json::from_str::<Json>(&printed).unwrap()
        };
        let index = serde_json::json!(["t", ["integration_index"], [0.0, 1.0]]);
        let none = serde_json::json!(["", [], []]);
        let label = |axis: usize, name: &str| dims(name)[axis].clone();
        assert_eq!(dims("best"), serde_json::json!([index]));
        assert_eq!(label(0, "gmf"), index);
        assert_eq!(label(1, "gmf")[0], "r");
        assert_eq!(label(1, "gmf")[1], serde_json::json!(["ranges"]));
        assert_eq!(dims("pointing"), serde_json::json!([index, none]));
    }
}
