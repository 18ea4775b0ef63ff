//! Everything that is drawn follows from the seed; an agent's key also from the run's salt.

use gavel_client::SigningKey;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

/// What something is drawn for. No two purposes share their numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    /// When a buyer sends.
    BuyerSchedule,
    /// What a buyer asks for.
    Buyer,
    /// When a provider updates its standing quote.
    ProviderSchedule,
    /// What a provider quotes, and how it works.
    Provider,
}

/// Returns the source of everything that the agent `index` draws for a purpose.
pub(crate) fn random(seed: u64, purpose: Purpose, index: u32) -> ChaCha8Rng {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"gavel simulator draws 1\0");
    hasher.update(&seed.to_le_bytes());
    hasher.update(&[purpose as u8]);
    hasher.update(&index.to_le_bytes());
    ChaCha8Rng::from_seed(*hasher.finalize().as_bytes())
}

/// Returns the key of the agent `index`; `attempt` is above zero if others were taken.
pub(crate) fn key(seed: u64, salt: u64, index: u32, attempt: u32) -> SigningKey {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"gavel simulator keys 1\0");
    hasher.update(&seed.to_le_bytes());
    hasher.update(&salt.to_le_bytes());
    hasher.update(&index.to_le_bytes());
    hasher.update(&attempt.to_le_bytes());
    SigningKey::from_bytes(hasher.finalize().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt as _;

    #[test]
    fn draws_repeat_with_their_seed_and_differ_otherwise() {
        let draw = |seed, purpose, index| random(seed, purpose, index).random::<u64>();
        let first = draw(1, Purpose::Buyer, 0);
        assert_eq!(draw(1, Purpose::Buyer, 0), first);
        assert_ne!(draw(2, Purpose::Buyer, 0), first);
        assert_ne!(draw(1, Purpose::Provider, 0), first);
        assert_ne!(draw(1, Purpose::Buyer, 1), first);
    }

    #[test]
    fn another_salt_or_attempt_makes_another_key() {
        let public = |salt, attempt| key(1, salt, 0, attempt).verifying_key();
        assert_eq!(public(5, 0), public(5, 0));
        assert_ne!(public(5, 0), public(6, 0));
        assert_ne!(public(5, 0), public(5, 1));
    }
}
