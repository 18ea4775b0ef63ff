//! Two network namespaces of Linux with a link between them: what is set down is the kernel's own.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::panic::resume_unwind;
use std::process::Command;
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Where `ip` keeps namespaces by their names.
const NAMESPACES: &str = "/run/netns";

/// Nothing outside the two namespaces sees these.
const EXCHANGE_ADDRESS: &str = "10.203.0.1";
const LOAD_ADDRESS: &str = "10.203.0.2";

/// Two namespaces. Dropping it removes them and their link.
pub struct Namespaces {
    /// The one for the exchange.
    pub exchange: String,
    /// The one for the load.
    pub load: String,
}

impl Namespaces {
    /// Makes them, if this machine and this user can; else says why not.
    pub fn make() -> Result<Self, String> {
        // A link's name, which has at most 15 letters, is that of its namespace.
        let id = std::process::id();
        let made = Self { exchange: format!("gvx{id}"), load: format!("gvl{id}") };
        let Self { exchange, load } = &made;
        for namespace in [exchange, load] {
            ip(&["netns", "add", namespace])?;
        }
        let other = ["peer", "name", load, "netns", load];
        let link = ["link", "add", exchange, "netns", exchange, "type", "veth"];
        ip(&[link.as_slice(), &other].concat())?;
        for (namespace, address) in [(exchange, EXCHANGE_ADDRESS), (load, LOAD_ADDRESS)] {
            ip(&["-n", namespace, "address", "add", &format!("{address}/30"), "dev", namespace])?;
            ip(&["-n", namespace, "link", "set", "lo", "up"])?;
            ip(&["-n", namespace, "link", "set", namespace, "up"])?;
        }
        Ok(made)
    }

    /// Returns an address that the exchange can listen on, with any port.
    pub fn address(&self) -> String {
        format!("{EXCHANGE_ADDRESS}:0")
    }

    /// Sets the link of a namespace `up` or `down`.
    pub fn set_link(&self, namespace: &str, state: &str) {
        ip(&["-n", namespace, "link", "set", namespace, state]).unwrap();
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        // Each may be there or not. The link goes at once, whoever may still be in a namespace.
        drop(ip(&["-n", &self.exchange, "link", "delete", &self.exchange]));
        for namespace in [&self.exchange, &self.load] {
            drop(ip(&["netns", "delete", namespace]));
        }
    }
}

/// Does something in a namespace, and so lets what it starts live there.
pub fn within<T: Send>(namespace: &str, work: impl FnOnce() -> T + Send) -> T {
    let enter_and_work = || {
        let namespace = File::open(format!("{NAMESPACES}/{namespace}")).unwrap();
        let network = Some(LinkNameSpaceType::Network);
        move_into_link_name_space(namespace.as_fd(), network).unwrap();
        work()
    };
    let worked = thread::scope(|scope| scope.spawn(enter_and_work).join());
    worked.unwrap_or_else(|panic| resume_unwind(panic))
}

fn ip(args: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(args).output();
    let output = output.map_err(|error| format!("there is no program `ip`: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    output.status.success().then_some(()).ok_or_else(|| said.trim().replace('\n', "; "))
}
