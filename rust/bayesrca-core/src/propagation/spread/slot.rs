//! Where the tables of one plan lie: panels of lanes, then what is kept of the doses.

use crate::propagation::affected;
use crate::propagation::plan::Plan;

/// Where the tables of one plan lie.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    pub at: usize,
    pub kept: bool,
    pub lanes: usize,
    /// Lanes that are summed at once: 1, 2, 4 or 8, and the logarithm of that to base 2.
    pub width: usize,
    pub shift: u32,
    /// Numbers of one panel: weights, then states, then factors.
    pub weights: usize,
    pub states: usize,
    pub factors: usize,
    /// Numbers kept of the doses, after the panels.
    doses: usize,
    panels: usize,
}

impl Slot {
    pub fn new(plan: &Plan, (sources, doses): (usize, usize), s: usize) -> Self {
        let lanes = sources * s + usize::from(plan.keeps_target);
        let width = lanes.next_power_of_two().min(8);
        let long = affected::is_long(plan);
        Self {
            at: 0,
            kept: false,
            lanes,
            width,
            shift: width.trailing_zeros(),
            weights: plan.nodes.len() * 2 * width,
            states: plan.states * width,
            factors: if long { plan.blocks.len() * width } else { 0 },
            doses,
            panels: lanes.div_ceil(width),
        }
    }

    pub fn panel(&self) -> usize {
        self.weights + self.states + self.factors
    }

    pub fn panels(&self) -> usize {
        self.panels
    }

    pub fn size(&self) -> usize {
        self.panel() * self.panels + self.doses
    }

    /// The panels and what is kept of the doses.
    pub fn split<'a>(&self, arena: &'a [f64]) -> (&'a [f64], &'a [f64]) {
        arena[self.at..self.at + self.size()].split_at(self.panel() * self.panels)
    }

    pub fn split_mut<'a>(&self, arena: &'a mut [f64]) -> (&'a mut [f64], &'a mut [f64]) {
        arena[self.at..self.at + self.size()].split_at_mut(self.panel() * self.panels)
    }

    /// The weights of a panel by node: of all its lanes unaffected, then affected.
    pub fn rows<'a>(
        &self,
        panel: usize,
        tables: &'a mut [f64],
    ) -> impl Iterator<Item = &'a mut [f64]> {
        let from = panel * self.panel();
        tables[from..from + self.weights].chunks_exact_mut(2 * self.width)
    }

    /// The panel of a lane, and its place there.
    pub fn place(&self, lane: usize) -> (usize, usize) {
        (lane >> self.shift, lane & (self.width - 1))
    }

    /// Index of an entry of the last table, from the slot's own start.
    pub fn last(&self, on: bool, lane: usize, plan: &Plan) -> usize {
        let (panel, lane) = self.place(lane);
        let row = plan.states - if plan.keeps_target { 2 } else { 1 } + usize::from(on);
        panel * self.panel() + self.weights + row * self.width + lane
    }

    /// Logarithm of what the factors took out of a lane.
    pub fn log(&self, lane: usize, tables: &[f64]) -> f64 {
        if self.factors == 0 {
            return 0.0;
        }
        let (panel, lane) = self.place(lane);
        let factors = &tables[panel * self.panel() + self.weights + self.states..];
        let own = factors[lane..self.factors].iter().step_by(self.width);
        -own.map(|f| f.ln()).sum::<f64>()
    }
}
