//! The tree of RFC 6962, section 2.1: how its hashes follow from its leaves, which of them a proof takes,
//! and whether a proof holds.
//!
//! Which subtrees a proof takes and whether it holds is the library's to say. Its own tree has every leaf
//! in memory, so here only the hashes along the right edge are: the [`Frontier`]. Complete subtrees never
//! change, so whoever keeps their hashes can look up every part of every proof.

use std::ops::Range;

use ct_merkle::{
    ConsistencyProof, InclusionProof, RootHash, indices_for_consistency_proof,
    indices_for_inclusion_proof,
};
use gavel_protocol::TreeHash;
use sha2::{Digest as _, Sha256};

use crate::limits::AUDIT_TREE_MAX;

/// A complete subtree: its 2^`level` leaves begin with leaf `place` * 2^`level`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subtree {
    /// How many levels are below its top.
    pub level: u32,
    /// How many complete subtrees of this level lie to the left of it.
    pub place: u64,
}

/// The hashes along the right edge of a tree: enough to add leaves and to know its root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    /// Of the complete subtrees that make up the tree, from the left.
    hashes: Vec<TreeHash>,
}

impl Frontier {
    /// Continues a tree of `size` leaves with the hashes of its [`subtrees`]. Returns `None` if these are
    /// not as many as there must be.
    pub fn new(size: u64, hashes: Vec<TreeHash>) -> Option<Self> {
        (subtrees(0..size).len() == hashes.len()).then_some(Self { size, hashes })
    }

    /// Returns how many leaves there are.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Returns the root of the tree.
    pub fn root(&self) -> TreeHash {
        root_of(&self.hashes)
    }

    /// Adds a leaf by its hash, and shows each subtree that is complete with it, the leaf itself first.
    pub fn push(&mut self, leaf: TreeHash, mut complete: impl FnMut(Subtree, TreeHash)) {
        assert!(
            self.size < AUDIT_TREE_MAX,
            "invariant: so many events are beyond the order's numbers"
        );
        let (mut place, mut hash) = (self.size, leaf);
        complete(Subtree { level: 0, place }, hash);
        for level in 1..=self.size.trailing_ones() {
            let left = self.hashes.pop().expect("invariant: a hash for each bit of the size");
            (place, hash) = (place / 2, hash_of_parent(&left, &hash));
            complete(Subtree { level, place }, hash);
        }
        self.hashes.push(hash);
        self.size += 1;
    }
}

/// Returns the complete subtrees that make up the leaves of a range, from the left. The range is that of a
/// subtree, complete or not.
pub fn subtrees(range: Range<u64>) -> Vec<Subtree> {
    let Range { mut start, end } = range;
    let mut found = Vec::new();
    while start < end {
        let level = start.trailing_zeros().min((end - start).ilog2());
        found.push(Subtree { level, place: start >> level });
        start += 1 << level;
    }
    found
}

/// Returns the root over subtrees that lie beside each other, from their hashes.
pub fn root_of(hashes: &[TreeHash]) -> TreeHash {
    let mut from_right = hashes.iter().rev().copied();
    match from_right.next() {
        Some(last) => from_right.fold(last, |right, left| hash_of_parent(&left, &right)),
        None => TreeHash::new(Sha256::digest(b"").into()),
    }
}

/// Returns the leaves under each hash of the proof that leaf `index` is in a tree of `size` leaves.
///
/// # Panics
///
/// If there is no such leaf.
pub fn inclusion_ranges(index: u64, size: u64) -> Vec<Range<u64>> {
    let nodes = indices_for_inclusion_proof(size, index);
    nodes.into_iter().map(|node| range_of(node, size)).collect()
}

/// Returns the leaves under each hash of the proof that the first `from_size` leaves of a tree of `size`
/// are those of the smaller tree.
///
/// # Panics
///
/// If the smaller tree has no leaves, or more than the other.
pub fn consistency_ranges(from_size: u64, size: u64) -> Vec<Range<u64>> {
    let nodes = indices_for_consistency_proof(from_size, size - from_size);
    nodes.into_iter().map(|node| range_of(node, size)).collect()
}

/// Returns whether a leaf of this content is leaf `index` of the tree with that root.
pub fn verify_inclusion(
    content: &[u8],
    index: u64,
    size: u64,
    root: &TreeHash,
    path: &[TreeHash],
) -> bool {
    // The library panics beyond.
    if size > AUDIT_TREE_MAX {
        return false;
    }
    let Ok(proof) = InclusionProof::<Sha256>::try_from_bytes(joined(path)) else { return false };
    RootHash::new((*root.as_bytes()).into(), size).verify_inclusion(&content, index, &proof).is_ok()
}

/// Returns whether the tree of `size` leaves and that root begins with the tree of `from_size` leaves and
/// that root.
pub fn verify_consistency(
    from_size: u64,
    from_root: &TreeHash,
    size: u64,
    root: &TreeHash,
    path: &[TreeHash],
) -> bool {
    // The library panics beyond.
    if size > AUDIT_TREE_MAX {
        return false;
    }
    let Ok(proof) = ConsistencyProof::<Sha256>::try_from_bytes(joined(path)) else { return false };
    let from = RootHash::new((*from_root.as_bytes()).into(), from_size);
    RootHash::new((*root.as_bytes()).into(), size).verify_consistency(&from, &proof).is_ok()
}

/// Returns the hash of a leaf with this content.
pub(crate) fn hash_of_leaf(content: &[u8]) -> TreeHash {
    let hasher = Sha256::new().chain_update([0_u8]).chain_update(content);
    TreeHash::new(hasher.finalize().into())
}

fn hash_of_parent(left: &TreeHash, right: &TreeHash) -> TreeHash {
    let hasher = Sha256::new().chain_update([1_u8]);
    let hasher = hasher.chain_update(left.as_bytes()).chain_update(right.as_bytes());
    TreeHash::new(hasher.finalize().into())
}

/// Returns the leaves under a node by the library's number of it: that of an array-based tree, see RFC
/// 9420, appendix C.
fn range_of(node: u64, size: u64) -> Range<u64> {
    let level = node.trailing_ones();
    let start = (node >> (level + 1)) << level;
    start..size.min(start + (1 << level))
}

fn joined(path: &[TreeHash]) -> Vec<u8> {
    path.iter().flat_map(TreeHash::as_bytes).copied().collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// Leaves and the roots over the first of them, as Certificate Transparency's own tests have them.
    const LEAVES: [&str; 8] = [
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    ];
    const ROOTS: [&str; 9] = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    const SIZE_MAX: u64 = 70;

    /// The tree as section 2.1 defines it, by recursion over all leaves.
    mod naive {
        use super::*;

        pub fn root(leaves: &[Vec<u8>]) -> TreeHash {
            match leaves {
                [] => TreeHash::new(Sha256::digest(b"").into()),
                [leaf] => hash_of_leaf(leaf),
                _ => {
                    let (left, right) = leaves.split_at(split(leaves.len()));
                    hash_of_parent(&root(left), &root(right))
                }
            }
        }

        pub fn path(index: usize, leaves: &[Vec<u8>]) -> Vec<TreeHash> {
            if leaves.len() <= 1 {
                return Vec::new();
            }
            let (left, right) = leaves.split_at(split(leaves.len()));
            let (mut path, beside) = match index < left.len() {
                true => (path(index, left), root(right)),
                false => (path(index - left.len(), right), root(left)),
            };
            path.push(beside);
            path
        }

        pub fn consistency(from: usize, leaves: &[Vec<u8>], is_whole: bool) -> Vec<TreeHash> {
            if from == leaves.len() {
                return if is_whole { Vec::new() } else { vec![root(leaves)] };
            }
            let (left, right) = leaves.split_at(split(leaves.len()));
            let (mut path, beside) = match from <= left.len() {
                true => (consistency(from, left, is_whole), root(right)),
                false => (consistency(from - left.len(), right, false), root(left)),
            };
            path.push(beside);
            path
        }

        /// The largest power of two below `count`.
        fn split(count: usize) -> usize {
            count.next_power_of_two() / 2
        }
    }

    /// A tree of which every complete subtree is kept.
    #[derive(Default)]
    struct Kept {
        frontier: Frontier,
        hashes: BTreeMap<Subtree, TreeHash>,
    }

    impl Kept {
        fn of(leaves: &[Vec<u8>]) -> Self {
            let mut kept = Self::default();
            for leaf in leaves {
                let hashes = &mut kept.hashes;
                kept.frontier.push(hash_of_leaf(leaf), |subtree, hash| {
                    assert_eq!(hashes.insert(subtree, hash), None, "each is complete once");
                });
            }
            kept
        }

        fn hash(&self, range: Range<u64>) -> TreeHash {
            let hashes: Vec<_> = subtrees(range).iter().map(|s| self.hashes[s]).collect();
            root_of(&hashes)
        }

        fn path(&self, ranges: Vec<Range<u64>>) -> Vec<TreeHash> {
            ranges.into_iter().map(|range| self.hash(range)).collect()
        }
    }

    fn leaves(count: u64) -> Vec<Vec<u8>> {
        (0..count).map(|number| number.to_le_bytes().to_vec()).collect()
    }

    fn index(number: u64) -> usize {
        usize::try_from(number).unwrap()
    }

    #[test]
    fn the_roots_are_those_of_certificate_transparency() {
        let leaves = LEAVES.map(|leaf| data_encoding::HEXLOWER.decode(leaf.as_bytes()).unwrap());
        for (count, root) in ROOTS.iter().enumerate() {
            let kept = Kept::of(&leaves[..count]);
            assert_eq!(kept.frontier.root().to_string(), *root, "{count} leaves");
            assert_eq!(naive::root(&leaves[..count]).to_string(), *root, "{count} leaves");
        }
    }

    #[test]
    fn every_proof_of_every_size_is_the_definitions_and_holds() {
        for size in 1..=SIZE_MAX {
            let leaves = leaves(size);
            let kept = Kept::of(&leaves);
            let root = kept.frontier.root();
            assert_eq!(root, naive::root(&leaves));
            let edge = subtrees(0..size).iter().map(|s| kept.hashes[s]).collect();
            assert_eq!(Frontier::new(size, edge), Some(kept.frontier.clone()));
            for number in 0..size {
                let path = kept.path(inclusion_ranges(number, size));
                assert_eq!(path, naive::path(index(number), &leaves), "{number} of {size}");
                assert!(verify_inclusion(&leaves[index(number)], number, size, &root, &path));
            }
            for from in 1..=size {
                let path = kept.path(consistency_ranges(from, size));
                assert_eq!(
                    path,
                    naive::consistency(index(from), &leaves, true),
                    "{from} to {size}"
                );
                let from_root = kept.hash(0..from);
                assert_eq!(from_root, naive::root(&leaves[..index(from)]));
                assert!(verify_consistency(from, &from_root, size, &root, &path));
            }
        }
    }

    #[test]
    fn sizes_that_cannot_be_are_refused() {
        let root = TreeHash::new([0; 32]);
        for size in [0, AUDIT_TREE_MAX + 1, u64::MAX / 2 + 2, u64::MAX] {
            for index in [0, 1, u64::MAX / 2, u64::MAX - 1, u64::MAX] {
                assert!(!verify_inclusion(b"", index, size, &root, &[]));
                assert!(!verify_consistency(index, &root, size, &root, &[]));
            }
        }
        assert_eq!(Frontier::new(3, vec![root]), None);
    }

    proptest! {
        #[test]
        fn a_proof_with_anything_else_in_it_does_not_hold(
            size in 2..=SIZE_MAX,
            number in any::<prop::sample::Index>(),
            from in any::<prop::sample::Index>(),
            place in any::<prop::sample::Index>(),
            bit in 0..256_usize,
        ) {
            let leaves = leaves(size);
            let kept = Kept::of(&leaves);
            let root = kept.frontier.root();
            let number = number.index(index(size));
            let content = &leaves[number];
            let number = u64::try_from(number).unwrap();
            let flipped = |hash: &TreeHash| {
                let mut bytes = *hash.as_bytes();
                bytes[bit / 8] ^= 1 << (bit % 8);
                TreeHash::new(bytes)
            };
            let path = kept.path(inclusion_ranges(number, size));
            let holds = |content: &[u8], number, root: &TreeHash, path: &[TreeHash]| {
                verify_inclusion(content, number, size, root, path)
            };
            prop_assert!(holds(content, number, &root, &path));
            prop_assert!(!holds(b"another", number, &root, &path));
            prop_assert!(!holds(content, (number + 1) % size, &root, &path));
            prop_assert!(!holds(content, number, &flipped(&root), &path));
            prop_assert!(!holds(content, number, &root, &path[1..]));
            let mut wrong = path.clone();
            let place_in_path = place.index(path.len());
            wrong[place_in_path] = flipped(&wrong[place_in_path]);
            prop_assert!(!holds(content, number, &root, &wrong));

            let from = u64::try_from(1 + from.index(index(size) - 1)).unwrap();
            let from_root = kept.hash(0..from);
            let path = kept.path(consistency_ranges(from, size));
            let holds = |from, from_root: &TreeHash, root: &TreeHash, path: &[TreeHash]| {
                verify_consistency(from, from_root, size, root, path)
            };
            prop_assert!(holds(from, &from_root, &root, &path));
            prop_assert!(!holds(from, &flipped(&from_root), &root, &path));
            prop_assert!(!holds(from, &from_root, &flipped(&root), &path));
            prop_assert!(!holds(from, &from_root, &root, &path[1..]));
            let mut wrong = path.clone();
            let place_in_path = place.index(path.len());
            wrong[place_in_path] = flipped(&wrong[place_in_path]);
            prop_assert!(!holds(from, &from_root, &root, &wrong));
        }
    }
}
