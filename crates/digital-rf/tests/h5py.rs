//! Files of h5py (made by `data/make.py`), in every way of storing that it has.

use std::path::{Path, PathBuf};

use digital_rf::hdf5::{File, Hdf5Error};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

#[test]
fn every_way_to_store_is_read() {
    for name in ["earliest.h5", "v110.h5"] {
        let file = File::open(path(name)).unwrap();
        let mixed: Vec<i16> = (0..600).map(|k| (k * k % 1009) as i16).collect();
        for dataset in ["contiguous", "chunked", "filtered", "lzf"] {
            let dataset = file.dataset(dataset).unwrap();
            assert_eq!(dataset.read::<i16>().unwrap().values, mixed, "{name} {dataset:?}");
            let doubles: Vec<f64> = mixed.iter().map(|&x| f64::from(x)).collect();
            assert_eq!(dataset.read_f64().unwrap().values, doubles);
            // Any rows, so that chunks are cut at both ends.
            let (bytes, row) = (dataset.read_bytes().unwrap(), dataset.row_bytes());
            for (start, end) in [(0, 1), (3, 9), (6, 8), (13, 30), (29, 30), (30, 30)] {
                let mut rows = vec![1; (end - start) * row];
                dataset.read_rows_into(start, &mut rows).unwrap();
                assert_eq!(rows, bytes[start * row..end * row], "{name} {start}..{end}");
            }
        }
        let grows: Vec<f32> = (0..50).map(|k| if k < 5 { k as f32 } else { -1.5 }).collect();
        assert_eq!(file.dataset("grows").unwrap().read::<f32>().unwrap().values, grows, "{name}");
        assert_eq!(file.dataset("never").unwrap().read::<f64>().unwrap().values, [0.0; 5]);
        let texts = file.dataset("texts").unwrap().read_strings().unwrap();
        assert_eq!(texts.values, ["one", "two", "three"]);
    }
}

/// Of 4 MB only 400 bytes were written: rows are read as they are; the whole only by a caller who
/// says that it may be so large, since a damaged shape looks just the same.
#[test]
fn a_sparse_dataset_is_read_by_rows_or_on_demand() {
    for name in ["earliest.h5", "v110.h5"] {
        let file = File::open(path(name)).unwrap();
        let dataset = file.dataset("group/sparse").unwrap();
        let expected = |row: usize, column: usize| match (row, column) {
            (5000..5010, 20..30) => ((row - 5000) * 10 + column - 20) as i32,
            _ => 7,
        };
        let mut rows = vec![0_i32; 5 * 100];
        for start in [0, 4998, 5005, 5009, 9995] {
            dataset.read_rows_into(start, bytemuck::cast_slice_mut(&mut rows)).unwrap();
            for (at, &value) in rows.iter().enumerate() {
                assert_eq!(value, expected(start + at / 100, at % 100), "{name} {start} {at}");
            }
        }
        let error = dataset.read::<i32>().unwrap_err();
        assert!(matches!(error, Hdf5Error::TooLarge { claimed: 4_000_000, .. }), "{error}");
        let all = dataset.with_unwritten(4_000_000).read::<i32>().unwrap().values;
        assert_eq!(all.len(), 1_000_000);
        assert!(all.iter().enumerate().all(|(at, &x)| x == expected(at / 100, at % 100)));
    }
}

/// Silence shrinks to a thousandth, and is there all the same.
#[test]
fn silence_is_read_whole() {
    let file = File::open(path("silence.h5")).unwrap();
    let zeros = file.dataset("zeros").unwrap();
    zeros.check_size().unwrap();
    assert_eq!(zeros.read::<i16>().unwrap().values, vec![0; 1 << 20]);
    assert_eq!(file.dataset("one").unwrap().read_bytes().unwrap(), vec![0; 1 << 20]);
}
