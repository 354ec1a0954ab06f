//! Our engines. A further kernel is a further line in [`ENGINES`].

use gmf_api::{GmfKernel, GmfPlan, GridRow, KernelOptions, Method, ZeroFrequency};
use gmf_cpu::{CpuKernel, Level};
use polychron_bench::radar::{RadarInput, digest};
use polychron_bench::study::clock::timed;
use polychron_bench::study::engine::{Engine, Entrant, Started, Turn};
use polychron_bench::study::record::Side;

/// Makes a kernel, or says why this machine has none such.
type Make = fn() -> Result<Box<dyn GmfKernel>, String>;

/// Name, method, how the kernel was made, and what makes it.
const ENGINES: [(&str, Method, &str, Make); 4] = [
    ("polychron fgmf", Method::Fgmf, "`gmf-cpu`, on the caller's thread", cpu),
    ("polychron fgmf avx2", Method::Fgmf, "`gmf-cpu` at `Level::Avx2`, else the same", avx2),
    ("polychron fgmf all rows", Method::Fgmf, "`gmf-cpu`, skipping none, else the same", all_rows),
    ("polychron fdpt", Method::Fdpt, "`gmf-cpu`, on the caller's thread", cpu),
];

fn cpu() -> Result<Box<dyn GmfKernel>, String> {
    Ok(Box::new(CpuKernel::default()))
}

fn avx2() -> Result<Box<dyn GmfKernel>, String> {
    let kernel = CpuKernel::default().at_level(Level::Avx2);
    kernel.map(|kernel| Box::new(kernel) as Box<dyn GmfKernel>).map_err(|error| error.to_string())
}

fn all_rows() -> Result<Box<dyn GmfKernel>, String> {
    Ok(Box::new(CpuKernel::default().without_skipping()))
}

pub(crate) fn entrants() -> Vec<Entrant<RadarInput>> {
    ENGINES
        .into_iter()
        .map(|(name, method, made, make)| entrant(name, method, made, make))
        .collect()
}

fn entrant(name: &str, method: Method, made: &'static str, make: Make) -> Entrant<RadarInput> {
    Entrant {
        name: name.to_owned(),
        side: Side::Ours,
        group: method.name().to_owned(),
        every: 1,
        start: Box::new(move |_| {
            Ok(match make() {
                Err(why) => Started::Skipped(why),
                Ok(kernel) => {
                    let row = GridRow::default();
                    Started::Ready(Box::new(Ours { kernel, method, made, plan: None, row }))
                }
            })
        }),
    }
}

struct Ours {
    kernel: Box<dyn GmfKernel>,
    method: Method,
    made: &'static str,
    plan: Option<Box<dyn GmfPlan>>,
    row: GridRow,
}

impl Engine<RadarInput> for Ours {
    fn made(&self) -> String {
        format!("{}; compiled as all of ours, see the machine", self.made)
    }

    fn load(&mut self, input: &mut RadarInput) -> anyhow::Result<bool> {
        self.plan = Some(self.kernel.plan(&input.derived, &KernelOptions::new(self.method))?);
        self.row = GridRow::new(input.derived.n_ranges());
        Ok(true)
    }

    fn turn(&mut self, input: &mut RadarInput) -> anyhow::Result<Turn> {
        let Self { plan, row, .. } = self;
        let plan = plan.as_mut().ok_or_else(|| anyhow::anyhow!("nothing was loaded"))?;
        let integration = input.prepared.integration();
        let (done, took) = timed(|| plan.execute(std::hint::black_box(integration), row.as_mut()));
        done?;
        Ok(Turn { took, digest: digest(row) })
    }

    fn verify(&mut self, input: &mut RadarInput) -> anyhow::Result<()> {
        input.judge(&self.row, self.method, ZeroFrequency::Sum)
    }
}
