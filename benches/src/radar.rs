//! What studies of the filter search: integrations of a simulated radar, and who judges answers.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use gmf_api::{
    Complex32, Derived, Experiment, GridRow, Integration, KernelOptions, Method, PreparedSamples,
    Processing, RELATIVE_TOLERANCE, ReferencePlan, SPEED_OF_LIGHT_M_S, ZeroFrequency,
};
use gmf_pipeline::simulate::{Radar, Simulation, Strength, Target};

use crate::study::Workload;
use crate::study::engine::Place;

/// Range gates that are searched, from the first to the one after the last.
const GATES: (i64, i64) = (6000, 6480);

/// The reference judges every so many gates, and all on which engines do not agree.
const JUDGED: usize = 24;

/// How long an integration is, and in what it is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Length {
    /// Points of the transform.
    pub points: usize,
    /// Inter-pulse period, in microseconds and samples.
    pub ipp_us: u64,
    /// Periods that are integrated.
    pub n_ipp: usize,
    /// Periods between a pulse and the reception that is searched for it.
    pub ipp_offset: usize,
    /// Samples that are summed into one.
    pub decimation: usize,
    /// Delay of the discrete polynomial transform, in periods.
    pub delay: usize,
}

/// What is in the samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scene {
    /// Noise: no cell is far above the others.
    Noise,
    /// One echo beyond doubt, and noise.
    Strong,
    /// Twenty-four echoes of all strengths, and noise.
    Many,
    /// Silence but for the pulses: all cells tie.
    Zeros,
}

impl Scene {
    fn name(self) -> &'static str {
        match self {
            Self::Noise => "noise",
            Self::Strong => "strong",
            Self::Many => "many",
            Self::Zeros => "zeros",
        }
    }

    fn about(self) -> &'static str {
        match self {
            Self::Noise => "noise alone",
            Self::Strong => "noise and one target of 0 dB per sample, at gate 200",
            Self::Many => "noise and 24 targets of -24 to -1 dB per sample, at every 20th gate",
            Self::Zeros => "no reception at all, every value is 0",
        }
    }

    fn targets(self, ipp_offset: usize, ipp_us: u64) -> Vec<Target> {
        let at = |gate: usize, range_rate_m_s, acceleration_m_s2, snr_db| {
            // Gate g is g + 1 samples of one microsecond after transmission.
            let delay_us = (ipp_offset as u64 * ipp_us) as f64 + GATES.0 as f64 + gate as f64 + 1.0;
            let range_m = delay_us * 1e-6 * SPEED_OF_LIGHT_M_S;
            Target { range_m, range_rate_m_s, acceleration_m_s2, strength: Strength::SnrDb(snr_db) }
        };
        match self {
            Self::Noise | Self::Zeros => Vec::new(),
            Self::Strong => vec![at(200, 431.0, 97.0, 0.0)],
            Self::Many => (0..24)
                .map(|idx| {
                    let x = idx as f64;
                    at(10 + 20 * idx, -2900.0 + 251.0 * x, -280.0 + 24.0 * x, -24.0 + x)
                })
                .collect(),
        }
    }
}

/// One search: 480 gates, and -300 to 300 m/s^2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Search {
    /// How long an integration is.
    pub length: Length,
    /// What is in it.
    pub scene: Scene,
}

/// A search, ready to be done.
pub struct RadarInput {
    /// What is searched.
    pub derived: Arc<Derived>,
    /// The integration.
    pub prepared: PreparedSamples,
    /// The folder where peers find the same: `params.ini`, `tx.c8`, `rx.c8`.
    pub dir: PathBuf,
    judge: Judge,
}

impl std::fmt::Debug for RadarInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RadarInput").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl Search {
    fn processing(&self) -> Processing {
        let Length { n_ipp, ipp_offset, decimation, delay, .. } = self.length;
        Processing {
            n_ipp,
            ipp_offset,
            dpt_ipp_delay_parameter: delay,
            min_range_gate: GATES.0,
            max_range_gate: GATES.1,
            frequency_decimation: decimation,
            min_acceleration_m_s2: -300.0,
            max_acceleration_m_s2: 300.0,
            ..Processing::default()
        }
    }

    fn simulation(&self) -> Simulation {
        let Length { ipp_us, n_ipp, ipp_offset, .. } = self.length;
        let Self { scene, .. } = self;
        Simulation {
            radar: Radar { ipp_us, rx_end_us: ipp_us as f64, ..Radar::leo_bpark() },
            targets: scene.targets(ipp_offset, ipp_us),
            duration_s: (ipp_us * (n_ipp + ipp_offset) as u64) as f64 * 1e-6,
            noise_std: if *scene == Scene::Zeros { 0.0 } else { 12.0 },
            seed: 1,
            ..Simulation::default()
        }
    }
}

impl Workload for Search {
    type Input = RadarInput;

    fn name(&self) -> String {
        format!("n{}-{}", self.length.points, self.scene.name())
    }

    fn about(&self) -> String {
        let Length { points, ipp_us, n_ipp, ipp_offset, decimation, .. } = self.length;
        let offset = match ipp_offset {
            0 => String::new(),
            n => format!(", {n} period later than their pulses"),
        };
        format!(
            "{points} points: {n_ipp} periods of {ipp_us} samples{offset}, decimated by \
             {decimation}; {}",
            self.scene.about()
        )
    }

    fn is_quick(&self) -> bool {
        [20_000, 12_500].contains(&self.length.points)
            && [Scene::Noise, Scene::Strong].contains(&self.scene)
    }

    fn is_test(&self) -> bool {
        self.length.points == 12_500 && self.scene == Scene::Strong
    }

    fn prepare(&self, place: &Place) -> anyhow::Result<RadarInput> {
        let (simulation, processing) = (self.simulation().check()?, self.processing());
        let experiment = simulation.experiment();
        let derived = Arc::new(Derived::new(&experiment, &processing)?);
        ensure!(
            derived.decimated_read_length() == self.length.points,
            "{} is misnamed",
            self.name()
        );
        let samples = simulation.samples()?;
        let mut prepared = PreparedSamples::new(&derived);
        prepared.load(&samples.rx, &samples.transmitter()[..derived.integration_samples()])?;
        let dir = place.scratch.join(self.name());
        write(&dir, &experiment, &processing, prepared.integration())
            .with_context(|| format!("write {}", dir.display()))?;
        let judge = Judge { plans: BTreeMap::new(), first: BTreeMap::new() };
        Ok(RadarInput { derived, prepared, dir, judge })
    }
}

/// Writes what peers read. Samples are pairs of little-endian `f32`.
fn write(
    dir: &Path,
    experiment: &Experiment,
    processing: &Processing,
    integration: Integration<'_>,
) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    let (e, p) = (experiment, processing);
    let mut text = String::new();
    let _ = write!(
        text,
        "[Experiment]\nsample_rate = {}\nipp = {}\nrx_start = {}\nrx_end = {}\ntx_start = {}\n\
         tx_end = {}\nradar_frequency = {}\n\n[signal-processing]\nn_ipp = {}\nipp_offset = {}\n\
         dpt_ipp_delay_parameter = {}\nmin_range_gate = {}\nmax_range_gate = {}\n\
         range_gate_step = {}\nfrequency_decimation = {}\nmin_acceleration = {}\n\
         max_acceleration = {}\n",
        e.sample_rate_hz,
        e.ipp_us,
        e.rx_start_us,
        e.rx_end_us,
        e.tx_start_us,
        e.tx_end_us,
        e.radar_frequency_mhz,
        p.n_ipp,
        p.ipp_offset,
        p.dpt_ipp_delay_parameter,
        p.min_range_gate,
        p.max_range_gate,
        p.range_gate_step,
        p.frequency_decimation,
        p.min_acceleration_m_s2,
        p.max_acceleration_m_s2,
    );
    std::fs::write(dir.join("params.ini"), text)?;
    for (name, samples) in [("tx.c8", integration.tx), ("rx.c8", integration.rx)] {
        let bytes = |z: &Complex32| [z.re.to_le_bytes(), z.im.to_le_bytes()].concat();
        std::fs::write(dir.join(name), samples.iter().flat_map(bytes).collect::<Vec<u8>>())?;
    }
    Ok(())
}

/// Who says whether a row is right: the reference in double precision, on every 24th gate and on
/// every gate in which a row differs from the first one that was found right.
struct Judge {
    plans: BTreeMap<(&'static str, &'static str), ReferencePlan>,
    /// By method.
    first: BTreeMap<&'static str, GridRow>,
}

/// Gates in which two rows differ by more than the tolerance, or in an index that matters.
fn differing(a: &GridRow, b: &GridRow) -> Vec<usize> {
    let n = a.gmf.len().min(b.gmf.len());
    (0..n)
        .filter(|&idx| {
            let (x, y) = (f64::from(a.gmf[idx]), f64::from(b.gmf[idx]));
            let is_silent = x == 0.0 && y == 0.0;
            let same_place = a.range_rate_idx[idx] == b.range_rate_idx[idx]
                && a.acceleration_idx[idx] == b.acceleration_idx[idx];
            !is_silent && (!same_place || (x - y).abs() > RELATIVE_TOLERANCE * x.abs())
        })
        .collect()
}

impl RadarInput {
    /// Judges a row by the rule of `gmf-api`.
    ///
    /// # Errors
    ///
    /// The first gate that is wrong, and in what.
    pub fn judge(
        &mut self,
        row: &GridRow,
        method: Method,
        zero_frequency: ZeroFrequency,
    ) -> anyhow::Result<()> {
        let Self { derived, prepared, judge, .. } = self;
        let key = (method.name(), zero_frequency.name());
        let plan = judge.plans.entry(key).or_insert_with(|| {
            let options = KernelOptions::new(method).zero_frequency(zero_frequency);
            ReferencePlan::new(derived, &options)
        });
        let mut gates: Vec<usize> = (0..derived.n_ranges()).step_by(JUDGED).collect();
        if let Some(first) = judge.first.get(method.name()) {
            gates.extend(differing(first, row));
        }
        // Where the echo is strongest, and all others are beside it.
        let strongest = (0..row.gmf.len()).max_by(|&a, &b| row.gmf[a].total_cmp(&row.gmf[b]));
        gates.extend(strongest);
        gates.sort_unstable();
        gates.dedup();
        let mismatches = plan.compare_gates(prepared.integration(), row, gates)?;
        if let Some(mismatch) = mismatches.first() {
            anyhow::bail!("wrong in {} of the gates judged: {mismatch}", mismatches.len());
        }
        judge.first.entry(method.name()).or_insert_with(|| row.clone());
        Ok(())
    }
}

/// A digest of a row: equal rows have equal ones.
#[must_use]
pub fn digest(row: &GridRow) -> u64 {
    let floats = row.gmf.iter().chain(&row.zero_frequency).map(|value| value.to_bits());
    let indices = row.range_rate_idx.iter().chain(&row.acceleration_idx).map(|idx| *idx as u32);
    // FNV-1a, over words.
    floats.chain(indices).fold(0xcbf2_9ce4_8422_2325, |digest, word| {
        (digest ^ u64::from(word)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The row that a peer wrote: values, zero-frequency terms, indices of range rates and of
/// accelerations, each four little-endian bytes a gate.
///
/// # Errors
///
/// That the file is not as long as `n_ranges` gates.
pub fn row_of(bytes: &[u8], n_ranges: usize) -> anyhow::Result<GridRow> {
    let (words, rest) = bytes.as_chunks::<4>();
    let whole = rest.is_empty() && words.len() == 4 * n_ranges;
    ensure!(whole, "a row of {} bytes instead of {}", bytes.len(), 16 * n_ranges);
    let column = |at: usize| &words[at * n_ranges..][..n_ranges];
    let floats = |at| column(at).iter().map(|word| f32::from_le_bytes(*word)).collect();
    let indices = |at| column(at).iter().map(|word| i32::from_le_bytes(*word)).collect();
    Ok(GridRow {
        gmf: floats(0),
        zero_frequency: floats(1),
        range_rate_idx: indices(2),
        acceleration_idx: indices(3),
    })
}

#[cfg(test)]
mod tests {
    use gmf_api::GmfKernel as _;
    use gmf_cpu::CpuKernel;

    use super::*;

    fn input(scene: Scene) -> (tempfile::TempDir, RadarInput) {
        let dir = tempfile::tempdir().unwrap();
        let why = Err("it is a test".to_owned());
        let place = Place {
            scratch: dir.path().to_owned(),
            sources: dir.path().to_owned(),
            python: why.clone(),
            command: why,
            is_test: true,
        };
        let length = Length {
            points: 10_000,
            ipp_us: 20_000,
            n_ipp: 5,
            ipp_offset: 0,
            decimation: 10,
            delay: 2,
        };
        let input = Search { length, scene }.prepare(&place).unwrap();
        (dir, input)
    }

    fn searched(input: &RadarInput) -> GridRow {
        let options = KernelOptions::new(Method::Fdpt);
        let mut plan = CpuKernel::default().plan(&input.derived, &options).unwrap();
        let mut row = GridRow::new(input.derived.n_ranges());
        plan.execute(input.prepared.integration(), row.as_mut()).unwrap();
        row
    }

    #[test]
    fn the_judge_finds_a_wrong_gate_that_the_reference_alone_would_not_have_looked_at() {
        let (_dir, mut input) = input(Scene::Many);
        let row = searched(&input);
        let judge = |input: &mut RadarInput, row: &GridRow| {
            input.judge(row, Method::Fdpt, ZeroFrequency::Sum)
        };
        judge(&mut input, &row).unwrap();
        let wrong_at = 5;
        assert_ne!(wrong_at % JUDGED, 0);
        let mut wrong = row.clone();
        wrong.gmf[wrong_at] *= 1.001;
        let error = judge(&mut input, &wrong).unwrap_err().to_string();
        assert!(error.contains("gate 5: gmf is"), "{error}");
        assert_ne!(digest(&wrong), digest(&row));
        let mut wrong = row.clone();
        wrong.range_rate_idx[wrong_at] += 1;
        let error = judge(&mut input, &wrong).unwrap_err().to_string();
        assert!(error.contains("range_rate_idx"), "{error}");
        judge(&mut input, &row).unwrap();
    }

    #[test]
    fn the_strong_target_is_where_the_workload_says_and_silence_is_silent() {
        let (_dir, target) = input(Scene::Strong);
        let peak = searched(&target).peak(&target.derived).unwrap();
        assert_eq!(peak.range_idx, 200);
        let (_dir, silence) = input(Scene::Zeros);
        assert!(searched(&silence).gmf.iter().all(|value| *value == 0.0));
        let n_bytes = std::fs::metadata(silence.dir.join("rx.c8")).unwrap().len();
        assert_eq!(n_bytes, 8 * silence.prepared.integration().rx.len() as u64);
    }

    #[test]
    fn a_row_is_read_as_peers_write_it() {
        let row = GridRow {
            gmf: vec![1.5, 2.5],
            zero_frequency: vec![0.25, 0.5],
            range_rate_idx: vec![3, -1],
            acceleration_idx: vec![7, 8],
        };
        let mut bytes: Vec<u8> = Vec::new();
        bytes.extend(row.gmf.iter().chain(&row.zero_frequency).flat_map(|v| v.to_le_bytes()));
        let indices = row.range_rate_idx.iter().chain(&row.acceleration_idx);
        bytes.extend(indices.flat_map(|v| v.to_le_bytes()));
        assert_eq!(row_of(&bytes, 2).unwrap(), row);
        assert!(row_of(&bytes, 3).is_err() && row_of(&bytes[1..], 2).is_err());
    }
}
