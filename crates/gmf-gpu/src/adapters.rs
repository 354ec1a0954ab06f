//! Which adapters there are, and which one a worker takes.

use std::fmt;

use wgpu::{Backends, DeviceType, Instance, InstanceDescriptor, InstanceFlags};

use crate::GpuError;

/// One graphics adapter, as its driver describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AdapterInfo {
    /// Its number among those of [`adapters`].
    pub idx: usize,
    /// Its name.
    pub name: String,
    /// The driver and its version.
    pub driver: String,
    /// The interface through which it is reached.
    pub backend: String,
    /// Where it sits on the bus; empty where the driver does not say.
    pub bus_id: String,
    /// Whether it computes on the CPU.
    pub software: bool,
    /// Bytes that a workgroup may share.
    pub workgroup_storage: u32,
    /// Invocations that a workgroup may have.
    pub workgroup_invocations: u32,
    /// Bytes that a shader may see of one buffer.
    pub binding_size: u64,
    /// Bytes that a buffer may have.
    pub buffer_size: u64,
    /// Invocations that run in step: least and greatest number.
    pub subgroup_size: (u32, u32),
    /// Whether it can tell the time between two stages.
    pub timestamps: bool,
}

impl fmt::Display for AdapterInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { idx, name, backend, .. } = self;
        write!(f, "{idx}: {name} ({backend}{})", if self.software { ", software" } else { "" })
    }
}

/// Which adapter to use.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Choice {
    /// The first.
    #[default]
    First,
    /// The one with this number.
    Index(usize),
    /// The first whose name contains this, in any case.
    Name(String),
    /// Worker `worker` of this node takes number `worker % node_gpus`, as in hardtarget 0.5.1
    /// (`gmf/gmfgpu`, there by job index or MPI rank).
    Worker {
        /// The worker's number, or its rank.
        worker: usize,
        /// How many devices workers are spread over; at least 1.
        node_gpus: usize,
    },
}

/// How an adapter is chosen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// Which one.
    pub choice: Choice,
    /// Whether adapters that compute on the CPU count; with a number or name given, they do.
    pub software: bool,
}

impl Selection {
    /// The selection that `text` means: a number, or a part of a name.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        let choice = match text.trim().parse() {
            Ok(idx) => Choice::Index(idx),
            Err(_) => Choice::Name(text.trim().to_owned()),
        };
        Self { choice, software: false }
    }

    /// With adapters in software, or without.
    #[must_use]
    pub fn software(self, software: bool) -> Self {
        Self { software, ..self }
    }

    /// The adapter among `all` that this selects.
    fn select<'a>(&self, all: &'a [AdapterInfo]) -> Result<&'a AdapterInfo, GpuError> {
        if all.is_empty() {
            return Err(GpuError::NoAdapter { backends: built_with().join(", ") });
        }
        let known = || all.iter().map(ToString::to_string).collect::<Vec<String>>().join(", ");
        let unknown = |wanted: String| GpuError::UnknownAdapter { wanted, known: known() };
        let allowed = || all.iter().filter(|info| self.software || !info.software);
        let first = |mut list: Box<dyn Iterator<Item = &'a AdapterInfo> + '_>| {
            list.next().ok_or_else(|| GpuError::OnlySoftware { names: known() })
        };
        match &self.choice {
            Choice::First => first(Box::new(allowed())),
            Choice::Index(idx) => all.get(*idx).ok_or_else(|| unknown(idx.to_string())),
            Choice::Name(name) => {
                let wanted = name.to_lowercase();
                all.iter()
                    .find(|info| info.name.to_lowercase().contains(&wanted))
                    .ok_or_else(|| unknown(name.clone()))
            }
            Choice::Worker { worker, node_gpus } => {
                let node_gpus = (*node_gpus).max(1);
                let wanted = worker % node_gpus;
                let found = allowed().count();
                if found > 0 && wanted >= found {
                    return Err(GpuError::TooFewDevices {
                        worker: *worker,
                        wanted,
                        node_gpus,
                        found,
                    });
                }
                first(Box::new(allowed().skip(wanted)))
            }
        }
    }
}

/// The interfaces that this build can ask.
fn built_with() -> Vec<&'static str> {
    [
        (cfg!(feature = "vulkan"), "Vulkan"),
        (cfg!(feature = "metal"), "Metal"),
        (cfg!(feature = "dx12"), "Direct3D 12"),
        (cfg!(feature = "gles"), "OpenGL ES"),
    ]
    .into_iter()
    .filter_map(|(built, name)| built.then_some(name))
    .collect()
}

/// The adapters of this machine, hardware first, each kind in the order of the bus.
///
/// Never fails: without a driver the list is empty.
#[must_use]
pub fn adapters() -> Vec<AdapterInfo> {
    enumerate().into_iter().map(|(info, _)| info).collect()
}

/// The adapter that `selection` means.
///
/// # Errors
///
/// [`GpuError::NoAdapter`], [`GpuError::OnlySoftware`], [`GpuError::UnknownAdapter`] and
/// [`GpuError::TooFewDevices`].
pub fn find(selection: &Selection) -> Result<AdapterInfo, GpuError> {
    selection.select(&adapters()).cloned()
}

pub(crate) fn open(selection: &Selection) -> Result<(AdapterInfo, wgpu::Adapter), GpuError> {
    let all = enumerate();
    let infos: Vec<AdapterInfo> = all.iter().map(|(info, _)| info.clone()).collect();
    let idx = selection.select(&infos)?.idx;
    let found = all.into_iter().nth(idx);
    found.ok_or_else(|| GpuError::NoAdapter { backends: built_with().join(", ") })
}

fn enumerate() -> Vec<(AdapterInfo, wgpu::Adapter)> {
    let instance = Instance::new(InstanceDescriptor {
        // Neither validation layers nor debug markers: they are another's to install.
        flags: InstanceFlags::empty(),
        ..InstanceDescriptor::new_without_display_handle()
    });
    let mut found: Vec<_> = pollster::block_on(instance.enumerate_adapters(Backends::all()))
        .into_iter()
        .map(|adapter| (describe(&adapter), adapter))
        .collect();
    // Workers number the devices alike whatever order the loader found them in.
    found.sort_by(|(a, _), (b, _)| {
        (a.software, &a.bus_id, &a.backend).cmp(&(b.software, &b.bus_id, &b.backend))
    });
    for (idx, (info, _)) in found.iter_mut().enumerate() {
        info.idx = idx;
    }
    found
}

fn describe(adapter: &wgpu::Adapter) -> AdapterInfo {
    let (info, limits) = (adapter.get_info(), adapter.limits());
    AdapterInfo {
        idx: 0,
        software: info.device_type == DeviceType::Cpu,
        driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
        backend: info.backend.to_string(),
        bus_id: info.device_pci_bus_id,
        workgroup_storage: limits.max_compute_workgroup_storage_size,
        workgroup_invocations: limits.max_compute_invocations_per_workgroup,
        binding_size: limits.max_storage_buffer_binding_size,
        buffer_size: limits.max_buffer_size,
        subgroup_size: (info.subgroup_min_size, info.subgroup_max_size),
        timestamps: adapter.features().contains(wgpu::Features::TIMESTAMP_QUERY),
        name: info.name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(idx: usize, name: &str, software: bool) -> AdapterInfo {
        AdapterInfo {
            idx,
            name: name.to_owned(),
            driver: String::new(),
            backend: "vulkan".to_owned(),
            bus_id: String::new(),
            software,
            workgroup_storage: 32_768,
            workgroup_invocations: 1024,
            binding_size: 1 << 27,
            buffer_size: 1 << 30,
            subgroup_size: (32, 32),
            timestamps: true,
        }
    }

    fn select(choice: Choice, software: bool, all: &[AdapterInfo]) -> Result<usize, GpuError> {
        Selection { choice, software }.select(all).map(|info| info.idx)
    }

    #[test]
    fn workers_are_spread_over_the_devices_as_in_the_original() {
        let all = [info(0, "A", false), info(1, "B", false), info(2, "soft", true)];
        for (worker, expected) in [(0, 0), (1, 1), (2, 0), (5, 1)] {
            let choice = Choice::Worker { worker, node_gpus: 2 };
            assert_eq!(select(choice, false, &all), Ok(expected));
        }
        let choice = Choice::Worker { worker: 2, node_gpus: 3 };
        let error = select(choice.clone(), false, &all).unwrap_err();
        assert!(error.to_string().contains("set node_gpus to 2"), "{error}");
        assert_eq!(select(choice, true, &all), Ok(2), "software counts when it is asked for");
    }

    #[test]
    fn adapters_are_found_by_number_and_by_part_of_a_name() {
        let all = [info(0, "Radeon RX", false), info(1, "llvmpipe (LLVM 15)", true)];
        let by = |text| Selection::from_text(text).select(&all).map(|info| info.idx);
        assert_eq!((by("0"), by("radeon"), by("LLVMpipe")), (Ok(0), Ok(0), Ok(1)));
        let error = by("geforce").unwrap_err().to_string();
        assert!(error.contains("there are 0: Radeon RX (vulkan), 1: llvmpipe"), "{error}");
        assert!(by("2").is_err());
    }

    #[test]
    fn software_is_used_only_when_asked_for() {
        let all = [info(0, "llvmpipe", true)];
        for choice in [Choice::First, Choice::Worker { worker: 0, node_gpus: 1 }] {
            let error = select(choice.clone(), false, &all).unwrap_err();
            assert!(matches!(error, GpuError::OnlySoftware { .. }), "{error:?}");
            assert_eq!(select(choice, true, &all), Ok(0));
        }
        let error = select(Choice::First, true, &[]).unwrap_err().to_string();
        assert!(error.contains("libvulkan1"), "{error}");
    }
}
