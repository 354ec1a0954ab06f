use super::{Claim, EnvError, EnvOptions, Source};
use crate::job::parse_digits;
use crate::{Job, JobError};

/// Steps from here on are Slurm's own: 0xfffffffb is the batch script, 0xfffffffa an interactive
/// shell, and so on (`SLURM_MAX_NORMAL_STEP_ID` in `slurm.h`).
const FIRST_SPECIAL_SLURM_STEP: usize = 0xffff_fff0;

/// Reads what one source says; `None` when it says nothing.
pub(super) fn claim(
    origin: Source,
    options: &EnvOptions,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<Claim>, EnvError> {
    let mut reader = Reader { origin, options, lookup, values: Vec::new() };
    let job = match origin {
        Source::Polychron => reader.polychron(),
        Source::SlurmStep => reader.slurm_step(),
        Source::SlurmArray => reader.slurm_array(),
        Source::Lsf => reader.lsf(),
        Source::GridEngine => reader.grid_engine(),
        Source::GitLab | Source::GnuParallel => reader.pair(Some(1)),
        Source::Pbs | Source::Torque | Source::HyperQueue => reader.pair(options.first_id),
        _ => reader.pair(Some(0)),
    }?;
    Ok(job.map(|job| Claim { origin, job, values: reader.values }))
}

struct Reader<'a> {
    origin: Source,
    options: &'a EnvOptions,
    lookup: &'a dyn Fn(&str) -> Option<String>,
    /// What was read so far, for the claim or the error.
    values: Vec<(&'static str, String)>,
}

type Found = Result<Option<Job>, EnvError>;

impl Reader<'_> {
    /// The usual case: an index, and a count that is a variable or given by the caller.
    fn pair(&mut self, first: Option<usize>) -> Found {
        let variables = self.origin.variables();
        let Some(id) = self.number(variables[0])? else { return Ok(None) };
        let n_jobs = match variables.get(1) {
            Some(count) => self.number(count)?,
            None => None,
        };
        let Some(n_jobs) = n_jobs.or(self.options.n_jobs) else {
            return Err(EnvError::UnknownCount { origin: self.origin, values: self.take() });
        };
        let Some(first) = first else {
            return Err(EnvError::UnknownFirst { origin: self.origin, values: self.take() });
        };
        self.job(id, first, n_jobs)
    }

    fn polychron(&mut self) -> Found {
        let variable = self.origin.variables()[0];
        let Some(value) = self.text(variable) else { return Ok(None) };
        match value.parse() {
            Ok(job) => Ok(Some(job)),
            Err(cause) => Err(EnvError::NotAJob { variable, value, cause }),
        }
    }

    fn slurm_step(&mut self) -> Found {
        match self.text("SLURM_STEP_ID").as_deref() {
            None | Some("batch" | "interactive" | "extern") => return Ok(None),
            Some(_) => {}
        }
        if self.required("SLURM_STEP_ID")? >= FIRST_SPECIAL_SLURM_STEP {
            return Ok(None);
        }
        let Some(id) = self.number("SLURM_PROCID")? else { return Ok(None) };
        // The step's own count first: SLURM_NTASKS may be that of the whole allocation.
        let n_jobs = match self.number("SLURM_STEP_NUM_TASKS")? {
            Some(n_jobs) => n_jobs,
            None => self.required("SLURM_NTASKS")?,
        };
        self.job(id, 0, n_jobs)
    }

    fn slurm_array(&mut self) -> Found {
        let Some(id) = self.number("SLURM_ARRAY_TASK_ID")? else { return Ok(None) };
        let n_jobs = self.required("SLURM_ARRAY_TASK_COUNT")?;
        let first = self.required("SLURM_ARRAY_TASK_MIN")?;
        let last = self.required("SLURM_ARRAY_TASK_MAX")?;
        let step = self.number("SLURM_ARRAY_TASK_STEP")?.unwrap_or(1);
        self.spaced(id, first, last, step, Some(n_jobs))
    }

    fn grid_engine(&mut self) -> Found {
        let variable = self.origin.variables()[0];
        if self.text(variable).as_deref() == Some("undefined") {
            return Ok(None);
        }
        let Some(id) = self.number(variable)? else { return Ok(None) };
        let first = self.required("SGE_TASK_FIRST")?;
        let last = self.required("SGE_TASK_LAST")?;
        let step = self.required("SGE_TASK_STEPSIZE")?;
        self.spaced(id, first, last, step, None)
    }

    fn lsf(&mut self) -> Found {
        let id = match self.number("LSB_JOBINDEX")? {
            None | Some(0) => return Ok(None),
            Some(id) => id,
        };
        let last = self.required("LSB_JOBINDEX_END")?;
        let step = self.number("LSB_JOBINDEX_STEP")?.unwrap_or(1);
        self.spaced(id, 1, last, step, None)
    }

    /// Ids `first, first + step, ..` up to `last`, of which there are `n_jobs` if that is said.
    fn spaced(
        &mut self,
        id: usize,
        first: usize,
        last: usize,
        step: usize,
        n_jobs: Option<usize>,
    ) -> Found {
        // All in u128, in which nothing here overflows.
        let (wide_first, wide_last) = (first as u128, last as u128);
        let counted = match (wide_last.checked_sub(wide_first), step as u128) {
            (Some(width), 1..) => width / step as u128 + 1,
            _ => return Err(self.irregular()),
        };
        if n_jobs.is_some_and(|n_jobs| n_jobs as u128 != counted) {
            return Err(self.irregular());
        }
        let Ok(n_jobs) = usize::try_from(counted) else { return Err(self.irregular()) };
        if id < first || id > last {
            return Err(self.out_of_range(id, first, n_jobs));
        }
        if !(id - first).is_multiple_of(step) {
            return Err(self.irregular());
        }
        self.job((id - first) / step, 0, n_jobs)
    }

    fn job(&mut self, id: usize, first: usize, n_jobs: usize) -> Found {
        let job =
            id.checked_sub(first).ok_or(JobError::NoJobs).and_then(|idx| Job::new(idx, n_jobs));
        job.map(Some).map_err(|_| self.out_of_range(id, first, n_jobs))
    }

    /// A variable's value without the space around it; an empty one counts as not set.
    fn text(&mut self, variable: &'static str) -> Option<String> {
        let value = (self.lookup)(variable)?.trim().to_owned();
        if value.is_empty() {
            return None;
        }
        if self.values.iter().all(|(name, _)| *name != variable) {
            self.values.push((variable, value.clone()));
        }
        Some(value)
    }

    fn number(&mut self, variable: &'static str) -> Result<Option<usize>, EnvError> {
        let Some(value) = self.text(variable) else { return Ok(None) };
        match parse_digits(&value) {
            Some(number) => Ok(Some(number)),
            None => Err(EnvError::NotANumber { variable, value }),
        }
    }

    fn required(&mut self, variable: &'static str) -> Result<usize, EnvError> {
        self.number(variable)?.ok_or_else(|| EnvError::Missing {
            origin: self.origin,
            variable,
            values: self.take(),
        })
    }

    fn irregular(&mut self) -> EnvError {
        EnvError::Irregular { origin: self.origin, values: self.take() }
    }

    fn out_of_range(&mut self, id: usize, first: usize, n_jobs: usize) -> EnvError {
        EnvError::OutOfRange { origin: self.origin, id, first, n_jobs, values: self.take() }
    }

    fn take(&mut self) -> Vec<(&'static str, String)> {
        std::mem::take(&mut self.values)
    }
}
