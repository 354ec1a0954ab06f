//! Damaged files: an error that names the file, or what can still be read; never a panic, never
//! more memory than `digital_rf::hdf5` says in its section on damaged files, and never without end.
#![expect(clippy::unwrap_used, reason = "a test may panic anywhere, in its helpers too")]

use std::{
    fs,
    path::{Path, PathBuf},
    sync::mpsc,
    time::Duration,
};

use digital_rf::{
    ChannelConfig, ChannelWriter, MetadataLayout, MetadataReader, MetadataWriter, ReadError,
    Reader, Record, Sample, SampleRate, Value,
    hdf5::{AttrValue, Dataset, DatasetOptions, File, FileWriter, Hdf5Error, Publish},
};
use num_complex::{Complex, Complex32};

mod counting;
mod damages;
use counting::peak;
use damages::{Numbers, damages, structures};

/// Room for what does not depend on the file: the state of a decoder, small buffers, names.
const FREE_BYTES: usize = 64 << 10;

const START: u64 = 1_618_229_740_000_250;

/// Three files of 1000 samples, the first and the last not full.
fn write_channel<T: Sample>(dir: &Path, sample: fn(i16, i16) -> T, change: fn(&mut ChannelConfig)) {
    let mut config = ChannelConfig {
        file_cadence_ms: 1,
        subdir_cadence_secs: 1,
        ..ChannelConfig::new(SampleRate::from_hz(1_000_000).unwrap(), START)
    };
    change(&mut config);
    let mut numbers = Numbers(1);
    let mut samples = || {
        let part = numbers.next();
        sample(part as i16, (part >> 16) as i16)
    };
    let mut writer = ChannelWriter::create(dir, config).unwrap();
    writer.write(&(0..400).map(|_| samples()).collect::<Vec<_>>()).unwrap();
    writer.write_at(START + 500, &(0..1500).map(|_| samples()).collect::<Vec<_>>()).unwrap();
    writer.finish().unwrap();
}

fn write_metadata(dir: &Path) {
    let layout = MetadataLayout::new(SampleRate::from_hz(10).unwrap());
    let mut writer = MetadataWriter::create(dir, layout).unwrap();
    for k in 0..20 {
        let fields = [
            ("azimuth", Value::Float(k as f64)),
            ("name", Value::Text(format!("beam {k}"))),
            ("inner", Value::Group(Record::from([("x".to_owned(), Value::Int(7))]))),
        ];
        writer.write(16_182_297_400 + k, fields.map(|(n, v)| (n.to_owned(), v)).into()).unwrap();
    }
    writer.finish().unwrap();
}

fn write_results(path: &Path) {
    let mut file = FileWriter::create(path).unwrap();
    let values: Vec<f32> = (0..6000).map(|k| (k as f32).sin()).collect();
    let chunked = DatasetOptions { chunk: Some(vec![7, 40]), ..DatasetOptions::compressed(4) };
    file.write("gmf", &[100, 60], &values, &chunked).unwrap();
    file.write("ranges", &[60], &[1.5_f64; 60], &DatasetOptions::default()).unwrap();
    file.make_scale("ranges", "ranges").unwrap();
    file.attach_scale("gmf", 1, "ranges").unwrap();
    file.label_dims("gmf", &["t", "r"]).unwrap();
    file.write_scalar("epoch", 1.0_f64).unwrap();
    file.write_str("note", "text").unwrap();
    file.write_strs("notes", &["a", "b"]).unwrap();
    file.group("processing").unwrap();
    for (name, value) in [("n", AttrValue::I64(1)), ("s", AttrValue::from("x"))] {
        file.set_attr("processing", name, &value).unwrap();
    }
    file.publish(Publish::New).unwrap();
}

/// What is asked for of an HDF5 file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// What it has, and what that says about itself.
    Headers,
    /// All elements as they are stored.
    Stored,
    /// All elements as doubles or texts.
    Widened,
}

/// Reads what there is in an HDF5 file, and gives the first error.
fn walk(path: &Path, wanted: Wanted) -> Result<(), Hdf5Error> {
    fn group(file: &File, path: &str, wanted: Wanted, depth: usize) -> Result<(), Hdf5Error> {
        let mut result = file.attrs(path).map(drop);
        for name in file.datasets(path)? {
            result = result.and(dataset(&file.dataset(&format!("{path}/{name}"))?, wanted));
        }
        for name in file.groups(path)?.into_iter().take(if depth < 8 { 100 } else { 0 }) {
            result = result.and(group(file, &format!("{path}/{name}"), wanted, depth + 1));
        }
        result
    }
    fn dataset(dataset: &Dataset, wanted: Wanted) -> Result<(), Hdf5Error> {
        match wanted {
            Wanted::Headers => dataset.attrs().map(drop),
            Wanted::Widened => {
                let _ = dataset.read_strings();
                let _ = dataset.read_f64();
                Ok(())
            }
            Wanted::Stored => {
                let mut row = vec![0; dataset.row_bytes().min(1 << 12)];
                let _ = dataset.read_rows_into(0, &mut row);
                match dataset.read_bytes() {
                    // Much larger than what was written of it.
                    Err(Hdf5Error::TooLarge { object, .. }) if object.ends_with("sparse") => Ok(()),
                    result => result.map(drop),
                }
            }
        }
    }
    group(&File::open(path)?, "", wanted, 0)
}

/// Does with a folder what a user may do with one that holds channels or metadata.
fn use_folder(top: &Path) {
    if let Ok(reader) = Reader::open(top) {
        let Ok(channel) = reader.channel("rx") else { return };
        let _ = channel.bounds();
        // A damaged rate can put these samples beyond all dates.
        let coverage = channel.coverage(START..START + 3000).unwrap_or_default();
        let mut out = vec![Complex32::default(); 100];
        for block in coverage.blocks {
            let _ = channel.read_complex32(block.start, 0, &mut out);
        }
        let _ = channel.read_complex32(START, 0, &mut out);
        let _ = channel.read_complex32(START + 600, 0, &mut out);
    }
    if let Ok(reader) = MetadataReader::open(top) {
        let _ = reader.bounds();
        let _ = reader.read(16_182_297_400..16_182_297_410);
        let _ = reader.at(16_182_297_450);
    }
}

/// One kind of product, and the file of it that is damaged.
struct Case {
    top: PathBuf,
    file: PathBuf,
    /// Whether its datasets come to more than what is in the file.
    is_deflated: bool,
}

fn cases(dir: &Path) -> Vec<Case> {
    const FIRST: &str = "rx/2021-04-12T12-15-40/rf@1618229740.000.h5";
    let mut cases = Vec::new();
    let kinds = [
        ("plain", (|_| {}) as fn(&mut ChannelConfig)),
        ("gapped", |c| c.is_continuous = false),
        ("deflated", |c| c.compression = 4),
        ("summed", |c| (c.compression, c.checksum) = (1, true)),
    ];
    for (k, (name, change)) in kinds.into_iter().enumerate() {
        let top = dir.join(name);
        write_channel(&top.join("rx"), Complex::new, change);
        cases.push(Case { file: top.join(FIRST), top, is_deflated: k >= 2 });
    }
    let top = dir.join("f32");
    write_channel(&top.join("rx"), |re, im| Complex::new(f32::from(re), f32::from(im)), |_| {});
    cases.push(Case { file: top.join(FIRST), top, is_deflated: false });
    let top = dir.join("f64");
    write_channel(
        &top.join("rx"),
        |re, im| Complex::new(f64::from(re), f64::from(im)),
        |c| {
            c.is_continuous = false;
        },
    );
    cases.push(Case { file: top.join(FIRST), top, is_deflated: false });
    let plain = dir.join("plain");
    cases.push(Case { file: plain.join("rx/drf_properties.h5"), top: plain, is_deflated: false });
    let top = dir.join("metadata");
    write_metadata(&top);
    let file = top.join("2021-04-12T12-00-00/metadata@1618229740.h5");
    let file =
        if file.exists() { file } else { top.join("2021-04-12T12-00-00/metadata@1618229700.h5") };
    cases.push(Case { file, top: top.clone(), is_deflated: false });
    cases.push(Case { file: top.join("dmd_properties.h5"), top, is_deflated: false });
    let top = dir.join("results");
    fs::create_dir(&top).unwrap();
    write_results(&top.join("gmf.h5"));
    cases.push(Case { file: top.join("gmf.h5"), top, is_deflated: true });
    // Made by the real packages.
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/gmf");
    for (from, to) in [
        ("dev2-i16-dec16-nipp5/drf/rx/drf_properties.h5", "properties.h5"),
        (
            "dev2-i16-dec16-nipp5/expected-c-fgmf/2021-04-12T12-00-00/gmf-1618229740000000.h5",
            "gmf.h5",
        ),
    ] {
        let top = dir.join(format!("golden-{to}"));
        fs::create_dir(&top).unwrap();
        fs::write(top.join(to), fs::read(golden.join(from)).unwrap()).unwrap();
        cases.push(Case { file: top.join(to), top, is_deflated: to == "gmf.h5" });
    }
    // Made by h5py, and by polychron (`make.py` says how).
    for name in ["earliest.h5", "v110.h5", "silence.h5", "gmf.h5"] {
        let top = dir.join(format!("kept-{name}"));
        fs::create_dir(&top).unwrap();
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
        fs::write(top.join(name), fs::read(from).unwrap()).unwrap();
        cases.push(Case { file: top.join(name), top, is_deflated: true });
    }
    cases
}

/// The most that a dataset in chunks honestly comes to, and the most that one comes to in doubles.
fn content(path: &Path) -> (usize, usize) {
    fn group(file: &File, path: &str, sizes: &mut (usize, usize)) {
        for name in file.datasets(path).unwrap() {
            let dataset = file.dataset(&format!("{path}/{name}")).unwrap();
            if let Err(Hdf5Error::TooLarge { .. }) = dataset.check_size() {
                continue; // never written
            }
            let n: usize = dataset.shape().iter().product();
            let in_chunks = if dataset.is_contiguous() { 0 } else { n * dataset.element().size() };
            *sizes = (sizes.0.max(in_chunks), sizes.1.max(n * 8));
        }
        for name in file.groups(path).unwrap() {
            group(file, &format!("{path}/{name}"), sizes);
        }
    }
    let mut sizes = (0, 0);
    group(&File::open(path).unwrap(), "", &mut sizes);
    sizes
}

/// The bytes of all files that are read with a case.
fn length(top: &Path) -> usize {
    let entry = |entry: std::io::Result<fs::DirEntry>| {
        let path = entry.unwrap().path();
        if path.is_dir() { length(&path) } else { fs::metadata(path).unwrap().len() as usize }
    };
    fs::read_dir(top).unwrap().map(entry).sum()
}

/// Damages a file in many ways, and gives in how many.
fn damage(case: &Case, name: &str, numbers: &mut Numbers, report: impl Fn(&str)) -> usize {
    let whole = fs::read(&case.file).unwrap();
    for wanted in [Wanted::Headers, Wanted::Stored, Wanted::Widened] {
        walk(&case.file, wanted).unwrap_or_else(|error| panic!("{name} undamaged: {error:?}"));
    }
    use_folder(&case.top);
    let (stored, widened) = content(&case.file);
    let inflated = if case.is_deflated { stored } else { 0 };
    let others = length(&case.top) - whole.len();
    let all = damages(&whole, numbers);
    for (k, damage) in all.iter().enumerate() {
        let what = format!("{name}: {damage}");
        report(&what);
        let len = damage.inflict(&case.file, &whole).unwrap();
        let within = |limit: usize, work: &dyn Fn()| {
            let (peak, limit) = (peak(work), limit + FREE_BYTES);
            assert!(peak <= limit, "{what}: {peak} bytes, more than {limit}");
        };
        let walk = |wanted: Wanted| {
            if let Err(error) = walk(&case.file, wanted) {
                assert!(error.to_string().contains(name), "{what}: {error}");
            }
        };
        within(4 * len, &|| walk(Wanted::Headers));
        within(4 * len + 4 * inflated, &|| walk(Wanted::Stored));
        // These two go through the same headers again, and cost most of the time.
        if k % 4 == 0 {
            within(4 * len + 4 * inflated + widened, &|| walk(Wanted::Widened));
            within(4 * (len + others) + 4 * inflated, &|| use_folder(&case.top));
        }
        damage.heal(&case.file, &whole).unwrap();
    }
    assert!(fs::read(&case.file).unwrap() == whole, "{name} is not whole again");
    all.len()
}

/// Two threads, each of which damages every second file.
const THREADS: usize = 2;

fn damage_all(seed: u64, thread: usize, report: &mpsc::Sender<(usize, String)>) -> usize {
    let dir = tempfile::tempdir().unwrap();
    let mut numbers = Numbers(seed);
    let one = |case: &Case| {
        let name = case.file.strip_prefix(dir.path()).unwrap().display().to_string();
        damage(case, &name, &mut numbers, |what| report.send((thread, what.to_owned())).unwrap())
    };
    cases(dir.path()).iter().skip(thread).step_by(THREADS).map(one).sum()
}

#[test]
fn a_damaged_file_neither_panics_nor_hangs_nor_takes_memory() {
    // More seeds on demand: POLYCHRON_DAMAGE_SEEDS=100.
    let n_seeds = std::env::var("POLYCHRON_DAMAGE_SEEDS").map_or(1, |n| n.parse().unwrap());
    let (sender, receiver) = mpsc::channel();
    let workers: Vec<_> = (0..THREADS)
        .map(|thread| {
            let sender = sender.clone();
            let all =
                move || (0..n_seeds).map(|k| damage_all(20_210_412 + k, thread, &sender)).sum();
            std::thread::spawn(all)
        })
        .collect();
    drop(sender);
    let mut last = vec![String::new(); THREADS];
    // The channel closes when the workers end, well or not.
    loop {
        match receiver.recv_timeout(Duration::from_secs(20)) {
            Ok((thread, now)) => last[thread] = now,
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("no end after {last:?}"),
        }
    }
    let join = |(worker, last): (std::thread::JoinHandle<usize>, String)| {
        worker.join().unwrap_or_else(|_| panic!("panicked at {last}"))
    };
    let tried: usize = workers.into_iter().zip(last).map(join).sum();
    assert!(tried >= 10_000, "{tried}");
}

#[test]
fn a_dataset_that_claims_too_much_is_refused_before_memory_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("claims.h5");
    for options in [
        DatasetOptions { chunk: Some(vec![100, 3]), ..DatasetOptions::default() },
        DatasetOptions { chunk: Some(vec![100, 3]), ..DatasetOptions::compressed(6) },
    ] {
        // A size that is found nowhere else in the file, to be replaced by a larger one.
        let (rows, huge) = (777_u64, 777_u64 << 40);
        let mut file = FileWriter::create(&path).unwrap();
        file.write("data", &[777, 3], &[1_u8; 777 * 3], &options).unwrap();
        file.publish(Publish::Replace).unwrap();
        let mut bytes = fs::read(&path).unwrap();
        let at: Vec<usize> = bytes
            .windows(16)
            .enumerate()
            .filter(|(_, w)| w[..8] == rows.to_le_bytes() && w[8..] == 3_u64.to_le_bytes())
            .map(|(at, _)| at)
            .collect();
        assert!(!at.is_empty());
        for at in at {
            bytes[at..at + 8].copy_from_slice(&huge.to_le_bytes());
        }
        fs::write(&path, &bytes).unwrap();
        let mut error = None;
        let peak =
            peak(|| error = File::open(&path).unwrap().dataset("data").unwrap().read::<u8>().err());
        let error = error.unwrap();
        assert!(
            matches!(error, Hdf5Error::TooLarge { claimed, .. } if claimed == 3 * huge),
            "{error:?}"
        );
        let message = error.to_string();
        assert!(message.contains("claims.h5") && message.contains("data"), "{message}");
        assert!(peak < 1 << 20, "{peak}");
    }
}

/// Silence is a megabyte in a thousandth of that, and its chunk now says that it is 4 KiB.
#[test]
fn a_chunk_that_inflates_to_more_than_its_shape_is_given_up_there() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bomb.h5");
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/silence.h5");
    let mut bytes = fs::read(from).unwrap();
    // The shape of the chunk of `one`: 2^20, of one byte.
    let shape = [0, 0, 0x10, 0, 1, 0, 0, 0];
    let places: Vec<_> = (0..bytes.len()).filter(|&at| bytes[at..].starts_with(&shape)).collect();
    let [at] = places[..] else { panic!("{places:?}") };
    bytes[at..at + 4].copy_from_slice(&4096_u32.to_le_bytes());
    fs::write(&path, &bytes).unwrap();
    let dataset = File::open(&path).unwrap().dataset("one").unwrap();
    let mut row = [1; 1];
    for read in
        [&mut || dataset.read_bytes().map(drop), &mut || dataset.read_rows_into(0, &mut row)]
            as [&mut dyn FnMut() -> Result<(), Hdf5Error>; 2]
    {
        let mut result = Ok(());
        let peak = peak(|| result = read());
        let error = result.unwrap_err();
        assert!(matches!(error, Hdf5Error::Read { .. } | Hdf5Error::TooLarge { .. }), "{error:?}");
        assert!(peak <= 4 * bytes.len() + FREE_BYTES, "{peak} for {} bytes", bytes.len());
    }
}

/// What a damaged or missing file held is lost, and nothing else; both are named.
#[test]
fn a_damaged_or_missing_file_costs_only_its_own_samples() {
    let dir = tempfile::tempdir().unwrap();
    write_channel(&dir.path().join("rx"), Complex::new, |config| config.is_continuous = false);
    let file = |k: u32| dir.path().join(format!("rx/2021-04-12T12-15-40/rf@1618229740.00{k}.h5"));
    let open = || Reader::open(dir.path()).unwrap().channel("rx").unwrap();
    let whole = fs::read(file(0)).unwrap();
    let all = START..START + 2000;
    let read =
        |start: u64, n: usize| open().read_complex32(start, 0, &mut vec![Complex32::default(); n]);
    assert_eq!(open().coverage(all.clone()).unwrap().blocks.len(), 2);

    fs::write(file(0), &whole[..whole.len() / 3]).unwrap();
    let bounds = open().bounds().unwrap();
    assert_eq!(bounds.samples, Some(START + 750..START + 2000));
    assert_eq!(bounds.skipped.len(), 1);
    assert_eq!(bounds.skipped[0].path, file(0));
    let coverage = open().coverage(all.clone()).unwrap();
    assert_eq!(Some(coverage.blocks), bounds.samples.map(|samples| vec![samples]));
    assert_eq!(coverage.skipped[0].path, file(0));
    let error = read(START + 600, 1000).unwrap_err();
    assert!(
        matches!(&error, ReadError::File { samples, .. } if *samples == (START + 600..START + 750)),
        "{error}"
    );
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("rf@1618229740.000.h5"), "{source}");
    assert!(matches!(open().read_blocks(all.clone()), Err(ReadError::File { .. })));
    read(START + 750, 1250).unwrap();

    fs::write(file(0), &whole).unwrap();
    read(START, 400).unwrap();
    let error = read(START + 350, 200).unwrap_err();
    assert!(
        matches!(&error, ReadError::Gap { sample, path, .. } if *sample == START + 400 && *path == file(0)),
        "{error}"
    );
    fs::remove_file(file(1)).unwrap();
    let error = read(START + 600, 1000).unwrap_err();
    assert!(
        matches!(&error, ReadError::Gap { sample, path, .. } if *sample == START + 750 && *path == file(1)),
        "{error}"
    );
    assert_eq!(
        open().coverage(all).unwrap().blocks,
        [START..START + 400, START + 500..START + 750, START + 1750..START + 2000]
    );
    // A file under way does not count.
    fs::rename(file(0), file(0).with_file_name("tmp.rf@1618229740.000.h5")).unwrap();
    assert_eq!(open().bounds().unwrap().samples, Some(START + 1750..START + 2000));
}

/// A file of another channel, put in by mistake.
#[test]
fn a_file_that_does_not_fit_its_channel_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    write_channel(&dir.path().join("rx"), Complex::new, |_| {});
    write_channel(&dir.path().join("two"), Complex::new, |config| {
        (config.num_subchannels, config.is_continuous) = (2, false);
    });
    let name = "2021-04-12T12-15-40/rf@1618229740.001.h5";
    fs::copy(dir.path().join("two").join(name), dir.path().join("rx").join(name)).unwrap();
    let channel = Reader::open(dir.path()).unwrap().channel("rx").unwrap();
    let mut out = vec![Complex32::default(); 1000];
    let error = channel.read_complex32(START + 600, 0, &mut out).unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("rf@1618229740.001.h5 has samples of shape"), "{source}");
}

/// A tree of chunks of ten levels, each of which has all its twenty children in the same node of the
/// next: without a limit this takes `20^9` reads.
#[test]
fn an_index_that_meets_itself_again_and_again_comes_to_an_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("maze.h5");
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/earliest.h5");
    let mut bytes = fs::read(from).unwrap();
    // The tree of `chunked`: of type 1, level 0, twenty entries; its entries are keys of 8 bytes and
    // 8 for each dimension and the element, each followed by an address.
    let roots: Vec<usize> = structures(&bytes)
        .into_iter()
        .filter(|&at| bytes[at..].starts_with(b"TREE\x01\x00\x14\x00"))
        .collect();
    let [root] = roots[..] else { panic!("{roots:?}") };
    let node = bytes[root..root + 24 + 20 * 40 + 32].to_vec();
    for level in (0..9).rev() {
        let at = bytes.len();
        bytes.extend_from_slice(&node);
        bytes[at + 5] = level;
        let next = if level == 0 { continue } else { bytes.len() as u64 };
        for k in 0..20 {
            bytes[at + 24 + k * 40 + 32..][..8].copy_from_slice(&next.to_le_bytes());
        }
    }
    let first = (bytes.len() - 9 * node.len()) as u64;
    bytes[root + 5] = 9;
    for k in 0..20 {
        bytes[root + 24 + k * 40 + 32..][..8].copy_from_slice(&first.to_le_bytes());
    }
    fs::write(&path, &bytes).unwrap();
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let dataset = File::open(&path).unwrap().dataset("chunked").unwrap();
        let mut error = None;
        let peak = peak(|| error = dataset.read_bytes().err());
        sender.send((error.unwrap(), peak)).unwrap();
    });
    let (error, peak) = receiver.recv_timeout(Duration::from_secs(20)).unwrap();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("no end"), "{error}: {cause}");
    assert!(peak < 4 * bytes.len() + FREE_BYTES, "{peak} for {} bytes", bytes.len());
}
