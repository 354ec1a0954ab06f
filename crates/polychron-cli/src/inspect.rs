//! `polychron inspect`: what a recording or a folder of results holds.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use polychron::digital_rf::hdf5::{AttrValue, ElementType};
use polychron::digital_rf::{Channel, Reader, SampleRate};
use polychron::gmf_pipeline::{GmfFolder, GmfPart, GmfSeries};
use serde_json::{Map, Value, json};

use crate::output::say;

#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    #[command(subcommand)]
    what: Inspect,
}

#[derive(Debug, Subcommand)]
enum Inspect {
    /// Says what a recording holds: channels, times, rates, gaps, damaged files, the experiment
    Drf(InspectDrfArgs),
    /// Says what results hold: datasets, attributes, files, integrations, the strongest peak
    Gmf(InspectGmfArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
With --json one object, whose keys stay as they are in later versions (others may be added):
  path         the folder
  channels     list of: name, dtype, sub_channels, sample_rate [numerator, denominator] (Hz),
               start, end (UTC; null without samples), bounds [first, after the last] (samples since
               1970), continuous_blocks (list of [first, length]), mega_samples (in the blocks),
               damaged (list of: path, reason)
  experiment   the keys of metadata.ini and their values as text; null without the file")]
struct InspectDrfArgs {
    /// Folder of the product
    path: PathBuf,
    /// Prints JSON, for programs
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Datasets and attributes are those of the first file.
With --json one object, whose keys stay as they are in later versions (others may be added):
  path         the folder or file
  totals       files, integrations, without_peak, start, end (UTC), integration_s, and strongest:
               time, range_m, range_rate_m_s, acceleration_m_s2, gmf (null without any peak)
  file         the first file
  datasets     list of: name, kind (dataset, scale or scalar), shape, dtype, value (of scalars)
  attributes   object of groups (/ is the root), each an object of attributes")]
struct InspectGmfArgs {
    /// Folder that an analysis wrote, or a GMF file
    path: PathBuf,
    /// Prints JSON, for programs
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &InspectArgs) -> anyhow::Result<()> {
    let (report, json) = match &args.what {
        Inspect::Drf(args) => (drf(args)?, args.json),
        Inspect::Gmf(args) => (gmf(args)?, args.json),
    };
    if json {
        say(format_args!("{report:#}"));
        return Ok(());
    }
    match &args.what {
        Inspect::Drf(_) => tell_drf(&report),
        Inspect::Gmf(_) => tell_gmf(&report),
    }
    Ok(())
}

fn utc_ns(ns: i128) -> Value {
    Timestamp::from_nanosecond(ns).map_or(Value::Null, |time| json!(time.to_string()))
}

fn drf(args: &InspectDrfArgs) -> anyhow::Result<Value> {
    let reader = Reader::open(&args.path)?;
    let mut channels = Vec::new();
    for name in reader.channels() {
        channels.push(channel(&reader.channel(name)?)?);
    }
    // A recording without metadata can be looked at too, though not analysed.
    let experiment = if args.path.join("metadata.ini").exists() {
        let experiment = crate::product::experiment(&args.path)?;
        ini_keys(&experiment.to_ini())
    } else {
        Value::Null
    };
    Ok(json!({
        "path": args.path.display().to_string(),
        "channels": channels,
        "experiment": experiment,
    }))
}

fn channel(channel: &Channel) -> anyhow::Result<Value> {
    let rate = channel.properties().layout.rate();
    let bounds = channel.bounds()?;
    let (mut blocks, mut skipped) = (Vec::new(), bounds.skipped);
    if let Some(samples) = bounds.samples.clone() {
        let coverage = channel.coverage(samples)?;
        blocks = coverage.blocks;
        // Files at the ends were met by both.
        let new = |path| skipped.iter().all(|known| known.path != path);
        let more: Vec<_> = coverage.skipped.into_iter().filter(|s| new(s.path.clone())).collect();
        skipped.extend(more);
    }
    skipped.sort_by(|a, b| a.path.cmp(&b.path));
    let n_samples: u64 = blocks.iter().map(|block| block.end - block.start).sum();
    let utc = |rate: SampleRate, sample| utc_ns(rate.unix_ns(sample) as i128);
    let samples = bounds.samples.as_ref();
    let number = channel.sample_type().number;
    let dtype = if channel.sample_type().complex {
        format!("complex {number}")
    } else {
        number.to_string()
    };
    Ok(json!({
        "name": channel.name(),
        "dtype": dtype,
        "sub_channels": channel.num_subchannels(),
        "sample_rate": [rate.num(), rate.den()],
        "start": samples.map_or(Value::Null, |samples| utc(rate, samples.start)),
        "end": samples.map_or(Value::Null, |samples| utc(rate, samples.end)),
        "bounds": samples.map(|samples| [samples.start, samples.end]),
        "continuous_blocks":
            blocks.iter().map(|block| [block.start, block.end - block.start]).collect::<Vec<_>>(),
        "mega_samples": n_samples as f64 * 1e-6,
        "damaged": skipped
            .iter()
            .map(|skipped| json!({
                "path": skipped.path.display().to_string(),
                "reason": chain(&skipped.reason),
            }))
            .collect::<Vec<_>>(),
    }))
}

/// An error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Keys and values of an INI text that we wrote.
fn ini_keys(text: &str) -> Value {
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    let pairs = pairs.map(|(key, value)| (key.trim().to_owned(), json!(value.trim())));
    Value::Object(pairs.collect::<Map<_, _>>())
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "none".to_owned(),
        other => other.to_string(),
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Blocks that are shown one by one.
const SHOWN: usize = 20;

fn tell_drf(report: &Value) {
    say(format_args!("{}", text(&report["path"])));
    for channel in list(&report["channels"]) {
        let (num, den) = (&channel["sample_rate"][0], &channel["sample_rate"][1]);
        let rate = if *den == json!(1) { num.to_string() } else { format!("{num}/{den}") };
        say(format_args!("\nchannel {}", text(&channel["name"])));
        say(format_args!(
            "  samples        {}, {} sub-channel(s), {rate} Hz",
            text(&channel["dtype"]),
            channel["sub_channels"]
        ));
        say(format_args!("  start          {}", text(&channel["start"])));
        say(format_args!("  end            {}", text(&channel["end"])));
        say(format_args!(
            "  bounds         {} to {}",
            text(&channel["bounds"][0]),
            text(&channel["bounds"][1])
        ));
        say(format_args!("  mega-samples   {}", channel["mega_samples"]));
        let blocks = list(&channel["continuous_blocks"]);
        say(format_args!("  continuous blocks: {}", blocks.len()));
        for block in blocks.iter().take(SHOWN) {
            say(format_args!("    from {}, {} samples", block[0], block[1]));
        }
        if blocks.len() > SHOWN {
            say(format_args!("    … and {} more (all with --json)", blocks.len() - SHOWN));
        }
        let damaged = list(&channel["damaged"]);
        if !damaged.is_empty() {
            say(format_args!("  damaged files, passed over: {}", damaged.len()));
            for file in damaged {
                say(format_args!("    {}: {}", text(&file["path"]), text(&file["reason"])));
            }
        }
    }
    match report["experiment"].as_object() {
        None => say("\nexperiment: there is no metadata.ini"),
        Some(keys) => {
            say("\nexperiment (metadata.ini)");
            for (key, value) in keys {
                say(format_args!("  {key:<24} {}", text(value)));
            }
        }
    }
}

fn gmf(args: &InspectGmfArgs) -> anyhow::Result<Value> {
    let folder = GmfFolder::open(&args.path)?;
    let first = GmfPart::open(&folder.files()[0])?;
    let series = folder.series()?;
    let mut datasets = Vec::new();
    for name in first.file().datasets("/")? {
        datasets.push(dataset(&first, &name)?);
    }
    let mut attributes = Map::new();
    for group in first.file().groups("/")?.into_iter().chain(["/".to_owned()]) {
        let found: BTreeMap<String, AttrValue> = first.attributes(&group)?;
        let found = found.into_iter().map(|(key, value)| (key, attribute(&value)));
        attributes.insert(group, Value::Object(found.collect()));
    }
    Ok(json!({
        "path": args.path.display().to_string(),
        "totals": totals(&folder, &series, first.step_s()),
        "file": folder.files()[0].display().to_string(),
        "datasets": datasets,
        "attributes": attributes,
    }))
}

fn totals(folder: &GmfFolder, series: &GmfSeries, step_s: f64) -> Value {
    let utc = |unix_s: f64| utc_ns(((unix_s * 1e6).round() as i128).saturating_mul(1000));
    let strongest = series.strongest().map(|idx| {
        json!({
            "time": utc(series.unix_s[idx]),
            "range_m": series.range_m[idx],
            "range_rate_m_s": series.range_rate_m_s[idx],
            "acceleration_m_s2": series.acceleration_m_s2[idx],
            "gmf": series.gmf_peak[idx],
        })
    });
    json!({
        "files": folder.files().len(),
        "integrations": series.len(),
        "without_peak": series.range_m.iter().filter(|range| range.is_nan()).count(),
        "start": series.unix_s.first().map_or(Value::Null, |time| utc(*time)),
        "end": series.unix_s.last().map_or(Value::Null, |time| utc(time + step_s)),
        "integration_s": step_s,
        "strongest": strongest,
    })
}

fn dataset(part: &GmfPart, name: &str) -> anyhow::Result<Value> {
    let dataset = part.file().dataset(name)?;
    let is_scale = dataset.attr("CLASS")?.is_some_and(|class| {
        class.as_str().is_some_and(|class| class.trim_end_matches('\0') == "DIMENSION_SCALE")
    });
    let mut report = json!({
        "name": name,
        "kind": if is_scale { "scale" } else { "dataset" },
        "shape": dataset.shape(),
        "dtype": dataset.element().to_string(),
    });
    if dataset.shape().is_empty() {
        report["kind"] = json!("scalar");
        report["value"] = match dataset.element() {
            ElementType::String | ElementType::FixedString { .. } => {
                json!(dataset.read_strings()?.values.first())
            }
            ElementType::Number(_) | ElementType::Bool => {
                json!(dataset.read_f64()?.values.first())
            }
            _ => Value::Null,
        };
    }
    Ok(report)
}

fn attribute(value: &AttrValue) -> Value {
    match value {
        AttrValue::Bool(truth) => json!(truth),
        AttrValue::F32(x) => json!(x),
        AttrValue::F64(x) => json!(x),
        AttrValue::I64s(xs) => json!(xs),
        AttrValue::U64s(xs) => json!(xs),
        AttrValue::F64s(xs) => json!(xs),
        AttrValue::Strs(all) => json!(all),
        other => match (other.as_i64(), other.as_u64()) {
            (Some(x), _) => json!(x),
            (None, Some(x)) => json!(x),
            (None, None) => json!(other.to_string()),
        },
    }
}

fn tell_gmf(report: &Value) {
    let totals = &report["totals"];
    say(format_args!("{}", text(&report["path"])));
    say(format_args!("  files          {}", totals["files"]));
    say(format_args!(
        "  integrations   {} of {} s, {} without peak",
        totals["integrations"], totals["integration_s"], totals["without_peak"]
    ));
    say(format_args!("  start          {}", text(&totals["start"])));
    say(format_args!("  end            {}", text(&totals["end"])));
    let peak = &totals["strongest"];
    if peak.is_object() {
        let number = |key: &str| peak[key].as_f64().unwrap_or(f64::NAN);
        say(format_args!(
            "  strongest peak {:.6e} at {}: total range {:.3} km, range rate {:.2} m/s, \
             acceleration {:.2} m/s^2",
            number("gmf"),
            text(&peak["time"]),
            number("range_m") / 1e3,
            number("range_rate_m_s"),
            number("acceleration_m_s2"),
        ));
    } else {
        say("  strongest peak none");
    }
    say(format_args!("\n{}", text(&report["file"])));
    for dataset in list(&report["datasets"]) {
        let (name, dtype) = (text(&dataset["name"]), text(&dataset["dtype"]));
        if dataset["kind"] == json!("scalar") {
            say(format_args!("  {name:<22} scalar   {dtype:<8} {}", text(&dataset["value"])));
        } else {
            let kind = text(&dataset["kind"]);
            let shape: Vec<String> = list(&dataset["shape"]).iter().map(text).collect();
            say(format_args!("  {name:<22} {kind:<8} {dtype:<8} {}", shape.join(" x ")));
        }
    }
    for (group, attributes) in report["attributes"].as_object().into_iter().flatten() {
        let attributes = attributes.as_object();
        if attributes.is_some_and(Map::is_empty) {
            continue;
        }
        say(format_args!("\n  attributes of {group}"));
        for (key, value) in attributes.into_iter().flatten() {
            say(format_args!("    {key:<24} {}", text(value)));
        }
    }
}
