//! The points of a sweep, in closed form.

use std::ops::Range;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::point::PointDeserializer;
use crate::spec::is_name;
use crate::{Spec, SweepError, Value};

/// A sweep as it is being put together; [`design`](Self::design) makes its points.
///
/// Parameters that have values of their own are combined, every value with every other. Sampled ones
/// vary together, [`samples`](Self::samples) times; those that have one value stay as they are.
///
/// ```
/// use param_sweep::{Sweep, Value};
///
/// let design = Sweep::new().linear("a", 0.0, 10.0, 11).log("b", 1e-3, 1e3, 7).design()?;
/// assert_eq!(design.len(), 77);
/// // The first parameter varies slowest, as with `numpy.meshgrid(.., indexing="ij")`.
/// assert_eq!(design.values(8).unwrap(), [Value::Float(1.0), Value::Float(1e-2)]);
///
/// let design = Sweep::new().uniform("x", -1.0, 1.0).latin_hypercube("y", 0.0, 1.0);
/// assert_eq!(design.samples(100).seed(7).design()?.len(), 100);
/// # Ok::<(), param_sweep::SweepError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sweep {
    parameters: Vec<(String, Spec)>,
    n_samples: Option<usize>,
    seed: u64,
}

impl Sweep {
    /// Makes a sweep without parameters.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a parameter.
    #[must_use]
    pub fn parameter(mut self, name: impl Into<String>, spec: Spec) -> Self {
        self.parameters.push((name.into(), spec));
        self
    }

    /// Adds `n` numbers from `from` to `to`, evenly spaced: `numpy.linspace`.
    #[doc(alias = "LinearSample")]
    #[must_use]
    pub fn linear(self, name: impl Into<String>, from: f64, to: f64, n: usize) -> Self {
        self.parameter(name, Spec::Linear { from, to, n })
    }

    /// Adds `n` numbers from `from` to `to` with equal ratios: `numpy.geomspace`. Both ends have one sign.
    #[doc(alias = "GeomSample")]
    #[must_use]
    pub fn geometric(self, name: impl Into<String>, from: f64, to: f64, n: usize) -> Self {
        self.parameter(name, Spec::Geometric { from, to, n })
    }

    /// Adds `n` numbers from `from` to `to` whose logarithms are evenly spaced, which is the same as
    /// equal ratios: another word for [`geometric`](Self::geometric).
    #[doc(alias = "logspace")]
    #[must_use]
    pub fn log(self, name: impl Into<String>, from: f64, to: f64, n: usize) -> Self {
        self.geometric(name, from, to, n)
    }

    /// Adds `n` numbers from `from` to `to` that lie as those of [`geometric`](Self::geometric) seen
    /// from the other end.
    #[doc(alias = "ReverseGeomSample")]
    #[must_use]
    pub fn reverse_geometric(self, name: impl Into<String>, from: f64, to: f64, n: usize) -> Self {
        self.parameter(name, Spec::ReverseGeometric { from, to, n })
    }

    /// Adds the whole numbers `from`, `from + step` and so on, up to and with `to`.
    #[must_use]
    pub fn integers(self, name: impl Into<String>, from: i64, to: i64, step: i64) -> Self {
        self.parameter(name, Spec::Integers { from, to, step })
    }

    /// Adds the given values: doubles, whole numbers, truth values, texts.
    #[doc(alias = "PredeterminedFixedSample")]
    #[must_use]
    pub fn list<V: Into<Value>>(
        self,
        name: impl Into<String>,
        values: impl IntoIterator<Item = V>,
    ) -> Self {
        self.parameter(name, Spec::List(values.into_iter().map(Into::into).collect()))
    }

    /// Adds samples that are uniform from `low` to `high`.
    #[doc(alias = "UniformSample")]
    #[must_use]
    pub fn uniform(self, name: impl Into<String>, low: f64, high: f64) -> Self {
        self.parameter(name, Spec::Uniform { low, high })
    }

    /// Adds samples whose logarithm is uniform.
    #[must_use]
    pub fn log_uniform(self, name: impl Into<String>, low: f64, high: f64) -> Self {
        self.parameter(name, Spec::LogUniform { low, high })
    }

    /// Adds normal samples.
    #[doc(alias = "NormalSample")]
    #[must_use]
    pub fn normal(self, name: impl Into<String>, mean: f64, sd: f64) -> Self {
        self.parameter(name, Spec::Normal { mean, sd })
    }

    /// Adds samples of a triangular distribution.
    #[must_use]
    pub fn triangular(self, name: impl Into<String>, low: f64, mode: f64, high: f64) -> Self {
        self.parameter(name, Spec::Triangular { low, mode, high })
    }

    /// Adds samples of a Latin hypercube: one in each of as many equal parts as there are samples.
    #[doc(alias = "LatinHypercubeSample")]
    #[must_use]
    pub fn latin_hypercube(self, name: impl Into<String>, low: f64, high: f64) -> Self {
        self.parameter(name, Spec::LatinHypercube { low, high })
    }

    /// Sets how many samples are taken.
    #[must_use]
    pub fn samples(self, n_samples: usize) -> Self {
        Self { n_samples: Some(n_samples), ..self }
    }

    /// Sets the seed of the samples, 0 if it is not said.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Checks the whole and numbers its points.
    ///
    /// # Errors
    ///
    /// [`SweepError`] that names the parameter and what is wrong with it.
    pub fn design(self) -> Result<Design, SweepError> {
        let Self { parameters, n_samples, seed } = self;
        for (at, (name, spec)) in parameters.iter().enumerate() {
            let name = name.clone();
            if !is_name(&name) {
                return Err(SweepError::Name { name });
            }
            if parameters[..at].iter().any(|(other, _)| *other == name) {
                return Err(SweepError::Duplicate { name });
            }
            if let Some(reason) = spec.fault() {
                return Err(SweepError::Parameter { name, reason });
            }
        }
        let sampled = parameters.iter().find(|(_, spec)| spec.n_values().is_none());
        let (n_points, is_sampled) = match (sampled, n_samples) {
            _ if parameters.is_empty() => return Err(SweepError::NoParameters),
            (Some((name, _)), None | Some(0)) => {
                return Err(SweepError::NoSamples { name: name.clone() });
            }
            (Some((sampled, _)), Some(n_samples)) => {
                let mut counts = parameters.iter().map(|(name, spec)| (name, spec.n_values()));
                let many = counts.find_map(|(name, n)| Some((name, n.filter(|n| *n > 1)?)));
                if let Some((listed, n_values)) = many {
                    let (sampled, listed) = (sampled.clone(), listed.clone());
                    return Err(SweepError::Mixed { sampled, listed, n_values });
                }
                (n_samples, true)
            }
            (None, Some(n_samples)) => return Err(SweepError::NothingSampled { n_samples }),
            (None, None) => {
                let counts = parameters.iter().filter_map(|(_, spec)| spec.n_values());
                let product = counts.into_iter().try_fold(1_usize, usize::checked_mul);
                (product.ok_or(SweepError::TooMany)?, false)
            }
        };
        Ok(Design { parameters, n_points, is_sampled, seed })
    }
}

/// The points of a sweep, numbered from zero: a full factorial design, or samples.
///
/// A point is computed from its number when it is asked for, so 10^9 combinations cost nothing. It
/// depends on nothing but the design: not on who asks, nor on what was asked before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Design {
    parameters: Vec<(String, Spec)>,
    n_points: usize,
    is_sampled: bool,
    seed: u64,
}

impl Design {
    /// How many points there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.n_points
    }

    /// Whether there are none; never so.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.n_points == 0
    }

    /// Whether the points are samples, rather than combinations.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.is_sampled
    }

    /// The seed of the samples.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The names of the parameters, in the order in which they were given.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.parameters.iter().map(|(name, _)| name.as_str())
    }

    /// The parameters.
    #[must_use]
    pub fn parameters(&self) -> &[(String, Spec)] {
        &self.parameters
    }

    /// The values of a point, one for each parameter; `None` if there is no such point.
    #[must_use]
    pub fn values(&self, index: usize) -> Option<Vec<Value>> {
        if index >= self.n_points {
            return None;
        }
        if self.is_sampled {
            let (seed, n) = (self.seed, self.n_points);
            let sample = |(name, spec): &(String, Spec)| spec.sample(name, seed, n, index);
            return Some(self.parameters.iter().map(sample).collect());
        }
        // The last parameter varies fastest.
        let mut rest = index;
        let backwards = self.parameters.iter().rev().map(|(_, spec)| {
            let n = spec.n_values().unwrap_or(1);
            let value = spec.value(rest % n);
            rest /= n;
            value
        });
        let mut values: Vec<Value> = backwards.collect();
        values.reverse();
        Some(values)
    }

    /// The point as what a task takes: a struct with a field for each parameter, by its name; a tuple
    /// or an array, by their order; the value itself if there is one parameter.
    ///
    /// ```
    /// # use param_sweep::Sweep;
    /// #[derive(serde::Deserialize)]
    /// struct Pipe {
    ///     length_m: f64,
    ///     n_bends: u32,
    /// }
    ///
    /// let design = Sweep::new().list("length_m", [1.5, 2.5]).integers("n_bends", 0, 3, 1).design()?;
    /// let pipe: Pipe = design.point(6)?;
    /// assert_eq!((pipe.length_m, pipe.n_bends), (2.5, 2));
    /// let (length_m, n_bends): (f64, u32) = design.point(6)?;
    /// assert_eq!((length_m, n_bends), (2.5, 2));
    /// # Ok::<(), param_sweep::SweepError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`SweepError::Point`] if there is no such point, or it does not fit.
    pub fn point<P: DeserializeOwned>(&self, index: usize) -> Result<P, SweepError> {
        let fail = |reason: String| SweepError::Point { index, reason };
        let values = self
            .values(index)
            .ok_or_else(|| fail(format!("there are {} points", self.n_points)))?;
        P::deserialize(PointDeserializer::new(&self.parameters, values))
            .map_err(|error| fail(error.to_string()))
    }

    /// Points of a range, as [`point`](Self::point) gives them.
    ///
    /// # Errors
    ///
    /// [`SweepError::Point`] for the first that does not fit.
    pub fn points<P: DeserializeOwned>(&self, range: Range<usize>) -> Result<Vec<P>, SweepError> {
        range.map(|index| self.point(index)).collect()
    }
}
