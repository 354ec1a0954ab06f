//! What is promised of skipped tests.

use crate::skips::{append, may_be_absent, test_name};

#[test]
fn only_a_gpu_may_be_absent_everywhere() {
    assert!(may_be_absent("no GPU that Vulkan can use"));
    assert!(!may_be_absent("no mpirun"));
    assert!(!may_be_absent("no digital_rf (a GPU would not help)"));
}

#[test]
fn every_skip_is_one_line_with_two_columns() {
    let dir = crate::temp_dir();
    let path = dir.path().join("skips");
    append(&path, "first", "no mpirun");
    append(&path, "sec\tond", "no\nray");
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text, "first\tno mpirun\nsec ond\tno ray\n");
}

#[test]
#[should_panic(expected = "could not record a skipped test")]
fn a_skip_that_cannot_be_recorded_is_an_error() {
    append(&crate::temp_dir().path().join("no such folder/skips"), "test", "no mpirun");
}

#[test]
fn the_test_is_named_with_its_crate_and_module() {
    fn here() {}
    let inside = || test_name(std::any::type_name_of_val(&here)).to_owned();
    let name = "polychron_tests::skips_tests::the_test_is_named_with_its_crate_and_module";
    assert_eq!(inside(), name);
    assert_eq!(test_name("facade::peers_agree::{{closure}}::here"), "facade::peers_agree");
}
