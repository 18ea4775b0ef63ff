//! Who may read which blob: an index of open RFQs and of contracts, built from the events alone.
//!
//! A blob lies under the agent that stored it, and the index only ever leads to what the buyer of an
//! RFQ or the provider of a contract stored itself. Naming somebody else's digest gives no access.

use std::collections::{HashMap, VecDeque};

use gavel_protocol::{
    AgentId, Awarded, BlobSource, ContractId, Delivered, Digest, Parties, RfqClosed, RfqId,
    RfqOpened, RfqResult,
};
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
#[derive(Clone, Copy, Debug)]
struct BuyerBlobs {
    buyer: AgentId,
    spec: Digest,
    inputs: Option<Digest>,
    terms: Digest,
}

#[derive(Clone, Copy, Debug)]
struct RfqBlobs {
    blobs: BuyerBlobs,
    /// Its close and its award may come in either order; it is forgotten after both.
    closed: bool,
    awarded: bool,
}

#[derive(Clone, Copy, Debug)]
struct ContractBlobs {
    parties: Parties,
    blobs: BuyerBlobs,
    deliverable: Option<Digest>,
}

impl BlobIndex {
    pub fn opened(&mut self, opened: &RfqOpened) {
        let blobs = BuyerBlobs {
            buyer: opened.buyer,
            spec: opened.terms.spec,
            inputs: opened.terms.inputs,
            terms: opened.terms.terms,
        };
        self.rfqs.insert(opened.rfq, RfqBlobs { blobs, closed: false, awarded: false });
    }

    pub fn closed(&mut self, closed: &RfqClosed) {
        let Some(rfq) = self.rfqs.get_mut(&closed.rfq) else { return };
        rfq.closed = true;
        if rfq.awarded || closed.result != RfqResult::Awarded {
            self.rfqs.remove(&closed.rfq);
        }
    }

    pub fn awarded(&mut self, awarded: &Awarded) {
        let Some(rfq) = self.rfqs.get_mut(&awarded.rfq) else { return };
        rfq.awarded = true;
        let contract =
            ContractBlobs { parties: awarded.parties, blobs: rfq.blobs, deliverable: None };
        self.contracts.insert(awarded.contract, contract);
        if rfq.closed {
            self.rfqs.remove(&awarded.rfq);
        }
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
            BlobSource::RfqSpec(rfq) => self.open(rfq).map(|blobs| (blobs.buyer, blobs.spec))?,
            BlobSource::RfqTerms(rfq) => self.open(rfq).map(|blobs| (blobs.buyer, blobs.terms))?,
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

    fn open(&self, rfq: RfqId) -> Option<&BuyerBlobs> {
        self.rfqs.get(&rfq).filter(|rfq| !rfq.closed).map(|rfq| &rfq.blobs)
    }

    fn of_party(&self, contract: ContractId, reader: AgentId) -> Option<&ContractBlobs> {
        let Parties { buyer, provider } = self.contracts.get(&contract)?.parties;
        self.contracts.get(&contract).filter(|_| reader == buyer || reader == provider)
    }
}

#[cfg(test)]
mod tests {
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
        index.opened(&rfq_opened());
        assert_eq!(readers(&index, BlobSource::RfqSpec(RFQ)), EVERYBODY);
        assert_eq!(readers(&index, BlobSource::RfqTerms(RFQ)), EVERYBODY);
        assert_eq!(readers(&index, BlobSource::ContractInputs(CONTRACT)), []);
        let spec = index.place(STRANGER, BlobSource::RfqSpec(RFQ)).unwrap();
        assert_eq!(spec, BlobPlace { owner: BUYER, digest: digest(b's') });
    }

    #[test]
    fn after_the_award_only_the_parties_read_whichever_event_came_first() {
        for close_first in [true, false] {
            let mut index = BlobIndex::default();
            index.opened(&rfq_opened());
            if close_first {
                index.closed(&rfq_closed(1));
                index.awarded(&awarded());
            } else {
                index.awarded(&awarded());
                index.closed(&rfq_closed(1));
            }
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
    }

    #[test]
    fn the_deliverable_lies_under_the_provider_and_stays_readable_after_the_end() {
        let mut index = BlobIndex::default();
        index.opened(&rfq_opened());
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
        index.opened(&rfq_opened());
        index.closed(&RfqClosed { result: RfqResult::Canceled, ..rfq_closed(0) });
        assert_eq!(readers(&index, BlobSource::RfqSpec(RFQ)), []);
        assert!(index.rfqs.is_empty());
    }

    #[test]
    fn the_oldest_closed_contracts_are_forgotten_first() {
        let mut index = BlobIndex::default();
        index.opened(&rfq_opened());
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
