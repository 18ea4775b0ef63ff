//! A load from its start to its report: sets everything up, lets it trade, and winds it down.

use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gavel_client::{Client, Socket};
use gavel_protocol::{CapabilityEntry, Micros, Topic};
use rand::TryRng as _;
use rand::rngs::SysRng;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::ack_sink::AckSink;
use super::blobs::{SPEC, TERMS};
use super::book::Book;
use super::buyer::Buyer;
use super::config::LoadConfig;
use super::desk::{Desk, ExchangeClock, Records, Trader};
use super::enrol::{Enrolled, connect, credit, enrol};
use super::error::LoadError;
use super::operator::{Operator, TopUp};
use super::pacer::Pacer;
use super::provider::{Pricing, Provider};
use super::report::{Conditions, Progress, Report};
use super::schedule::{Alarm, Schedule};
use super::seed::{Purpose, random};
use super::tally::Tally;
use crate::limits::{LOG_OUT_WAIT_MAX, SETTLE_WAIT_MAX, TOP_UPS_WAITING_MAX};

/// Where a load leaves what it does, beyond its figures.
#[derive(Clone, Debug, Default)]
pub struct Sinks {
    /// Takes every acknowledgement, in their order.
    pub acks: Option<AckSink>,
}

/// A running load. Dropping it ends it at once.
#[derive(Debug)]
pub struct Load {
    conditions: Conditions,
    records: Arc<Records>,
    clients: Arc<[Client]>,
    phase: Arc<watch::Sender<Phase>>,
    supervisor: JoinSet<()>,
}

/// How far a load is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Agents send by their schedules.
    Trading,
    /// Nothing new; what is open ends.
    Settling,
    /// Whoever is still there logs out.
    LoggingOut,
}

impl Load {
    /// Sets up capabilities, accounts and agents, and begins to trade.
    ///
    /// Stays logged on as the operator. Whoever logs on with the same key elsewhere takes the session
    /// over, until a buyer is to be topped up and this takes it back.
    ///
    /// # Errors
    ///
    /// [`LoadError`]; then nothing goes on, but what was enrolled stays enrolled.
    pub async fn start(config: LoadConfig, sinks: Sinks) -> Result<Self, LoadError> {
        config.check()?;
        let (conditions, config) = (Conditions::of(&config), Arc::new(config));
        let records = Arc::new(Records { tally: Tally::new(), acks: sinks.acks });
        let Ready { operator, requests, traders, clients } =
            Ready::set_up(&config, &records).await?;

        let phase = Arc::new(watch::Sender::new(Phase::Trading));
        let began = Instant::now();
        records.tally.begin(began);
        let mut supervision = Supervision::new(Arc::clone(&records), Arc::clone(&phase));
        supervision.operator.spawn(operator.run(requests));
        let pacer = supervision.begin(traders, &config, began).map_err(LoadError::Pacing)?;
        let mut supervisor = JoinSet::new();
        supervisor.spawn(supervision.run(pacer, config.end()));
        Ok(Self { conditions, records, clients, phase, supervisor })
    }

    /// Returns what has happened so far.
    pub fn progress(&self) -> Progress {
        let reconnects = self.clients.iter().map(Client::reconnects).sum();
        let acks_lost = self.records.acks.as_ref().map_or(0, AckSink::lost);
        self.records.tally.progress(reconnects, acks_lost)
    }

    /// Waits until the load has ended by itself: its duration is over and everything has settled, or
    /// no agent has a connection any more. May be dropped and called again.
    pub async fn ended(&mut self) {
        while let Some(ended) = self.supervisor.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "the load's supervisor has failed");
            }
        }
    }

    /// Sends nothing new, waits for what is open to settle (for a bounded time), logs everybody out,
    /// and reports.
    pub async fn stop(mut self) -> Report {
        self.phase.send_if_modified(|phase| {
            let trades = *phase == Phase::Trading;
            if trades {
                *phase = Phase::Settling;
            }
            trades
        });
        self.ended().await;
        Report { totals: self.progress(), conditions: self.conditions.clone() }
    }
}

/// Everything that is there before the trading begins.
struct Ready {
    operator: Operator,
    requests: mpsc::Receiver<TopUp>,
    traders: Traders,
    clients: Arc<[Client]>,
}

/// Agents that are ready to trade.
struct Traders {
    buyers: Vec<Buyer>,
    providers: Vec<Provider>,
}

/// What the agents are made of.
struct Parts {
    config: Arc<LoadConfig>,
    records: Arc<Records>,
    capabilities: Arc<[CapabilityEntry]>,
    top_ups: mpsc::Sender<TopUp>,
}

impl Ready {
    async fn set_up(config: &Arc<LoadConfig>, records: &Arc<Records>) -> Result<Self, LoadError> {
        let salt = match config.salt {
            Some(salt) => salt,
            None => SysRng.try_next_u64().map_err(LoadError::Salting)?,
        };
        let socket =
            Socket::open().map_err(|source| LoadError::LoggingOn { who: "anybody", source })?;
        let operator_config = config.client(config.operator_key.clone(), false);
        let mut operator = Operator::new(socket.clone(), operator_config, Arc::clone(records));
        let capabilities = operator.capabilities(config.capabilities).await?;
        let agents = enrol(config, salt, &mut operator).await?;
        credit(config, &agents[..config.buyers as usize], &mut operator).await?;
        let clients: Arc<[Client]> = connect(config, &socket, &agents).await?.into();

        let (top_ups, requests) = mpsc::channel(TOP_UPS_WAITING_MAX);
        let parts = Parts {
            config: Arc::clone(config),
            records: Arc::clone(records),
            capabilities: capabilities.into(),
            top_ups,
        };
        let traders = parts.traders(&agents, &clients).await?;
        Ok(Self { operator, requests, traders, clients })
    }
}

impl Parts {
    async fn traders(self, agents: &[Enrolled], clients: &[Client]) -> Result<Traders, LoadError> {
        let mut traders = Traders { buyers: Vec::new(), providers: Vec::new() };
        for (agent, client) in agents.iter().zip(clients) {
            let (records, client) = (Arc::clone(&self.records), client.clone());
            let desk = Desk { agent: client.identity().agent, client, records };
            match agent.index.checked_sub(self.config.buyers) {
                None => traders.buyers.push(self.buyer(agent, desk).await?),
                Some(index) => traders.providers.push(self.provider(index, desk).await?),
            }
        }
        Ok(traders)
    }

    async fn buyer(&self, agent: &Enrolled, desk: Desk) -> Result<Buyer, LoadError> {
        let private = desk.client.subscribe(Topic::Private, None).await;
        if self.config.blobs {
            for blob in [SPEC, TERMS] {
                desk.client.put_blob(blob).await.map_err(LoadError::Storing)?;
            }
        }
        Ok(Buyer {
            trader: Trader::new(desk),
            account: agent.account,
            events: private.map_err(LoadError::Subscribing)?,
            config: Arc::clone(&self.config),
            capabilities: Arc::clone(&self.capabilities),
            random: random(self.config.seed, Purpose::Buyer, agent.index),
            top_ups: self.top_ups.clone(),
            book: Book::default(),
            wanted: Micros::ZERO,
        })
    }

    async fn provider(&self, index: u32, desk: Desk) -> Result<Provider, LoadError> {
        let capability = self.capabilities[index as usize % self.capabilities.len()];
        let topic = Topic::Capability(capability.capability);
        let private = desk.client.subscribe(Topic::Private, None).await;
        let topic = desk.client.subscribe(topic, None).await;
        let mut random = random(self.config.seed, Purpose::Provider, index);
        let mut pricing = Pricing::draw(&mut random);
        let (sent_at, ts_event) = (Instant::now(), desk.client.identity().ts_event);
        let first = pricing.standing_quote(&capability, ts_event, &mut random);
        let accepted = desk.call(first).await.map_err(LoadError::Quoting)?;
        Ok(Provider {
            trader: Trader::new(desk),
            private: private.map_err(LoadError::Subscribing)?,
            topic: topic.map_err(LoadError::Subscribing)?,
            config: Arc::clone(&self.config),
            capability,
            clock: ExchangeClock::new(sent_at, accepted.ts_event),
            random,
            pricing,
            working: HashSet::new(),
        })
    }
}

/// Everything that runs, and in which order it ends.
struct Supervision {
    records: Arc<Records>,
    phase: Arc<watch::Sender<Phase>>,
    buyers: JoinSet<()>,
    providers: JoinSet<()>,
    operator: JoinSet<()>,
}

impl Supervision {
    fn new(records: Arc<Records>, phase: Arc<watch::Sender<Phase>>) -> Self {
        let (buyers, providers, operator) = (JoinSet::new(), JoinSet::new(), JoinSet::new());
        Self { records, phase, buyers, providers, operator }
    }

    /// Lets the agents trade from `began` on.
    fn begin(
        &mut self,
        traders: Traders,
        config: &LoadConfig,
        began: Instant,
    ) -> std::io::Result<Pacer> {
        let alarm = |purpose, index, rate_per_s, agents: u32| {
            let (random, rate_per_s) =
                (random(config.seed, purpose, index), rate_per_s / f64::from(agents));
            Alarm::new(Schedule::new(random, rate_per_s, config.end()), began)
        };
        let mut alarms = Vec::new();
        for (index, buyer) in (0..).zip(traders.buyers) {
            let alarm = alarm(Purpose::BuyerSchedule, index, config.rfqs_per_s, config.buyers);
            alarms.push(alarm.clone());
            let client = buyer.trader.desk.client.clone();
            let trading = buyer.run(alarm, self.phase.subscribe());
            self.buyers.spawn(then_log_out(trading, client));
        }
        for (index, provider) in (0..).zip(traders.providers) {
            let rate = config.standing_updates_per_s;
            let alarm = alarm(Purpose::ProviderSchedule, index, rate, config.providers);
            alarms.push(alarm.clone());
            let client = provider.trader.desk.client.clone();
            let trading = provider.run(alarm, self.phase.subscribe());
            self.providers.spawn(then_log_out(trading, client));
        }
        Pacer::start(alarms)
    }

    async fn run(mut self, pacer: Pacer, end: Duration) {
        let mut phase = self.phase.subscribe();
        tokio::select! {
            _ = phase.wait_for(|phase| *phase != Phase::Trading) => {}
            () = tokio::time::sleep(end) => {}
            () = all_ended(&mut self.buyers) => {
                tracing::warn!("no buyer has a connection any more");
            }
        }
        drop(pacer);
        self.records.tally.end();
        self.phase.send_replace(Phase::Settling);
        // Providers go on working meanwhile.
        if timeout(SETTLE_WAIT_MAX, all_ended(&mut self.buyers)).await.is_err() {
            tracing::warn!("some RFQs or contracts are still open");
        }
        self.phase.send_replace(Phase::LoggingOut);
        let logged_out = async {
            all_ended(&mut self.buyers).await;
            all_ended(&mut self.providers).await;
            all_ended(&mut self.operator).await;
        };
        if timeout(LOG_OUT_WAIT_MAX, logged_out).await.is_err() {
            tracing::warn!("some agents did not log out");
        }
        if let Some(acks) = &self.records.acks {
            acks.written().await;
        }
    }
}

/// Logs an agent out after its trading; what it had under way ends with that.
async fn then_log_out(trading: impl Future<Output = ()>, client: Client) {
    trading.await;
    client.close().await;
}

async fn all_ended(tasks: &mut JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "a synthetic agent has failed");
        }
    }
}
