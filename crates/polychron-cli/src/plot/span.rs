//! The part of the time that is drawn.

use clap::Args;
use polychron::gmf_pipeline::TimePoint;

use crate::output::Usage;

/// Which time is looked at.
#[derive(Debug, Args)]
pub(crate) struct SpanArgs {
    /// From this time on (UTC) [default: the start]
    #[arg(
        short,
        long = "start_time",
        alias = "start-time",
        value_name = "TIME",
        allow_hyphen_values = true
    )]
    start_time: Option<String>,
    /// Up to this time (UTC) [default: the end]
    #[arg(
        short,
        long = "end_time",
        alias = "end-time",
        value_name = "TIME",
        allow_hyphen_values = true
    )]
    end_time: Option<String>,
    /// Takes the times as seconds from the start of the data
    #[arg(long = "relative_time", alias = "relative-time")]
    relative_time: bool,
}

impl SpanArgs {
    pub(crate) fn points(&self) -> anyhow::Result<(Option<TimePoint>, Option<TimePoint>)> {
        let time = |text: &Option<String>, which| {
            let parse = |text| TimePoint::parse(text, self.relative_time, which).map_err(Usage::of);
            text.as_deref().map(parse).transpose()
        };
        Ok((time(&self.start_time, "start")?, time(&self.end_time, "end")?))
    }
}
