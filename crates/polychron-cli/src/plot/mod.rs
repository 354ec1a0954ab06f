//! `polychron plot`: pictures of recordings and results, as PNG or SVG.
//!
//! A picture is first a list of marks ([`scene::Scene`]); [`pixels`] draws it with plotters and a font
//! that is built in, [`svg`] writes it down. Neither needs a display, nor anything of the system.

mod axes;
mod colormap;
mod drf;
mod gmf;
mod pixels;
mod raster;
mod scene;
mod span;
mod svg;
#[cfg(feature = "sweep")]
pub(crate) mod sweep;

use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::{Args, Subcommand};

use crate::files::write_whole;
use crate::output::{Usage, say};

pub(crate) use gmf::{Echo, Results, TruthLine, write_demo};

#[derive(Debug, Args)]
pub(crate) struct PlotArgs {
    #[command(subcommand)]
    what: Plot,
}

#[derive(Debug, Subcommand)]
enum Plot {
    /// Draws the power of a recording over range and time
    Drf(drf::PlotDrfArgs),
    /// Draws results: peaks, detections, maps over range and time, the noise floor
    Gmf(gmf::PlotGmfArgs),
}

/// Where a picture goes, and how large it is.
#[derive(Debug, Args)]
pub(crate) struct PictureArgs {
    /// The picture, a .png or .svg file; one that is there is replaced
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Width and height, in pixels [default: as the picture needs]
    #[arg(long, value_name = "WxH", value_parser = size)]
    size: Option<(u32, u32)>,
}

/// The forms that a picture can have.
#[derive(Debug, Clone, Copy)]
enum Form {
    Png,
    Svg,
}

fn form(path: &Path) -> anyhow::Result<Form> {
    let ending = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    match &*ending {
        "png" => Ok(Form::Png),
        "svg" => Ok(Form::Svg),
        _ => Err(Usage::of(anyhow::anyhow!(
            "--output {} is no picture: give a name that ends in .png or .svg",
            path.display()
        ))),
    }
}

fn size(text: &str) -> Result<(u32, u32), String> {
    let parse = |part: &str| part.parse().ok().filter(|n| (300..=6000).contains(n));
    text.split_once('x')
        .and_then(|(w, h)| Some((parse(w)?, parse(h)?)))
        .ok_or_else(|| "must be like 1600x900, each from 300 to 6000".to_owned())
}

pub(crate) fn run(args: &PlotArgs) -> anyhow::Result<()> {
    let (scene, picture) = match &args.what {
        Plot::Drf(args) => {
            form(&args.picture.output)?;
            (drf::scene(args)?, &args.picture)
        }
        Plot::Gmf(args) => {
            form(&args.picture.output)?;
            (gmf::scene(args)?, &args.picture)
        }
    };
    save(&scene, &picture.output)?;
    say(format_args!("{}", picture.output.display()));
    Ok(())
}

/// Writes a picture, whole or not at all.
fn save(scene: &scene::Scene, path: &Path) -> anyhow::Result<()> {
    if path.is_dir() {
        bail!("could not write {}: it is a folder", path.display());
    }
    let bytes = match form(path)? {
        Form::Png => pixels::picture(scene)?,
        Form::Svg => svg::document(scene)?.into_bytes(),
    };
    write_whole(path, &bytes)
}
