//! Graphics processors on the command line, on Mesa's adapter in software, and without any.

mod common;

use std::process::Output;
use std::time::{Duration, Instant};

use common::{expect, golden, polychron, skips, utf8};
use tempfile::TempDir;

/// Whether Mesa's adapter in software is there; if not, the test is skipped.
fn lavapipe(test: &str) -> bool {
    let found = polychron::gmf_gpu::adapters().iter().any(|a| a.name.contains("llvmpipe"));
    if !found {
        skips::skip(test, "no lavapipe, Vulkan in software");
    }
    found
}

/// The arguments that analyse the first recorded case.
fn analyze(out: &TempDir, more: &[&str]) -> Vec<String> {
    let case = golden("dev1");
    let (drf, cfg) = (case.join("drf"), case.join("cfg.ini"));
    let out = utf8(out.path());
    ["analyze", utf8(&drf), "rx", "--config", utf8(&cfg), "-o", out]
        .iter()
        .chain(more)
        .map(|&arg| arg.to_owned())
        .collect()
}

fn without_driver(args: &[String]) -> Output {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut command = polychron(&args);
    for name in ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"] {
        command.env(name, "/nonexistent/icd.json");
    }
    command.output().expect("the command starts")
}

#[test]
fn a_recording_is_analysed_on_the_adapter_that_is_named() {
    if !lavapipe("a_recording_is_analysed_on_the_adapter_that_is_named") {
        return;
    }
    for backend in ["serial", "threads", "processes"] {
        let out = TempDir::new().unwrap();
        let args = analyze(&out, &["-i", "cuda", "--gpu", "llvmpipe", "--backend", backend, "-v"]);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let (_, err) = expect(0, &args);
        assert!(err.contains("llvmpipe"), "{backend}: {err}");
    }
}

#[test]
fn the_check_says_what_there_is_and_that_it_is_right() {
    if !lavapipe("the_check_says_what_there_is_and_that_it_is_right") {
        return;
    }
    let (out, _) = expect(0, &["check", "gpu", "--gpu", "llvmpipe"]);
    for words in ["llvmpipe", "share", "fgmf of 12500 points: agrees", "fdpt", "x real time"] {
        assert!(out.contains(words), "{words}: {out}");
    }
    let (_, err) = expect(1, &["check", "gpu", "--gpu", "no such adapter"]);
    assert!(err.contains("no graphics adapter 'no such adapter'"), "{err}");
}

/// Whoever asks for a graphics processor is told at once that there is none, and nothing is written;
/// who asks for the best there is gets another kernel.
#[test]
fn without_a_driver_the_error_comes_at_once() {
    let out = TempDir::new().unwrap();
    let start = Instant::now();
    let output = without_driver(&analyze(&out, &["-i", "gpu"]));
    let took = start.elapsed();
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.contains("-i gpu") && err.contains("libvulkan1"), "{err}");
    assert!(!err.contains("panicked"), "{err}");
    assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), 0, "nothing is written");
    // Two seconds are promised; a machine at work may start a process slowly.
    assert!(took < Duration::from_secs(20), "{took:?}");

    let output = without_driver(&analyze(&out, &["-i", "auto", "-v"]));
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{err}");
    assert!(err.contains("-i auto: the kernel cpu"), "{err}");
}
