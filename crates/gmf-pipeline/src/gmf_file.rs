//! One output file, in hardtarget's layout (docs/formats.md).

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use digital_rf::hdf5::{
    AttrValue, CompleteFile, DatasetOptions, Element, FileWriter, Hdf5Error, Publish,
};
use gmf_api::{Derived, KernelOptions, Optimize, Optimized, Peak};

use crate::optimize;
use crate::{Gap, Integrated, IntegrationStatus};

/// Axes of more elements than this are stored deflated: they are regular, and some are as long as
/// an integration.
const DEFLATE_ABOVE: usize = 512;

/// What one output file holds: the integrations of a task, with all that is needed to read them.
#[derive(Debug, Clone)]
pub struct GmfFile {
    pub(crate) file_idx: usize,
    pub(crate) integrations: Range<usize>,
    pub(crate) gaps: Vec<Gap>,
    pub(crate) relative_path: PathBuf,
    pub(crate) epoch_unix_s: f64,
    pub(crate) derived: Arc<Derived>,
    pub(crate) options: KernelOptions,
    pub(crate) optimize: Option<Optimize>,
    pub(crate) kernel: String,
    pub(crate) rows: Vec<Integrated>,
    pub(crate) pointing: Option<Vec<[f32; 2]>>,
}

/// The peak of one integration.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PeakRow {
    /// When the integration starts, in seconds after the Unix epoch.
    pub unix_s: f64,
    /// The strongest gate, or `None` where there is no power.
    pub peak: Option<Peak>,
    /// The same peak refined, where that was asked for.
    pub optimized: Option<Optimized>,
}

impl GmfFile {
    /// Where the file belongs below the output folder.
    #[must_use]
    pub fn relative_path(&self) -> &Path {
        &self.relative_path
    }

    /// When the first integration starts, in seconds after the Unix epoch.
    #[must_use]
    pub fn epoch_unix_s(&self) -> f64 {
        self.epoch_unix_s
    }

    /// The search that the file is the result of.
    #[must_use]
    pub fn derived(&self) -> &Arc<Derived> {
        &self.derived
    }

    /// The integrations, in order.
    #[must_use]
    pub fn rows(&self) -> &[Integrated] {
        &self.rows
    }

    /// The integrations that have no result, because of their samples.
    #[must_use]
    pub fn gaps(&self) -> &[Gap] {
        &self.gaps
    }

    /// How many integrations had a silent transmitter.
    #[must_use]
    pub fn n_silent(&self) -> usize {
        self.rows.iter().filter(|done| done.status == IntegrationStatus::Silent).count()
    }

    /// Azimuth and elevation at the start of each integration, in degrees; NaN where the product
    /// does not say, `None` where it says nothing at all.
    #[must_use]
    pub fn pointing(&self) -> Option<&[[f32; 2]]> {
        self.pointing.as_deref()
    }

    /// The peak of each integration.
    pub fn peaks(&self) -> impl Iterator<Item = PeakRow> + '_ {
        let step_s = self.derived.integration_samples() as f64
            / self.derived.experiment().sample_rate_hz as f64;
        self.rows.iter().enumerate().map(move |(idx, done)| PeakRow {
            unix_s: self.epoch_unix_s + idx as f64 * step_s,
            peak: done.row.peak(&self.derived),
            optimized: done.optimized,
        })
    }

    /// Writes the file, whole or not at all.
    ///
    /// Where an integration has no power, its peak's range, range rate and acceleration are NaN; of
    /// a gap, everything is.
    ///
    /// # Errors
    ///
    /// [`Hdf5Error`]; [`Hdf5Error::Exists`] if `how` forbids to replace a file.
    pub fn write(&self, path: &Path, how: Publish) -> Result<(), Hdf5Error> {
        self.complete(path)?.publish(how)
    }

    /// Writes the file under a temporary name beside `path`, to be published there.
    pub(crate) fn complete(&self, path: &Path) -> Result<CompleteFile, Hdf5Error> {
        let mut out = Out { file: FileWriter::create(path)? };
        self.write_scales(&mut out)?;
        self.write_grids(&mut out)?;
        self.write_peaks(&mut out)?;
        if self.optimize.is_some() {
            optimize::write(&mut out, &self.rows)?;
        }
        self.write_pointing(&mut out)?;
        self.write_experiment(&mut out)?;
        self.write_processing(&mut out)?;
        out.file.write_scalar("epoch_unix", self.epoch_unix_s)?;
        out.file.complete()
    }

    fn write_scales(&self, out: &mut Out) -> Result<(), Hdf5Error> {
        let d = &self.derived;
        let index: Vec<i64> = (0..self.rows.len() as i64).collect();
        let samples: Vec<i64> = (0..d.read_length() as i64).collect();
        out.scale(
            "integration_index",
            &index,
            "Integration index within this file relative the file epoch",
            None,
        )?;
        out.scale("ranges", &d.ranges_m(), "Matched filter ranges", Some("m"))?;
        out.scale("range_rates", &d.range_rates_m_s(), "Matched filter range rates", Some("m/s"))?;
        out.scale(
            "accelerations",
            &d.accelerations_m_s2(),
            "Matched filter range accelerations",
            Some("m/s^2"),
        )?;
        out.scale("sample_numbers", &samples, "Receiver sample number in radar cycle", None)
    }

    fn write_grids(&self, out: &mut Out) -> Result<(), Hdf5Error> {
        let shape = [self.rows.len(), self.derived.n_ranges()];
        let floats = |field: fn(&Integrated) -> &[f32]| {
            self.rows.iter().flat_map(field).copied().collect::<Vec<f32>>()
        };
        let indices = |field: fn(&Integrated) -> &[i32]| {
            self.rows.iter().flat_map(field).copied().collect::<Vec<i32>>()
        };
        out.data(
            "gmf",
            &shape,
            &floats(|done| &done.row.gmf),
            "Generalized Matched Filter output values",
        )?;
        out.data(
            "gmf_zero_frequency",
            &shape,
            &floats(|done| &done.row.zero_frequency),
            "Range dependant noise floor (0-frequency gmf output)",
        )?;
        out.data(
            "range_rate_index",
            &shape,
            &indices(|done| &done.row.range_rate_idx),
            "Index on range_rates of the greatest value at each range",
        )?;
        out.data(
            "acceleration_index",
            &shape,
            &indices(|done| &done.row.acceleration_idx),
            "Index on accelerations of the greatest value at each range",
        )
    }

    fn write_peaks(&self, out: &mut Out) -> Result<(), Hdf5Error> {
        let shape = [self.rows.len()];
        let peaks: Vec<Option<Peak>> = self.peaks().map(|row| row.peak).collect();
        let column = |field: fn(&Peak) -> f64| {
            peaks.iter().map(|peak| peak.as_ref().map_or(f64::NAN, field)).collect::<Vec<f64>>()
        };
        let powers: Vec<f32> = self.rows.iter().map(|done| done.tx_power).collect();
        let without = |done: &Integrated| if done.status.is_gap() { f32::NAN } else { 0.0 };
        let values: Vec<f32> = peaks
            .iter()
            .zip(&self.rows)
            .map(|(peak, done)| peak.map_or_else(|| without(done), |peak| peak.gmf))
            .collect();
        out.data("tx_power", &shape, &powers, "Transmitted signal power")?;
        out.data("range_peak", &shape, &column(|p| p.range_m), "Range at peak GMF")?;
        out.data(
            "range_rate_peak",
            &shape,
            &column(|p| p.range_rate_m_s),
            "Range rate at peak GMF",
        )?;
        out.data(
            "acceleration_peak",
            &shape,
            &column(|p| p.acceleration_m_s2),
            "Acceleration at peak GMF",
        )?;
        out.data("gmf_peak", &shape, &values, "Peak GMF")?;
        self.write_status(out)
    }

    fn write_status(&self, out: &mut Out) -> Result<(), Hdf5Error> {
        const NAME: &str = "integration_status";
        let codes: Vec<i8> = self.rows.iter().map(|done| done.status.code()).collect();
        out.data(NAME, &[codes.len()], &codes, "Whether the integration was computed")?;
        // As the CF conventions explain codes.
        let all = IntegrationStatus::ALL;
        let values = all.iter().map(|status| i64::from(status.code())).collect();
        let meanings = all.map(IntegrationStatus::name).join(" ");
        out.file.set_attr(NAME, "flag_values", &AttrValue::I64s(values))?;
        out.text(NAME, "flag_meanings", &meanings)
    }

    fn write_pointing(&self, out: &mut Out) -> Result<(), Hdf5Error> {
        const TEXT: &str = "Radar pointing data (azimuth, elevation)";
        let shape = [self.rows.len(), 2];
        match &self.pointing {
            Some(angles) => out.data("pointing", &shape, angles.as_flattened(), TEXT),
            None => out.data("pointing", &shape, &vec![f64::NAN; 2 * self.rows.len()], TEXT),
        }
    }

    fn write_experiment(&self, out: &mut Out) -> Result<(), Hdf5Error> {
        let d = &self.derived;
        let e = d.experiment();
        let mut group = out.group("experiment")?;
        group.text("name", e.name.as_deref())?;
        group.text("version", e.version.as_deref())?;
        group.int("sample_rate", e.sample_rate_hz as i64)?;
        group.int("ipp", e.ipp_us as i64)?;
        let pulse_us = d.pulse_samples() as f64 * 1e6 / e.sample_rate_hz as f64;
        group.float("tx_pulse_length", Some(e.tx_pulse_length_us.unwrap_or(pulse_us)))?;
        group.float("rx_start", Some(e.rx_start_us))?;
        group.float("rx_end", Some(e.rx_end_us))?;
        group.float("tx_start", Some(e.tx_start_us))?;
        group.float("tx_end", Some(e.tx_end_us))?;
        group.float("cal_on", e.cal_on_us)?;
        group.float("cal_off", e.cal_off_us)?;
        group.float("file_secs", e.file_secs)?;
        group.float("radar_frequency", Some(e.radar_frequency_mhz))?;
        group.text("rx_channel", e.rx_channel.as_deref())?;
        group.text("tx_channel", e.tx_channel.as_deref())?;
        for (key, value) in &e.other {
            group.text(key, Some(value))?;
        }
        group.int("ipp_samp", d.ipp_samples() as i64)?;
        group.int("T_rx_start_samp", d.reception().start as i64)?;
        group.int("T_rx_end_samp", d.reception().end as i64)?;
        group.int("T_tx_start_samp", d.tx_pulse().start as i64)?;
        group.int("T_tx_end_samp", d.tx_pulse().end as i64)?;
        group.int("tx_pulse_samps", d.pulse_samples() as i64)?;
        group.float("wavelength", Some(e.wavelength_m()))
    }

    fn write_processing(&self, out: &mut Out) -> Result<(), Hdf5Error> {
        let d = &self.derived;
        let p = d.processing();
        let gates = d.gate_span();
        let zero = d.tx_pulse().start + 1;
        let mut group = out.group("processing")?;
        group.text("gmf_implementation", Some(&self.kernel))?;
        group.text("gmf_method", Some(self.options.method.name()))?;
        group.text("gmf_zero_frequency_term", Some(self.options.zero_frequency.name()))?;
        group.text("gmf_optimize", self.optimize.map(Optimize::name))?;
        group.int("node_gpus", i64::from(p.node_gpus))?;
        group.int("n_ipp", p.n_ipp as i64)?;
        group.int("ipp_offset", p.ipp_offset as i64)?;
        group.int("n_extra", p.ipp_offset as i64)?;
        group.int("dpt_ipp_delay_parameter", p.dpt_ipp_delay_parameter as i64)?;
        group.int("min_range_gate", gates.start as i64)?;
        group.int("max_range_gate", gates.end as i64)?;
        group.int("il0_min_range_gate", (gates.start + zero) as i64)?;
        group.int("il0_max_range_gate", (gates.end + zero) as i64)?;
        group.int("range_gate_step", p.range_gate_step as i64)?;
        group.int("frequency_decimation", p.frequency_decimation as i64)?;
        group.int("clutter_length", p.clutter_length)?;
        group.float("min_acceleration", Some(p.min_acceleration_m_s2))?;
        group.float("max_acceleration", Some(p.max_acceleration_m_s2))?;
        group.int("num_cohints_per_file", p.num_cohints_per_file as i64)?;
        group.int("read_length", d.read_length() as i64)?;
        group.int("decimated_read_length", d.decimated_read_length() as i64)?;
        group.int("n_ranges", d.n_ranges() as i64)?;
        group.int("n_range_rates", d.decimated_read_length() as i64)?;
        group.int("n_accelerations", d.n_accelerations() as i64)?;
        group.int("coh_int_samps", (d.n_ipp() * d.pulse_samples()) as i64)?;
        group.int("dec_tau_samp", d.dpt_delay() as i64)
    }
}

/// A file under way, with the conventions of the layout.
pub(crate) struct Out {
    file: FileWriter,
}

impl Out {
    fn scale<T: Element>(
        &mut self,
        name: &str,
        values: &[T],
        long_name: &str,
        units: Option<&str>,
    ) -> Result<(), Hdf5Error> {
        let options = if values.len() > DEFLATE_ABOVE {
            DatasetOptions::compressed(4)
        } else {
            DatasetOptions::default()
        };
        self.file.write(name, &[values.len()], values, &options)?;
        self.file.make_scale(name, name)?;
        self.text(name, "long_name", long_name)?;
        units.map_or(Ok(()), |units| self.text(name, "units", units))
    }

    /// A dataset over integrations, and perhaps over ranges (or, for the pointing and the refined
    /// peaks, over something that has no scale).
    pub(crate) fn data<T: Element>(
        &mut self,
        name: &str,
        shape: &[usize],
        values: &[T],
        long_name: &str,
    ) -> Result<(), Hdf5Error> {
        self.file.write(name, shape, values, &DatasetOptions::default())?;
        self.file.attach_scale(name, 0, "integration_index")?;
        match (shape.len(), name) {
            (1, _) => self.file.label_dims(name, &["t"])?,
            (_, "pointing" | "gmf_optimized_peak" | "gmf_optimized") => {
                self.file.label_dims(name, &["t", ""])?;
            }
            _ => {
                self.file.attach_scale(name, 1, "ranges")?;
                self.file.label_dims(name, &["t", "r"])?;
            }
        }
        self.text(name, "long_name", long_name)
    }

    fn text(&mut self, object: &str, name: &str, value: &str) -> Result<(), Hdf5Error> {
        self.file.set_attr(object, name, &AttrValue::Str(value.to_owned()))
    }

    fn group<'a>(&'a mut self, name: &'a str) -> Result<Group<'a>, Hdf5Error> {
        self.file.group(name)?;
        Ok(Group { file: &mut self.file, name })
    }
}

/// A group whose attributes are set one after the other; what is `None` is left out.
struct Group<'a> {
    file: &'a mut FileWriter,
    name: &'a str,
}

impl Group<'_> {
    fn int(&mut self, name: &str, value: i64) -> Result<(), Hdf5Error> {
        self.file.set_attr(self.name, name, &AttrValue::I64(value))
    }

    fn float(&mut self, name: &str, value: Option<f64>) -> Result<(), Hdf5Error> {
        value.map_or(Ok(()), |value| self.file.set_attr(self.name, name, &AttrValue::F64(value)))
    }

    fn text(&mut self, name: &str, value: Option<&str>) -> Result<(), Hdf5Error> {
        value.map_or(Ok(()), |value| {
            self.file.set_attr(self.name, name, &AttrValue::Str(value.to_owned()))
        })
    }
}
