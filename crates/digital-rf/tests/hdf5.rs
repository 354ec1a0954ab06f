//! HDF5 files: what is written is read, and a file appears whole, once, or not at all.

#![expect(clippy::unwrap_used, reason = "a test may panic anywhere, in its helpers too")]

use std::{fs, path::Path, sync::Barrier};

use digital_rf::hdf5::{
    Array, AttrValue, DatasetOptions, Element, ElementType, File, FileWriter, Hdf5Error, Publish,
};

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn write_all<T: Element + PartialEq>(file: &mut FileWriter, to: fn(u32) -> T) {
    let name = T::SCALAR.name();
    let values: Vec<T> = (0..24).map(to).collect();
    for (kind, options) in options() {
        file.write(&format!("{name}/{kind}"), &[2, 3, 4], &values, &options).unwrap();
    }
    file.write_scalar(&format!("{name}/scalar"), to(7)).unwrap();
    file.write::<T>(&format!("{name}/empty"), &[0, 3], &[], &DatasetOptions::default()).unwrap();
}

fn options() -> [(&'static str, DatasetOptions); 5] {
    [
        ("plain", DatasetOptions::default()),
        ("compressed", DatasetOptions::compressed(9)),
        ("chunked", DatasetOptions { chunk: Some(vec![2, 2, 3]), ..Default::default() }),
        (
            "all",
            DatasetOptions {
                chunk: Some(vec![1, 3, 3]),
                shuffle: true,
                deflate: Some(3),
                fletcher32: true,
                max_shape: Some(vec![None, Some(3), Some(8)]),
                ..Default::default()
            },
        ),
        (
            "larger chunk",
            DatasetOptions {
                chunk: Some(vec![5, 5, 5]),
                max_shape: Some(vec![Some(9); 3]),
                ..DatasetOptions::compressed(1)
            },
        ),
    ]
}

fn read_all<T: Element + PartialEq>(file: &File, to: fn(u32) -> T) {
    let name = T::SCALAR.name();
    let expected = Array { shape: vec![2, 3, 4], values: (0..24).map(to).collect() };
    for (kind, _) in options() {
        let dataset = file.dataset(&format!("{name}/{kind}")).unwrap();
        assert_eq!(dataset.read::<T>().unwrap(), expected, "{name}/{kind}");
        let mut row = vec![0; dataset.row_bytes()];
        dataset.read_rows_into(1, &mut row).unwrap();
        let values: Vec<T> = bytemuck::pod_collect_to_vec(&row);
        assert_eq!(values, expected.values[12..], "{name}/{kind}");
        assert!(matches!(dataset.read_rows_into(2, &mut row), Err(Hdf5Error::Shape { .. })));
    }
    let scalar = file.dataset(&format!("{name}/scalar")).unwrap();
    assert_eq!(scalar.shape(), &[] as &[usize]);
    assert_eq!(scalar.read_scalar::<T>().unwrap(), to(7));
    let empty = file.dataset(&format!("{name}/empty")).unwrap().read::<T>().unwrap();
    assert_eq!(empty, Array { shape: vec![0, 3], values: vec![] });
}

macro_rules! for_all_numbers {
    ($call:ident, $file:expr) => {
        $call::<i8>($file, |k| k as i8 - 12);
        $call::<i16>($file, |k| k as i16 * 1000 - 12_000);
        $call::<i32>($file, |k| k as i32 * 70_000_000 - 800_000_000);
        $call::<i64>($file, |k| i64::from(k) * (1 << 58) - (1 << 61));
        $call::<u8>($file, |k| k as u8 * 10);
        $call::<u16>($file, |k| k as u16 * 2500);
        $call::<u32>($file, |k| k * 170_000_000);
        $call::<u64>($file, |k| u64::from(k) << 59);
        $call::<f32>($file, |k| (k as f32 - 11.0) / 7.0);
        $call::<f64>($file, |k| (f64::from(k) - 11.0) / 7.0);
    };
}

#[test]
fn every_number_comes_back_from_every_way_to_store_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("numbers.h5");
    let mut file = FileWriter::create(&path).unwrap();
    for_all_numbers!(write_all, &mut file);
    file.publish(Publish::New).unwrap();
    let file = File::open(&path).unwrap();
    for_all_numbers!(read_all, &file);
    assert_eq!(file.groups("/").unwrap().len(), 10);
    assert_eq!(file.datasets("int16").unwrap().len(), 7);
    assert!(file.exists("int16").unwrap() && file.exists("/int16/plain").unwrap());
    assert!(!file.exists("int17").unwrap() && !file.exists("int16/plain/x").unwrap());
    // Numbers are read as what they are, or all as f64, and never as something else.
    let dataset = file.dataset("int16/plain").unwrap();
    assert!(matches!(dataset.read::<i32>(), Err(Hdf5Error::Type { .. })));
    assert!(matches!(dataset.read_strings(), Err(Hdf5Error::Type { .. })));
    assert_eq!(dataset.read_f64().unwrap().values[13], 1000.0);
    assert!(matches!(file.dataset("nothing"), Err(Hdf5Error::Missing { .. })));
}

#[test]
fn texts_and_bools_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("texts.h5");
    let mut file = FileWriter::create(&path).unwrap();
    file.write_str("deep/er/one", "µ").unwrap();
    file.write_str("none", "").unwrap();
    file.write_strs("some", &["a", "", "c d"]).unwrap();
    let fixed = ElementType::FixedString { len: 4 };
    file.write_bytes("fixed", &fixed, &[2], b"ab\0\0wxyz", &DatasetOptions::default()).unwrap();
    let bools = [0, 1, 1];
    file.write_bytes("bools", &ElementType::Bool, &[3], &bools, &DatasetOptions::default())
        .unwrap();
    file.publish(Publish::New).unwrap();
    let file = File::open(&path).unwrap();
    let texts = |name: &str| file.dataset(name).unwrap().read_strings().unwrap();
    assert_eq!(texts("deep/er/one"), Array { shape: vec![], values: vec!["µ".to_owned()] });
    assert_eq!(texts("none").values, [""]);
    assert_eq!(texts("some").values, ["a", "", "c d"]);
    assert_eq!(texts("fixed").values, ["ab", "wxyz"]);
    assert_eq!(file.dataset("bools").unwrap().element(), &ElementType::Bool);
    assert_eq!(file.dataset("bools").unwrap().read_f64().unwrap().values, [0.0, 1.0, 1.0]);
}

#[test]
fn the_same_calls_make_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str| {
        let path = dir.path().join(name);
        let mut file = FileWriter::create(&path).unwrap();
        for_all_numbers!(write_all, &mut file);
        file.make_scale("int16/empty", "empty").unwrap();
        file.attach_scale("int16/plain", 1, "int16/empty").unwrap();
        file.label_dims("int16/plain", &["a", "", "c"]).unwrap();
        file.set_attr("/", "text", &AttrValue::from("text")).unwrap();
        file.write_str("text", "text").unwrap();
        file.publish(Publish::New).unwrap();
        fs::read(path).unwrap()
    };
    let (a, b) = (write("a.h5"), write("b.h5"));
    assert!(a == b);
}

#[test]
fn a_file_appears_only_when_it_is_published() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.h5");
    let mut file = FileWriter::create(&path).unwrap();
    file.write_scalar("x", 1.0).unwrap();
    let [under_way] = &names(dir.path())[..] else { panic!("{:?}", names(dir.path())) };
    assert!(under_way.starts_with("tmp.out."), "{under_way}");
    drop(file);
    assert!(names(dir.path()).is_empty(), "{:?}", names(dir.path()));

    // A failure in between, too, leaves nothing.
    let mut file = FileWriter::create(&path).unwrap();
    let error = file.write("x", &[3], &[1.0, 2.0], &DatasetOptions::default()).unwrap_err();
    assert!(matches!(error, Hdf5Error::Shape { .. }), "{error}");
    let error = file.attach_scale("x", 0, "y").unwrap_err();
    assert!(matches!(error, Hdf5Error::Missing { .. }), "{error}");
    drop(file);
    assert!(names(dir.path()).is_empty());
    let error = FileWriter::create(dir.path().join("nowhere/out.h5")).unwrap_err();
    assert!(matches!(error, Hdf5Error::Open { .. }), "{error}");
}

#[test]
fn a_file_that_is_there_is_replaced_or_kept_as_asked() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.h5");
    let write = |value: f64, how| {
        let mut file = FileWriter::create(&path)?;
        file.write_scalar("x", value)?;
        file.publish(how)
    };
    let read = || File::open(&path).unwrap().dataset("x").unwrap().read_scalar::<f64>().unwrap();
    write(1.0, Publish::New).unwrap();
    let error = write(2.0, Publish::New).unwrap_err();
    assert!(matches!(&error, Hdf5Error::Exists { path: at } if *at == path), "{error}");
    assert_eq!(read(), 1.0);
    write(3.0, Publish::Replace).unwrap();
    assert_eq!(read(), 3.0);
    assert_eq!(names(dir.path()), ["out.h5"]);
}

#[cfg(unix)]
#[test]
fn a_file_may_be_read_by_those_who_may_read_others() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
    let (ours, usual) = (dir.path().join("ours.h5"), dir.path().join("usual"));
    FileWriter::create(&ours).unwrap().publish(Publish::New).unwrap();
    fs::write(&usual, "").unwrap();
    assert_eq!(mode(&ours), mode(&usual));
}

#[test]
fn of_several_writers_exactly_one_wins() {
    const WRITERS: i64 = 8;
    let dir = tempfile::tempdir().unwrap();
    let path = &dir.path().join("out.h5");
    let barrier = &Barrier::new(WRITERS as usize);
    let winners: Vec<i64> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..WRITERS)
            .map(|k| {
                scope.spawn(move || {
                    let mut file = FileWriter::create(path).unwrap();
                    file.write_scalar("writer", k).unwrap();
                    barrier.wait();
                    match file.publish(Publish::New) {
                        Ok(()) => Some(k),
                        Err(Hdf5Error::Exists { .. }) => None,
                        Err(error) => panic!("{error}"),
                    }
                })
            })
            .collect();
        threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
    });
    let [winner] = winners[..] else { panic!("{winners:?}") };
    let file = File::open(path).unwrap();
    assert_eq!(file.dataset("writer").unwrap().read_scalar::<i64>().unwrap(), winner);
    assert_eq!(names(dir.path()), ["out.h5"]);
}

#[test]
fn a_file_is_amended_with_all_that_was_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.h5");
    let mut file = FileWriter::create(&path).unwrap();
    file.write("gmf", &[3], &[1.0_f32, 2.0, 3.0], &DatasetOptions::default()).unwrap();
    file.write("index", &[3], &[0_i64, 1, 2], &DatasetOptions::default()).unwrap();
    file.make_scale("index", "index").unwrap();
    file.attach_scale("gmf", 0, "index").unwrap();
    file.set_attr("gmf", "long_name", &AttrValue::from("power")).unwrap();
    file.group("processing").unwrap();
    file.publish(Publish::New).unwrap();
    let before = fs::read(&path).unwrap();

    let mut file = FileWriter::amend(&path).unwrap();
    assert!(file.has_dataset("gmf") && !file.has_dataset("best"));
    file.write("best", &[3], &[4.0_f32, 5.0, 6.0], &DatasetOptions::default()).unwrap();
    file.attach_scale("best", 0, "index").unwrap();
    file.set_attr("processing", "steps", &AttrValue::I64(2)).unwrap();
    assert!(fs::read(&path).unwrap() == before, "changed before it was published");
    file.publish(Publish::Replace).unwrap();

    let file = File::open(&path).unwrap();
    let read = |name: &str| file.dataset(name).unwrap().read::<f32>().unwrap().values;
    assert_eq!(read("gmf"), [1.0, 2.0, 3.0]);
    assert_eq!(read("best"), [4.0, 5.0, 6.0]);
    assert_eq!(file.attr("processing", "steps").unwrap(), Some(AttrValue::I64(2)));
    assert_eq!(file.dataset("gmf").unwrap().attr("long_name").unwrap(), Some("power".into()));
    // A second dataset of the same name is refused.
    let mut file = FileWriter::amend(&path).unwrap();
    assert!(file.write("best", &[1], &[0.0_f32], &DatasetOptions::default()).is_err());
    drop(file);
    assert_eq!(names(dir.path()), ["out.h5"]);
    let error = FileWriter::amend(dir.path().join("none.h5")).unwrap_err();
    assert!(error.is_not_found(), "{error}");
}

/// Rows of chunks that are stored as they are come from where they lie; those of all others as
/// before.
#[test]
fn rows_are_read_from_chunks_that_are_stored_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("chunks.h5");
    let values: Vec<u16> = (0..23 * 3).collect();
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let plain = DatasetOptions { chunk: Some(vec![5, 3]), ..Default::default() };
    let kinds = [
        ("one", DatasetOptions { chunk: Some(vec![23, 3]), ..plain.clone() }, true),
        ("many", plain.clone(), true),
        ("whole", DatasetOptions::default(), true),
        ("narrow", DatasetOptions { chunk: Some(vec![5, 2]), ..plain.clone() }, false),
        ("deflated", DatasetOptions { deflate: Some(1), ..plain.clone() }, false),
        ("summed", DatasetOptions { fletcher32: true, ..plain }, false),
    ];
    let mut file = FileWriter::create(&path).unwrap();
    for (name, options, _) in &kinds {
        file.write(name, &[23, 3], &values, options).unwrap();
    }
    file.publish(Publish::New).unwrap();
    let file = File::open(&path).unwrap();
    for (name, _, as_they_are) in kinds {
        let dataset = file.dataset(name).unwrap().seen_through().unwrap();
        assert_eq!(dataset.is_contiguous(), as_they_are, "{name}");
        assert_eq!(dataset.read_bytes().unwrap(), bytes, "{name}");
        for start in 0..23 {
            for end in start..=23 {
                let mut rows = vec![0xee; (end - start) * 6];
                dataset.read_rows_into(start, &mut rows).unwrap();
                assert_eq!(rows, bytes[start * 6..end * 6], "{name}, rows {start} to {end}");
            }
        }
        let beyond = dataset.read_rows_into(20, &mut [0; 4 * 6]);
        assert!(matches!(beyond, Err(Hdf5Error::Shape { .. })), "{name}");
    }
}
