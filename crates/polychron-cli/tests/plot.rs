//! `plot` from outside: pictures that can be opened, are not blank, and say what they show.

#![cfg(feature = "plot")]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use digital_rf::hdf5::{DatasetOptions, FileWriter, Publish};
use tempfile::TempDir;

use common::{expect, golden, utf8};

/// Width, height and the pixels of a PNG file.
fn decode(path: &Path) -> (u32, u32, Vec<u8>) {
    let file = std::io::BufReader::new(fs::File::open(path).expect("is there"));
    let mut reader = png::Decoder::new(file).read_info().expect("is PNG");
    let mut pixels = vec![0; reader.output_buffer_size().expect("fits")];
    let info = reader.next_frame(&mut pixels).expect("is whole");
    pixels.truncate(info.buffer_size());
    assert_eq!(info.color_type, png::ColorType::Rgb);
    (info.width, info.height, pixels)
}

fn distinct_colors(pixels: &[u8]) -> usize {
    pixels.as_chunks::<3>().0.iter().collect::<BTreeSet<_>>().len()
}

/// Whether any pixel has exactly this colour.
fn has_color(pixels: &[u8], color: [u8; 3]) -> bool {
    pixels.as_chunks::<3>().0.contains(&color)
}

const KINDS: [&str; 5] = ["peaks", "detections", "map", "noise", "overview"];

/// hardtarget's own files, with and without refined peaks.
#[test]
fn every_kind_is_drawn_of_hardtargets_own_results() {
    let dir = TempDir::new().unwrap();
    for run in ["c-fgmf", "numpy-fdpt", "optimize-grid-gmf"] {
        let results = golden("dev1").join(format!("expected-{run}"));
        for kind in KINDS {
            let out = dir.path().join(format!("{run}-{kind}.png"));
            let args = ["plot", "gmf", utf8(&results), "--kind", kind, "-o", utf8(&out)];
            let (said, err) = expect(0, &args);
            assert_eq!((said.trim(), &*err), (utf8(&out), ""));
            let (width, height, pixels) = decode(&out);
            assert!(width >= 1000 && height >= 600, "{kind}: {width} x {height}");
            let n = distinct_colors(&pixels);
            assert!(n > 40, "{run}, {kind}: {n} colours");
        }
    }
}

#[test]
fn svg_has_the_words_and_no_need_of_other_files() {
    let dir = TempDir::new().unwrap();
    let results = golden("dev1").join("expected-optimize-grid-gmf");
    let draw = |more: &[&str]| {
        let out = dir.path().join("picture.svg");
        let args = ["plot", "gmf", utf8(&results), "-o", utf8(&out)];
        expect(0, &[&args, more].concat());
        fs::read_to_string(&out).expect("is text")
    };
    let svg = draw(&[]);
    assert!(svg.starts_with("<?xml") && svg.trim_end().ends_with("</svg>"));
    for words in [
        "GMF peaks of golden-dev1-c64-dec10-nipp10 (fgmf)",
        "2021-04-12 12:15:40.0 to 12:15:41.0 UTC, 5 integrations of 0.2 s",
        ">Range, km<",
        ">Range rate, km/s<",
        ">Acceleration, m/s\u{b2}<",
        ">SNR, dB<",
        ">Time, UTC<",
        "above 15 dB",
        "refined (5)",
    ] {
        assert!(svg.contains(words), "{words}");
    }
    assert!(draw(&["--not_monostatic"]).contains(">Total range, km<"));
    let svg = draw(&["--kind", "map", "--snr-db-limit", "3"]);
    for words in
        ["data:image/png;base64,", "where the SNR is above 3 dB", ">Acceleration, m/s\u{b2}<"]
    {
        assert!(svg.contains(words), "{words}");
    }
    assert!(draw(&["--kind", "noise"]).contains(">Noise floor, dB<"));
    assert!(draw(&["--kind", "detections", "--snr_dB_limit", "90"]).contains("0 of 5 peaks"));
}

#[test]
fn a_part_of_the_time_is_drawn() {
    let dir = TempDir::new().unwrap();
    let results = golden("dev1").join("expected-c-fgmf");
    let out = dir.path().join("part.svg");
    let args = ["plot", "gmf", utf8(&results), "-o", utf8(&out)];
    let whence = |more: &[&str]| {
        expect(0, &[&args, more].concat());
        let svg = fs::read_to_string(&out).expect("is text");
        svg.lines().find(|line| line.contains(" of 0.2 s")).expect("says so").to_owned()
    };
    let part = whence(&["--relative_time", "-s", "0.2", "-e", "0.4"]);
    assert!(part.contains("12:15:40.2 to 12:15:40.6 UTC, 2 integrations"), "{part}");
    let part = whence(&["-s", "2021-04-12T12:15:40.8"]);
    assert!(part.contains("12:15:40.8 to 12:15:41.0 UTC, 1 integration "), "{part}");
    assert!(whence(&["--stride", "2"]).contains("(one in 2)"));
    for (more, code, words) in [
        (&["--relative_time", "-s", "7"][..], 1, "no integration of"),
        (&["-s", "noon"], 2, "start time 'noon'"),
        (&["--relative_time", "-s", "0.4", "-e", "0.2"], 1, "must lie after"),
    ] {
        let (_, err) = expect(code, &[&args, more].concat());
        assert!(err.contains(words) && err.lines().count() == 1, "{err}");
    }
}

/// A strong echo of a simulated target is bright at its range, and only there.
#[test]
fn the_power_of_a_recording_is_drawn_where_it_is() {
    let dir = TempDir::new().unwrap();
    let product = dir.path().join("product");
    let target = "r=3000e3,v=0,a=0,snr=25";
    expect(0, &["simulate", utf8(&product), "--target", target, "--duration", "0.4"]);
    let out = dir.path().join("rti.png");
    let draw = |more: &[&str]| {
        let args = ["plot", "drf", utf8(&product), "-o", utf8(&out), "--size", "800x600"];
        expect(0, &[&args, more].concat());
        decode(&out)
    };
    let (width, height, pixels) = draw(&[]);
    assert_eq!((width, height), (800, 600));
    assert!(distinct_colors(&pixels) > 100);
    // viridis: green is what grows with the value.
    let green = |y: usize| {
        let row = pixels[y * 800 * 3..][..800 * 3].as_chunks::<3>().0;
        row[150..650].iter().map(|pixel| u32::from(pixel[1])).sum::<u32>() / 500
    };
    // The echo lasts from 3000 km for a pulse of 575 km; reception ends at 5971 km.
    let (top, bottom) = (72.0, 552.0);
    let y = |km: f64| (bottom - (km + 24.6) / 5996.0 * (bottom - top)) as usize;
    let (echo, noise) = (green(y(3300.0)), green(y(4500.0)));
    assert!(echo > noise + 60, "{echo} beside {noise}");

    let (_, _, with_tx) = draw(&["rx", "--keep-tx", "--linear", "--monostatic"]);
    assert!(with_tx != pixels);
    draw(&["rx", "--samples", "--start-range", "2900", "--end-range", "3700", "--stride", "3"]);
    let args = ["plot", "drf", utf8(&product), "-o", utf8(&out)];
    for (more, code, words) in [
        (&["tx"][..], 1, "tx"),
        (&["--start-range", "9000"], 2, "--start-range 9000 km lies outside the reception"),
        (&["--start-range", "900", "--end-range", "800"], 2, "must lie beyond"),
        (&["--relative_time", "-s", "0.39"], 1, "no whole period"),
        (&["--relative_time", "-s", "3"], 2, "lies outside the recording"),
    ] {
        let (_, err) = expect(code, &[&args, more].concat());
        assert!(err.contains(words) && err.lines().count() == 1, "{err}");
    }
}

#[test]
fn what_cannot_be_drawn_leaves_no_file() {
    let dir = TempDir::new().unwrap();
    let results = golden("dev1").join("expected-c-fgmf");
    let empty = dir.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let incomplete = dir.path().join("gmf-1.h5");
    let mut file = FileWriter::create(&incomplete).unwrap();
    file.write("gmf", &[1, 2], &[1f32, 2.0], &DatasetOptions::default()).unwrap();
    file.publish(Publish::New).unwrap();
    let (png, jpg) = (dir.path().join("x.png"), dir.path().join("x.jpg"));
    let nowhere = dir.path().join("no/such/folder/x.png");
    for (from, to, code, words) in [
        (&results, &jpg, 2, "ends in .png or .svg"),
        (&results, &nowhere, 1, "could not write"),
        (&results, &empty.with_extension("svg").join("y.svg"), 1, "could not write"),
        (&empty, &png, 1, "holds no GMF files"),
        (&incomplete, &png, 1, "gmf-1.h5"),
        (&dir.path().join("absent"), &png, 1, "could not read"),
    ] {
        let (out, err) = expect(code, &["plot", "gmf", utf8(from), "-o", utf8(to)]);
        assert!(out.is_empty() && err.contains(words), "{err}");
        assert_eq!(err.lines().count(), 1, "{err}");
        assert!(!to.exists(), "{to:?}");
    }
    expect(2, &["plot", "gmf", utf8(&results)]);
    expect(2, &["plot", "gmf", utf8(&results), "-o", "x.png", "--size", "10x10"]);
    expect(2, &["plot", "gmf", utf8(&results), "-o", "x.png", "--stride", "0"]);
    let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn the_demo_ends_with_a_picture_of_what_it_found() {
    let dir = TempDir::new().unwrap();
    let out = dir.path().join("demo");
    let (said, _) = expect(0, &["demo", "-o", utf8(&out)]);
    let picture = out.join("demo.png");
    assert!(said.contains(&format!("A picture of both:   {}", picture.display())), "{said}");
    let (_, _, pixels) = decode(&picture);
    assert!(distinct_colors(&pixels) > 200);
    // The lines of both targets.
    for color in [[0, 114, 178], [0, 138, 98]] {
        assert!(has_color(&pixels, color), "{color:?}");
    }
}
