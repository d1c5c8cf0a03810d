//! Where a fault can begin: a component, a set of components, or the way to a component.

use super::doses::{DoseTable, PairDoses};
use super::plan::{Knot, Plan};
use super::untraced::{Untraced, moved, untraced};
use crate::error::Result;
use crate::evidence::FamilyEvidence;
use crate::graph::Graph;

/// What every source of one family is prepared from.
#[derive(Debug, Clone)]
pub(crate) struct Ground {
    graph: Graph,
    doses: DoseTable,
    moved: Vec<(usize, usize)>,
    /// The target, and the target again when its alarm is in this family.
    target: Option<usize>,
    pub alarm: Option<usize>,
    max_width: usize,
}

/// One source, prepared.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// Index of its plan: a link shares that of its component.
    pub plan: usize,
    /// What the roots themselves show.
    pub origin: Origin,
    pub untraced: Vec<Untraced>,
    pub explains_alarm: bool,
}

/// What the roots of a source show.
#[derive(Debug, Clone)]
pub(crate) enum Origin {
    /// Their own effect, and the doses that arrive elsewhere are compared with theirs.
    Roots(PairDoses),
    /// Nothing: the fault lies on the way to the root, which is quiet, and the size of its dose is not known.
    Link,
}

impl Ground {
    pub fn new(
        e: &FamilyEvidence,
        (n, s): (usize, usize),
        alarm: Option<usize>,
        target: Option<usize>,
        max_width: usize,
    ) -> Self {
        Self {
            graph: Graph::new(n, &e.edges),
            doses: DoseTable::new(e, s),
            moved: moved(e, s),
            target,
            alarm,
            max_width,
        }
    }

    pub fn plan(&self, roots: &[usize]) -> Result<Plan> {
        Plan::new(&self.graph, roots, self.alarm, self.max_width)
    }

    /// A plan's blocks with what is open before each, and the edges among all it touches.
    pub fn in_full(&self, plan: &Plan) -> (Vec<(Vec<usize>, Knot)>, Vec<(usize, usize)>) {
        let touched = plan.roots.iter().chain(&plan.nodes);
        let edges = touched.flat_map(|&i| self.graph.children(i).iter().map(move |&to| (i, to)));
        (plan.in_full(&self.graph, self.alarm), edges.collect())
    }

    /// A fault at all roots of `plan`, whose index is `index`.
    pub fn roots(&self, plan: &Plan, index: usize) -> Source {
        Source {
            plan: index,
            origin: Origin::Roots(PairDoses::new(&self.doses, &self.graph, plan, self.target)),
            untraced: untraced(&self.doses, plan, &self.moved),
            explains_alarm: self.explains_alarm(plan),
        }
    }

    /// A fault on the way to the root of `plan`, whose index is `index`.
    pub fn link(&self, plan: &Plan, index: usize) -> Source {
        Source {
            plan: index,
            origin: Origin::Link,
            untraced: Vec::new(),
            explains_alarm: self.explains_alarm(plan),
        }
    }

    fn explains_alarm(&self, plan: &Plan) -> bool {
        self.alarm.is_some_and(|t| plan.touches(t))
    }
}
