//! The real hardtarget beside ours, on products that we simulate: it reads them, and finds the same.

use std::fs;
use std::path::{Path, PathBuf};

use polychron::Kernels;
use polychron::create_parallel_manager;
use polychron::gmf::{KernelOptions, Method, ZeroFrequency};
use polychron::gmf_pipeline::simulate::{Code, Dtype, Pointing, ProductOptions, Radar, Simulation};
use polychron::gmf_pipeline::{Analysis, FolderSink, RunControl, Source};
use polychron_tests::compare::compare;
use polychron_tests::{require_python, run_python_within, temp_dir};
use serde_json::json;

/// A product, and the search of it, within what the peer can do: gates that the decimation divides,
/// above 0, one by one.
struct Case {
    name: &'static str,
    simulation: Simulation,
    config: &'static str,
}

fn cases() -> Vec<Case> {
    let target = |text: &str| text.parse().expect("is sound");
    vec![
        Case {
            name: "two-targets",
            simulation: Simulation {
                targets: vec![
                    target("r=1996e3,v=400,a=60,amp=10"),
                    target("r=1998e3,v=-90,a=9,snr=-9"),
                ],
                duration_s: 0.55,
                seed: 11,
                pointing: Some(Pointing {
                    rate_hz: 5,
                    azimuth_deg: 80.0,
                    azimuth_rate_deg_s: 1.5,
                    elevation_deg: 70.0,
                    elevation_rate_deg_s: -0.5,
                }),
                ..Simulation::default()
            },
            config: "n_ipp=5\nmin_range_gate=6640\nmax_range_gate=6680\nfrequency_decimation=20\n\
                     min_acceleration=-200\nmax_acceleration=900\nnum_cohints_per_file=2\n\
                     dpt_ipp_delay_parameter=3\n",
        },
        Case {
            name: "far-target-own-channel",
            simulation: Simulation {
                targets: vec![target("r=12.95e6,v=-1200,a=20,amp=9")],
                // Long enough for the two periods that are read after the last integration: the peer stops
                // with an error where they are not there.
                duration_s: 0.35,
                seed: 12,
                dtype: Dtype::ComplexF32,
                tx_channel: Some("tx".to_owned()),
                compression: 1,
                checksum: true,
                file_cadence_ms: 100,
                ..Simulation::default()
            },
            config: "n_ipp=3\nipp_offset=2\nmin_range_gate=3150\nmax_range_gate=3214\n\
                     frequency_decimation=32\ndpt_ipp_delay_parameter=1\nnum_cohints_per_file=3\n\
                     min_acceleration=-2000\nmax_acceleration=2000\n",
        },
        Case {
            name: "short-periods",
            simulation: Simulation {
                radar: Radar {
                    ipp_us: 8000,
                    rx_end_us: 7000.0,
                    tx_start_us: 10.0,
                    ..Radar::default()
                },
                code: Code::by_name("barker13", 0).expect("is known").with_baud_us(30.0),
                targets: vec![target("r=900e3,v=2500,a=-300,amp=4")],
                duration_s: 0.4,
                seed: 13,
                dtype: Dtype::ComplexI8,
                tx_amplitude: 100.0,
                noise_std: 3.0,
                ..Simulation::default()
            },
            config: "n_ipp=7\nmin_range_gate=2980\nmax_range_gate=3040\nfrequency_decimation=10\n\
                     dpt_ipp_delay_parameter=2\nnum_cohints_per_file=100\nmin_acceleration=-800\n\
                     max_acceleration=0\n",
        },
    ]
}

/// Each of the peer's ways, with the zero-frequency term that it has.
const WAYS: [(&str, &str, Method, ZeroFrequency); 3] = [
    ("c", "fgmf", Method::Fgmf, ZeroFrequency::FirstAcceleration),
    ("numpy", "fgmf", Method::Fgmf, ZeroFrequency::Sum),
    ("numpy", "fdpt", Method::Fdpt, ZeroFrequency::Sum),
];

fn files(dir: &Path) -> Vec<PathBuf> {
    let folders = fs::read_dir(dir).expect("lists").map(|entry| entry.expect("lists").path());
    let mut files: Vec<PathBuf> = folders
        .filter(|path| path.is_dir())
        .flat_map(|folder| fs::read_dir(folder).expect("lists"))
        .map(|entry| entry.expect("lists").path())
        .collect();
    files.sort();
    files
}

#[test]
fn hardtarget_finds_the_same_in_simulated_products() {
    let python = require_python!();
    let dir = temp_dir();
    let mut runs = Vec::new();
    for case in cases() {
        let product = dir.path().join(case.name);
        let synthesis = case.simulation.check().unwrap();
        synthesis.write_product(&product, ProductOptions::default()).unwrap();
        let config = dir.path().join(format!("{}.ini", case.name));
        fs::write(&config, format!("[signal-processing]\n{}", case.config)).unwrap();
        for (implementation, method, ..) in WAYS {
            let output = dir.path().join(format!("{}-{implementation}-{method}", case.name));
            runs.push(json!({
                "rx": product, "tx": product, "rx_channel": "rx",
                "tx_channel": case.simulation.tx_channel.as_deref().unwrap_or("rx"),
                "config": config, "output": output,
                "method": method, "implementation": implementation,
            }));
        }
    }
    let list = dir.path().join("runs.json");
    fs::write(&list, serde_json::to_string(&runs).unwrap()).unwrap();
    let list = list.to_str().expect("is UTF-8");
    let minutes = std::time::Duration::from_secs(300);
    run_python_within(minutes, &python, "hardtarget_analyze.py", [list]);

    let manager = create_parallel_manager("threads", Some(2)).unwrap();
    for case in cases() {
        let product = dir.path().join(case.name);
        let config = dir.path().join(format!("{}.ini", case.name));
        for (implementation, name, method, term) in WAYS {
            let what = format!("{}, {implementation} {name}", case.name);
            let mut analysis = Analysis::of_product(&product, "rx", Some(&config)).unwrap();
            if let Some(channel) = case.simulation.tx_channel.clone() {
                analysis.tx = Some(Source::DigitalRf { dir: product.clone(), channel });
            }
            analysis.options = KernelOptions::new(method).zero_frequency(term);
            let plan = analysis.plan().unwrap();
            let ours = temp_dir();
            let mut sink = FolderSink::new(ours.path(), false);
            plan.run::<Kernels>(&*manager, &mut sink, RunControl::default()).unwrap();
            let theirs = dir.path().join(format!("{}-{implementation}-{name}", case.name));
            let (ours, theirs) = (files(ours.path()), files(&theirs));
            assert_eq!(ours.len(), theirs.len(), "{what}: files");
            assert!(!ours.is_empty(), "{what}");
            for (idx, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
                assert_eq!(ours.file_name(), theirs.file_name(), "{what}");
                compare(ours, theirs, &plan, plan.file(idx).integrations.start, &what);
            }
        }
    }
}
