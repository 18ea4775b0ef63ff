//! What providers quote, given what they know: their cost, the rules, and how many others there are.

use std::fmt;

use gavel_protocol::{Format, Micros};
use serde::Serialize;

use super::population::{Behaviour, Population, WHOLE_BPS};
use super::world::{World, divided_rounded_up, part_rounded_up};

const MILLION: i64 = 1_000_000;

/// Where a population trades.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Venue {
    /// On the exchange: sealed quotes, collected for a window, and cleared by the population's format.
    Windowed,
    /// On the exchange: every RFQ is cleared at once against standing quotes.
    WindowZero,
    /// Not on the exchange, for comparison: the first quote at or below the reserve gets the job.
    FirstCome,
}

impl Venue {
    /// Every venue.
    pub const ALL: [Self; 3] = [Self::Windowed, Self::WindowZero, Self::FirstCome];

    /// Returns its name in words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Windowed => "windowed",
            Self::WindowZero => "window zero",
            Self::FirstCome => "first come",
        }
    }
}

impl fmt::Display for Venue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What a provider believes of the market that it quotes in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beliefs {
    venue: Venue,
    format: Format,
    fee_ppm: u32,
    /// Providers of the capability, the one that quotes included.
    rivals: i64,
    /// No provider's job costs more: costs are believed to be uniform up to this.
    cost_max: Micros,
    /// Reserves are believed to be uniform between these.
    reserve_min: Micros,
    reserve_max: Micros,
}

impl Beliefs {
    /// Returns what the providers of each capability believe: they know the population's file, but
    /// neither the draws nor who behaves how.
    pub(super) fn of(world: &World<'_>, venue: Venue) -> Vec<Self> {
        let Population { format, fee_ppm, buyers, providers, .. } = world.population;
        let cost_max = providers.iter().map(|group| group.cost.max.micros()).max();
        let capabilities = 0..world.population.capabilities;
        let of_capability = |capability| Self {
            venue,
            format: *format,
            fee_ppm: *fee_ppm,
            rivals: world.rivals(capability),
            cost_max: cost_max.unwrap_or_default(),
            reserve_min: part_rounded_up(buyers.value.min.micros(), buyers.reserve_bps),
            reserve_max: part_rounded_up(buyers.value.max.micros(), buyers.reserve_bps),
        };
        capabilities.map(of_capability).collect()
    }

    /// Returns the price that a provider quotes for a job of this cost. It asks for the fee on top of
    /// whatever it wants for itself.
    pub(super) fn price(&self, behaviour: Behaviour, cost: Micros) -> Micros {
        match behaviour {
            Behaviour::Honest { margin_bps } => {
                self.with_fee(part_rounded_up(cost, WHOLE_BPS + margin_bps))
            }
            Behaviour::Shading | Behaviour::Sniping => self.shaded(self.with_fee(cost)),
            Behaviour::Fading { discount_bps } => {
                let below_cost = part_rounded_up(cost, WHOLE_BPS - discount_bps);
                self.with_fee(below_cost.max(Micros::new(1)))
            }
            Behaviour::Flooding { .. } => self.with_fee(cost),
        }
    }

    /// Returns the best price of a provider that needs at least `needed`.
    fn shaded(&self, needed: Micros) -> Micros {
        match self.venue {
            Venue::Windowed | Venue::WindowZero => match self.format {
                // What a winner asked does not move what it is paid: asking for anything else than
                // what it needs can only lose it the job (Vickrey 1961).
                Format::SecondPrice => needed,
                // A population has none of the formats that are not sealed.
                Format::FirstPrice
                | Format::Dutch
                | Format::BuyersChoice
                | Format::Combinatorial => self.shaded_in_first_price(needed),
            },
            Venue::FirstCome => self.monopoly_price(needed),
        }
    }

    /// Returns the symmetric equilibrium of the first-price auction: needed + (highest needed −
    /// needed) ÷ number of bidders, for private costs that are drawn uniformly (Vickrey 1961;
    /// Krishna, Auction Theory, chapter 2, with buying and selling exchanged). Rounded up.
    fn shaded_in_first_price(&self, needed: Micros) -> Micros {
        let room = (self.with_fee(self.cost_max).raw() - needed.raw()).max(0);
        Micros::new(needed.raw() + divided_rounded_up(room, self.rivals))
    }

    /// Returns the best price of somebody whose only rival is the reserve, for reserves that are drawn
    /// uniformly: the middle between what is needed and the highest reserve, never below the lowest
    /// reserve or what is needed. Rounded up.
    fn monopoly_price(&self, needed: Micros) -> Micros {
        let middle = divided_rounded_up(needed.raw() + self.reserve_max.raw(), 2);
        Micros::new(middle).max(self.reserve_min).max(needed)
    }

    /// Returns the lowest price that leaves `wanted` after the fee.
    fn with_fee(&self, wanted: Micros) -> Micros {
        let kept_ppm = MILLION - i64::from(self.fee_ppm);
        Micros::new(divided_rounded_up(wanted.raw() * MILLION, kept_ppm))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beliefs(venue: Venue, fee_ppm: u32) -> Beliefs {
        Beliefs {
            venue,
            format: Format::FirstPrice,
            fee_ppm,
            rivals: 4,
            cost_max: Micros::new(40),
            reserve_min: Micros::new(30),
            reserve_max: Micros::new(100),
        }
    }

    #[test]
    fn who_shades_asks_more_than_its_cost_and_less_with_more_rivals() {
        let few = beliefs(Venue::Windowed, 0);
        let many = Beliefs { rivals: 30, ..few };
        let price = |beliefs: Beliefs| beliefs.price(Behaviour::Shading, Micros::new(20)).raw();
        assert_eq!(price(few), 25);
        assert_eq!(price(many), 21);
        assert_eq!(few.price(Behaviour::Sniping, Micros::new(40)).raw(), 40);
    }

    #[test]
    fn who_has_no_rival_asks_what_the_buyer_may_just_pay() {
        let first_come = beliefs(Venue::FirstCome, 0);
        assert_eq!(first_come.price(Behaviour::Shading, Micros::new(20)).raw(), 60);
        let dear = Beliefs { reserve_min: Micros::new(90), ..first_come };
        assert_eq!(dear.price(Behaviour::Shading, Micros::new(20)).raw(), 90);
        assert_eq!(first_come.price(Behaviour::Shading, Micros::new(200)).raw(), 200);
    }

    #[test]
    fn the_fee_comes_on_top() {
        let honest = Behaviour::Honest { margin_bps: 1_000 };
        let price = beliefs(Venue::Windowed, 10_000).price(honest, Micros::new(1_000_000));
        assert_eq!(price.raw(), 1_111_112);
        let kept = price.raw() - price.fee_rounded_down(10_000).unwrap().raw();
        assert!(kept >= 1_100_000, "{kept}");
        let fading = Behaviour::Fading { discount_bps: 10_000 };
        assert_eq!(beliefs(Venue::Windowed, 0).price(fading, Micros::new(5)).raw(), 1);
    }
}
