//! Who may read which blob: an index of open RFQs and of contracts, built from the events alone, or
//! from what was saved of them.
//!
//! A blob lies under the agent that stored it, and the index only ever leads to what the buyer of an
//! RFQ or the provider of a contract stored itself. Naming somebody else's digest gives no access.

use std::collections::{HashMap, VecDeque};

use gavel_protocol::{
    AgentId, Awarded, BlobSource, ContractId, Delivered, Digest, Parties, RfqClosed, RfqId,
    RfqOpened,
};
use rkyv::{Archive, Deserialize, Serialize};
use rustc_hash::FxBuildHasher;

use crate::limits::CLOSED_CONTRACTS_KEPT;

/// Where a blob lies: under whom, and by which digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct BlobPlace {
    pub owner: AgentId,
    pub digest: Digest,
}

/// The blobs of open RFQs and of contracts.
#[derive(Debug, Default)]
pub(crate) struct BlobIndex {
    rfqs: HashMap<RfqId, RfqBlobs, FxBuildHasher>,
    contracts: HashMap<ContractId, ContractBlobs, FxBuildHasher>,
    /// Contracts that have ended, in the order in which they did.
    closed: VecDeque<ContractId>,
}

/// What a buyer has named in an RFQ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
struct BuyerBlobs {
    buyer: AgentId,
    spec: Digest,
    inputs: Option<Digest>,
    terms: Digest,
}

#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
struct RfqBlobs {
    blobs: BuyerBlobs,
    /// Who may answer; empty: everybody.
    invited: Vec<AgentId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
struct ContractBlobs {
    parties: Parties,
    blobs: BuyerBlobs,
    deliverable: Option<Digest>,
}

/// The index as it is saved: RFQs and contracts by id, ended contracts in the order of their ends.
#[derive(Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub(crate) struct SavedBlobs {
    rfqs: Vec<(RfqId, RfqBlobs)>,
    contracts: Vec<(ContractId, ContractBlobs)>,
    closed: Vec<ContractId>,
}

impl BlobIndex {
    /// Returns everything in it.
    pub fn saved(&self) -> SavedBlobs {
        let mut rfqs: Vec<_> = self.rfqs.iter().map(|(id, rfq)| (*id, rfq.clone())).collect();
        rfqs.sort_unstable_by_key(|(id, _)| *id);
        let contracts = self.contracts.iter().map(|(id, contract)| (*id, *contract));
        let mut contracts: Vec<_> = contracts.collect();
        contracts.sort_unstable_by_key(|(id, _)| *id);
        SavedBlobs { rfqs, contracts, closed: self.closed.iter().copied().collect() }
    }

    /// Makes an index of what was saved.
    pub fn restored(saved: SavedBlobs) -> Self {
        let SavedBlobs { rfqs, contracts, closed } = saved;
        Self {
            rfqs: rfqs.into_iter().collect(),
            contracts: contracts.into_iter().collect(),
            closed: closed.into(),
        }
    }

    pub fn opened(&mut self, opened: &RfqOpened, invited: &[AgentId]) {
        let blobs = BuyerBlobs {
            buyer: opened.buyer,
            spec: opened.terms.spec,
            inputs: opened.terms.inputs,
            terms: opened.terms.terms,
        };
        self.rfqs.insert(opened.rfq, RfqBlobs { blobs, invited: invited.to_vec() });
    }

    /// Returns who was invited to an open RFQ.
    pub fn invited(&self, rfq: RfqId) -> Vec<AgentId> {
        self.rfqs.get(&rfq).map_or_else(Vec::new, |rfq| rfq.invited.clone())
    }

    /// Forgets an RFQ, and returns who was invited to it. Its awards have come before.
    pub fn closed(&mut self, closed: &RfqClosed) -> Vec<AgentId> {
        self.rfqs.remove(&closed.rfq).map_or_else(Vec::new, |rfq| rfq.invited)
    }

    pub fn awarded(&mut self, awarded: &Awarded) {
        // Whoever takes over works on what the one before it was to work on.
        let blobs = match awarded.takes_over {
            None => self.rfqs.get(&awarded.rfq).map(|rfq| rfq.blobs),
            Some(before) => self.contracts.get(&before).map(|contract| contract.blobs),
        };
        let Some(blobs) = blobs else { return };
        let contract = ContractBlobs { parties: awarded.parties, blobs, deliverable: None };
        self.contracts.insert(awarded.contract, contract);
    }

    pub fn delivered(&mut self, delivered: &Delivered) {
        if let Some(contract) = self.contracts.get_mut(&delivered.contract) {
            contract.deliverable = Some(delivered.deliverable);
        }
    }

    /// Keeps a contract that has ended for a while: its parties may still fetch what it was about.
    pub fn ended(&mut self, contract: ContractId) {
        self.closed.push_back(contract);
        if self.closed.len() > CLOSED_CONTRACTS_KEPT
            && let Some(oldest) = self.closed.pop_front()
        {
            self.contracts.remove(&oldest);
        }
    }

    /// Returns where a blob lies, if there is one that `reader` may read.
    pub fn place(&self, reader: AgentId, source: BlobSource) -> Option<BlobPlace> {
        let (owner, digest) = match source {
            BlobSource::Own(digest) => (reader, digest),
            BlobSource::RfqSpec(rfq) => {
                self.open(rfq, reader).map(|blobs| (blobs.buyer, blobs.spec))?
            }
            BlobSource::RfqTerms(rfq) => {
                self.open(rfq, reader).map(|blobs| (blobs.buyer, blobs.terms))?
            }
            BlobSource::ContractSpec(contract) => {
                let ContractBlobs { blobs, .. } = self.of_party(contract, reader)?;
                (blobs.buyer, blobs.spec)
            }
            BlobSource::ContractInputs(contract) => {
                let ContractBlobs { blobs, .. } = self.of_party(contract, reader)?;
                (blobs.buyer, blobs.inputs?)
            }
            BlobSource::ContractTerms(contract) => {
                let ContractBlobs { blobs, .. } = self.of_party(contract, reader)?;
                (blobs.buyer, blobs.terms)
            }
            BlobSource::Deliverable(contract) => {
                let contract = self.of_party(contract, reader)?;
                (contract.parties.provider, contract.deliverable?)
            }
        };
        Some(BlobPlace { owner, digest })
    }

    fn open(&self, rfq: RfqId, reader: AgentId) -> Option<&BuyerBlobs> {
        let RfqBlobs { blobs, invited } = self.rfqs.get(&rfq)?;
        let may_answer = invited.is_empty() || invited.contains(&reader) || blobs.buyer == reader;
        may_answer.then_some(blobs)
    }

    fn of_party(&self, contract: ContractId, reader: AgentId) -> Option<&ContractBlobs> {
        let Parties { buyer, provider } = self.contracts.get(&contract)?.parties;
        self.contracts.get(&contract).filter(|_| reader == buyer || reader == provider)
    }
}

#[cfg(test)]
mod tests {
    use gavel_protocol::RfqResult;

    use super::*;
    use crate::samples::{
        BUYER, CONTRACT, PROVIDER, RFQ, STRANGER, awarded, delivered, digest, rfq_closed,
        rfq_opened,
    };

    const EVERYBODY: [AgentId; 3] = [BUYER, PROVIDER, STRANGER];

    fn readers(index: &BlobIndex, source: BlobSource) -> Vec<AgentId> {
        EVERYBODY.into_iter().filter(|agent| index.place(*agent, source).is_some()).collect()
    }

    #[test]
    fn spec_and_terms_of_an_open_rfq_are_public_and_its_inputs_are_nobodys() {
        let mut index = BlobIndex::default();
        index.opened(&rfq_opened(), &[]);
        assert_eq!(readers(&index, BlobSource::RfqSpec(RFQ)), EVERYBODY);
        assert_eq!(readers(&index, BlobSource::RfqTerms(RFQ)), EVERYBODY);
        assert_eq!(readers(&index, BlobSource::ContractInputs(CONTRACT)), []);
        let spec = index.place(STRANGER, BlobSource::RfqSpec(RFQ)).unwrap();
        assert_eq!(spec, BlobPlace { owner: BUYER, digest: digest(b's') });
    }

    #[test]
    fn after_the_award_only_the_parties_read() {
        let mut index = BlobIndex::default();
        index.opened(&rfq_opened(), &[]);
        index.awarded(&awarded());
        index.closed(&rfq_closed(1));
        assert_eq!(readers(&index, BlobSource::RfqSpec(RFQ)), []);
        for source in [
            BlobSource::ContractSpec(CONTRACT),
            BlobSource::ContractInputs(CONTRACT),
            BlobSource::ContractTerms(CONTRACT),
        ] {
            assert_eq!(readers(&index, source), [BUYER, PROVIDER], "{source:?}");
        }
        assert_eq!(readers(&index, BlobSource::Deliverable(CONTRACT)), []);
        assert!(index.rfqs.is_empty());
    }

    #[test]
    fn a_directed_rfq_is_read_by_those_who_are_invited() {
        let mut index = BlobIndex::default();
        index.opened(&rfq_opened(), &[PROVIDER]);
        assert_eq!(readers(&index, BlobSource::RfqSpec(RFQ)), [BUYER, PROVIDER]);
        assert_eq!(index.closed(&rfq_closed(0)), [PROVIDER]);
    }

    #[test]
    fn a_runner_up_that_takes_over_reads_what_the_one_before_it_did() {
        let mut index = BlobIndex::default();
        index.opened(&rfq_opened(), &[]);
        index.awarded(&awarded());
        index.closed(&rfq_closed(1));
        index.ended(CONTRACT);
        let contract = ContractId::new(77);
        let parties = Parties { buyer: BUYER, provider: STRANGER };
        index.awarded(&Awarded { contract, parties, takes_over: Some(CONTRACT), ..awarded() });
        assert_eq!(readers(&index, BlobSource::ContractInputs(contract)), [BUYER, STRANGER]);
    }

    #[test]
    fn the_deliverable_lies_under_the_provider_and_stays_readable_after_the_end() {
        let mut index = BlobIndex::default();
        index.opened(&rfq_opened(), &[]);
        index.awarded(&awarded());
        index.delivered(&delivered());
        index.ended(CONTRACT);
        let source = BlobSource::Deliverable(CONTRACT);
        assert_eq!(readers(&index, source), [BUYER, PROVIDER]);
        assert_eq!(index.place(BUYER, source).unwrap().owner, PROVIDER);
    }

    #[test]
    fn a_canceled_rfq_is_forgotten() {
        let mut index = BlobIndex::default();
        index.opened(&rfq_opened(), &[]);
        index.closed(&RfqClosed { result: RfqResult::Canceled, ..rfq_closed(0) });
        assert_eq!(readers(&index, BlobSource::RfqSpec(RFQ)), []);
        assert!(index.rfqs.is_empty());
    }

    #[test]
    fn the_oldest_closed_contracts_are_forgotten_first() {
        let mut index = BlobIndex::default();
        index.opened(&rfq_opened(), &[]);
        index.awarded(&awarded());
        index.ended(CONTRACT);
        for n in 1..=CLOSED_CONTRACTS_KEPT as u64 {
            assert_eq!(readers(&index, BlobSource::ContractSpec(CONTRACT)), [BUYER, PROVIDER]);
            index.ended(ContractId::new(1_000_000 + n));
        }
        assert_eq!(readers(&index, BlobSource::ContractSpec(CONTRACT)), []);
        assert_eq!(index.closed.len(), CLOSED_CONTRACTS_KEPT);
    }

    #[test]
    fn an_own_blob_is_looked_for_under_the_reader_only() {
        let index = BlobIndex::default();
        let place = index.place(STRANGER, BlobSource::Own(digest(b'i'))).unwrap();
        assert_eq!(place.owner, STRANGER);
    }
}
