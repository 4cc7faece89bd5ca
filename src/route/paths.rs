//! The index by path: a tree with one level per segment.
//!
//! A walk hashes each segment once and ends where the tree does, so that a long path costs no more than the deepest route, and no
//! path however made costs more than its length. Less specific prefixes are then the way back up.

use std::collections::HashMap;

use foldhash::quality::RandomState;

use crate::config::model::PathPattern;

/// The rules of one host pattern. Clients choose the keys that are looked up, hence the random seed.
#[derive(Debug)]
pub(super) struct Paths {
    /// The first is the root: the prefix of everything.
    nodes: Vec<Node>,
}

/// A path from the root; `/api` is the empty segment, then `api`.
#[derive(Debug, Default)]
struct Node {
    /// Unused in the root.
    parent: usize,
    children: HashMap<Box<[u8]>, usize, RandomState>,
    /// Positions of rules, rising.
    exact: Vec<usize>,
    prefix: Vec<usize>,
}

impl Default for Paths {
    fn default() -> Paths {
        Paths { nodes: vec![Node::default()] }
    }
}

impl Paths {
    pub(super) fn insert(&mut self, patterns: &[PathPattern], rule: usize) {
        for pattern in patterns {
            match pattern {
                PathPattern::Exact(path) => {
                    let node = self.node(segments(path));
                    self.nodes[node].exact.push(rule);
                }
                PathPattern::Prefix(path) if path.is_empty() => self.nodes[0].prefix.push(rule),
                PathPattern::Prefix(path) => {
                    let node = self.node(segments(path));
                    self.nodes[node].prefix.push(rule);
                }
            }
        }
    }

    fn node<'a>(&mut self, segments: impl Iterator<Item = &'a [u8]>) -> usize {
        segments.fold(0, |parent, segment| {
            if let Some(child) = self.nodes[parent].children.get(segment) {
                return *child;
            }
            let child = self.nodes.len();
            self.nodes.push(Node { parent, ..Node::default() });
            self.nodes[parent].children.insert(segment.into(), child);
            child
        })
    }

    /// Positions of the rules that match this path, in order of preference.
    pub(super) fn find(&self, path: &str) -> impl Iterator<Item = usize> {
        let mut deepest = 0;
        let mut whole = true;
        for segment in segments(path) {
            let Some(child) = self.nodes[deepest].children.get(segment) else {
                whole = false;
                break;
            };
            deepest = *child;
        }
        let exact: &[usize] = if whole { &self.nodes[deepest].exact } else { &[] };
        let upwards = std::iter::successors(Some(deepest), |node| (*node != 0).then(|| self.nodes[*node].parent));
        exact.iter().chain(upwards.flat_map(|node| &self.nodes[node].prefix)).copied()
    }
}

// Of bytes: searching text for a character costs more than the lookups that follow.
fn segments(path: &str) -> impl Iterator<Item = &[u8]> {
    path.as_bytes().split(|byte| *byte == b'/')
}
