//! Without a loader, a driver, or one that works, the error comes at once and says what to do.
//!
//! The loader reads its variables when it is first used, so each case is a process of its own: this
//! program again, with the name of the case in a variable.

use std::process::Command;
use std::time::{Duration, Instant};

use gmf_gpu::{GpuKernel, Selection};

const CHILD: &str = "GMF_GPU_TEST_CHILD";

/// Prints why there is no kernel, when it is run as a child of the test below.
#[test]
fn child() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let start = Instant::now();
    let selection = Selection::default().software(true);
    let error = GpuKernel::new(&selection).expect_err("there is no driver");
    println!("said: {error}; after {} ms", start.elapsed().as_millis());
}

#[test]
fn a_missing_driver_is_said_at_once() {
    let dir = std::env::temp_dir().join(format!("gmf-gpu-no-driver-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let broken = dir.join("broken.json");
    std::fs::write(
        &broken,
        "{\"file_format_version\": \"1.0.0\", \"ICD\": {\"library_path\": \"/dev/null\", \
         \"api_version\": \"1.3.0\"}}",
    )
    .unwrap();
    for driver in ["/nonexistent/icd.json", broken.to_str().unwrap()] {
        let start = Instant::now();
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["child", "--exact", "--nocapture"])
            .env(CHILD, "1")
            .env("VK_DRIVER_FILES", driver)
            .env("VK_ICD_FILENAMES", driver)
            .output()
            .unwrap();
        let took = start.elapsed();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{driver}: {text}");
        assert!(text.contains("said: there is no graphics adapter"), "{driver}: {text}");
        assert!(text.contains("libvulkan1"), "{driver}: {text}");
        // The promise is two seconds; a machine at work may start a process slowly.
        assert!(took < Duration::from_secs(20), "{driver}: {took:?}");
    }
    std::fs::remove_dir_all(&dir).unwrap();
}
