//! Every shader, over a grid of plans, is valid WGSL; no device is needed.

use naga::front::wgsl;
use naga::valid::{Capabilities, ValidationFlags, Validator};

use super::{Shader, Signal, best, decode, peak, rows, zero};
use crate::shape::Shape;

fn validate(shader: &Shader, what: &str) {
    let module = wgsl::parse_str(&shader.source)
        .unwrap_or_else(|e| panic!("{what}: {}", e.emit_to_string(&shader.source)));
    let mut validator = Validator::new(ValidationFlags::all(), Capabilities::empty());
    validator
        .validate(&module)
        .unwrap_or_else(|e| panic!("{what}: {}", e.emit_to_string(&shader.source)));
    // The bindings are as the pipeline's layout will say, after that of the parameters.
    let mut written: Vec<(u32, bool)> = module
        .global_variables
        .iter()
        .filter_map(|(_, global)| match global.space {
            naga::AddressSpace::Storage { access } => {
                let binding = global.binding.as_ref().expect("storage is bound");
                Some((binding.binding, access.contains(naga::StorageAccess::STORE)))
            }
            _ => None,
        })
        .collect();
    written.sort_unstable();
    let expected: Vec<(u32, bool)> = (1..).zip(shader.writes.iter().copied()).collect();
    assert_eq!(written, expected, "{what}");
    // What is declared as shared is at most what is compared with the adapter's limit.
    let mut shared = 0;
    for (_, global) in module.global_variables.iter() {
        if global.space == naga::AddressSpace::WorkGroup {
            shared += module.types[global.ty].inner.size(module.to_ctx());
        }
    }
    assert!(shared as usize <= shader.shared_bytes, "{what}: {shared} {}", shader.shared_bytes);
    let entry = &module.entry_points[0];
    assert_eq!(entry.workgroup_size.iter().product::<u32>() as usize, shader.workgroup, "{what}");
    assert!(shader.workgroup <= 256, "{what}: beyond what every adapter allows");
}

#[test]
fn shaders_that_serve_every_plan_are_valid() {
    for shader in [decode(), zero(), best()] {
        validate(&shader, shader.label);
    }
}

#[test]
fn shaders_of_a_grid_of_plans_are_valid() {
    let mut n_direct = 0;
    for storage in [16_384, 32_768, 49_152] {
        for (periods, pulses) in [(2, 2), (7, 5), (10, 10), (12, 10), (17, 16), (40, 40)] {
            for (period, pulse) in
                [(2000, 192), (1250, 120), (97, 13), (101, 101), (30, 1), (8, 8), (20_000, 1920)]
            {
                let shape = Shape::new(periods, pulses, period, pulse, storage, 256);
                n_direct += usize::from(shape.radices.is_empty());
                let what = format!("{shape:?}");
                validate(&peak(&shape, false), &what);
                validate(&peak(&shape, true), &what);
                let product = Signal::Product { delay: 1 };
                for signal in [Signal::Table, Signal::Computed, Signal::Found, product] {
                    validate(&rows(&shape, signal), &format!("{what} {signal:?}"));
                }
            }
        }
    }
    assert!(n_direct > 0, "the direct sum is among them");
}
