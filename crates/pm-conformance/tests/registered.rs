//! The registered tasks of a library are there in a program that depends on it.

use pm_api::backend::tasks;

#[test]
fn tasks_of_a_library_are_found_in_a_program_that_names_none_of_them() {
    let names: Vec<&str> = tasks().unwrap().names().collect();
    let of_library = names.iter().filter(|name| name.starts_with("pm_conformance::")).count();
    // If nothing of it is used, not even its name, Rust does not link it.
    assert!(!pm_conformance::items().is_empty());
    assert!(of_library >= 24, "{names:?}");
    assert!(names.contains(&"pm_conformance::results::LOGARITHM"), "{names:?}");
}

/// So that the numbers of the list mean the same as ever, and none is lost.
#[test]
fn the_list_goes_from_1_to_38() {
    let items = pm_conformance::items();
    for number in 1..=38 {
        let prefix = format!("c{number:02}_");
        assert!(items.iter().any(|item| item.name.starts_with(&prefix)), "C{number:02} is missing");
    }
    // The fourteenth case does not compile; see the documentation of the crate.
    for number in (1..=19).filter(|number| *number != 14) {
        let prefix = format!("f{number:02}_");
        assert!(items.iter().any(|item| item.name.starts_with(&prefix)), "F{number:02} is missing");
    }
}
