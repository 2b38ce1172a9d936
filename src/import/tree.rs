//! A history whose entries name the one that they go on behind: the last entry of the file is where the conversation is.

use std::collections::HashMap;

use crate::import::shape::Place;

/// The entries of a tree by the names that the system gave them.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
    names: HashMap<String, usize>,
}

#[derive(Debug)]
struct Node {
    /// Its number among the entries of the file.
    index: usize,
    parent: Option<usize>,
    /// The first node of those that follow each other up to this one without a branch in between.
    run: usize,
}

impl Tree {
    /// Adds an entry, and says where it goes on if that is not behind the one before it. One without a parent, or with one that
    /// is not there, goes on behind nothing.
    pub(crate) fn add(&mut self, id: &str, parent: Option<&str>, index: usize) -> Option<Place> {
        let parent = parent.and_then(|parent| self.names.get(parent).copied());
        self.add_behind(id, parent, index)
    }

    /// Adds an entry that goes on behind the one before it, whatever it names.
    pub(crate) fn add_last(&mut self, id: &str, index: usize) {
        self.add_behind(id, self.nodes.len().checked_sub(1), index);
    }

    fn add_behind(&mut self, id: &str, parent: Option<usize>, index: usize) -> Option<Place> {
        let node = self.nodes.len();
        let tip = node.checked_sub(1);
        let run = parent.filter(|_| parent == tip).and_then(|tip| self.nodes.get(tip)).map_or(node, |tip| tip.run);
        let place =
            parent.and_then(|parent| self.nodes.get(parent)).map_or(Place::Start, |node| Place::Entry(node.index));
        self.nodes.push(Node { index, parent, run });
        self.names.insert(id.to_owned(), node);
        (parent != tip).then_some(place)
    }

    /// Says whether there is such an entry.
    pub(crate) fn has(&self, id: &str) -> bool {
        self.names.contains_key(id)
    }

    /// Returns the number in the file of an entry that stands on the path to the last one.
    pub(crate) fn on_path(&self, id: &str) -> Option<usize> {
        let wanted = *self.names.get(id)?;
        let mut at = self.nodes.len().checked_sub(1)?;
        // From branch to branch: a long history has few.
        while let Some(node) = self.nodes.get(at).filter(|_| at >= wanted) {
            if node.run <= wanted {
                return self.nodes.get(wanted).map(|node| node.index);
            }
            at = self.nodes.get(node.run)?.parent?;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_goes_on_behind_its_parent() {
        let mut tree = Tree::default();
        assert_eq!(tree.add("a", None, 1), None);
        assert_eq!(tree.add("b", Some("a"), 2), None);
        assert_eq!(tree.add("c", Some("b"), 4), None);
        assert_eq!(tree.on_path("b"), Some(2));
        assert_eq!(tree.add("d", Some("a"), 5), Some(Place::Entry(1)));
        assert_eq!((tree.on_path("a"), tree.on_path("b"), tree.on_path("d")), (Some(1), None, Some(5)));
        assert_eq!(tree.add("e", Some("gone"), 6), Some(Place::Start));
        assert_eq!((tree.on_path("a"), tree.on_path("e"), tree.on_path("z")), (None, Some(6), None));
        assert_eq!(tree.add("f", Some("d"), 7), Some(Place::Entry(5)));
        assert_eq!((tree.on_path("a"), tree.on_path("d"), tree.on_path("e")), (Some(1), Some(5), None));
    }
}
