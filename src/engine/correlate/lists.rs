//! Names of programs that are installed: one is named for many reasons, a list of them only where the list is sent.
//!
//! A request names its own program, and often one that it works with. Three others' names in one leaf are more than that.

use std::collections::BTreeMap;

use super::{
    catalog::Catalog,
    chance::Chance,
    hit::{Artifact, FlowRef, Found},
    needles::{ValueId, is_package},
};

/// Different programs that make a list.
const LEAST: usize = 3;

/// How likely luck writes the list that a leaf holds.
pub(super) struct Lists {
    by_leaf: BTreeMap<(FlowRef, u32), Chance>,
}

impl Lists {
    /// Looks for lists in what was found; so many bytes were searched.
    pub(super) fn new(catalog: &Catalog, found: &[Found], searched: u64) -> Self {
        let mut weights: BTreeMap<(FlowRef, u32), (u64, BTreeMap<ValueId, u64>)> = BTreeMap::new();
        for one in found.iter().filter(|one| !one.inside_longer) {
            let Some(id) = package(catalog, one.artifact) else { continue };
            let (len, of_leaf) = weights.entry((one.leaf.flow, one.leaf.serial)).or_default();
            *len = one.leaf.len;
            let weight = of_leaf.entry(id).or_default();
            *weight = one.weight.max(*weight);
        }
        let needles = catalog.needles.packages();
        let chance = |(leaf, (len, of_leaf)): ((FlowRef, u32), (u64, BTreeMap<ValueId, u64>))| {
            let mut heavy: Vec<u64> = of_leaf.into_values().collect();
            heavy.sort_unstable_by_key(|weight| std::cmp::Reverse(*weight));
            // The first stands anywhere, each other anywhere in its leaf. Light names make a list no likelier to be luck.
            let of = |most: usize| {
                let others = std::iter::repeat_n([needles, len], most - 1).flatten();
                let tries: Vec<u64> = [needles, searched].into_iter().chain(others).collect();
                Chance::of_millidecades(&tries, heavy.iter().take(most).sum())
            };
            (LEAST..=heavy.len()).map(of).min().map(|chance| (leaf, chance))
        };
        Self { by_leaf: weights.into_iter().filter_map(chance).collect() }
    }

    /// The list that something found is in.
    pub(super) fn around(&self, found: &Found) -> Option<Chance> {
        let list = self.by_leaf.get(&(found.leaf.flow, found.leaf.serial));
        list.copied().filter(|_| !found.inside_longer)
    }
}

/// The package that an artifact is.
pub(super) fn package(catalog: &Catalog, artifact: Artifact) -> Option<ValueId> {
    let Artifact::Value(id) = artifact else { return None };
    catalog.value(id).filter(|value| is_package(&value.kind)).map(|_| id)
}
