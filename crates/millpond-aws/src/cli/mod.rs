//! The command `millpond-aws`: deploys, drives, inspects and removes.

mod deploy;
mod drive;
mod erase;
mod given_up;
mod inspect;
mod logs;
mod package;
mod queue;
mod remove;
mod session;
mod status;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::samples::Sample;
use package::WrongDefinition;
use session::{Session, Stacks};

/// Joins the events of several sources by a key into views, on AWS
#[derive(Parser)]
#[command(version, name = "millpond-aws")]
struct Cli {
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    command: Command,
}

/// Where, and which deployment.
#[derive(Args)]
struct Place {
    /// The stage, such as dev or prd
    #[arg(long, global = true, default_value = "dev", env = "MILLPOND_STAGE")]
    stage: String,
    /// The service: the join's name, if the deployment was not given another
    #[arg(long, global = true, env = "MILLPOND_SERVICE")]
    service: Option<String>,
    /// Where the services are, if not at AWS
    #[arg(long, global = true, value_name = "URL")]
    endpoint_url: Option<String>,
    /// The region; that of the environment or profile if absent
    #[arg(long, global = true)]
    region: Option<String>,
}

#[derive(Subcommand)]
enum Command {
    /// Make the package that a deployment runs: the program and the definition
    Package(package::Package),
    /// Make a deployment, or change one
    Deploy(deploy::Deploy),
    /// Remove a deployment
    Remove(remove::Remove),
    /// Show what a deployment is made of, and how it is
    Status,
    /// Have `command` put the pattern's sample events on the stream
    #[command(name = "command")]
    Sample {
        /// Which of them
        sample: SampleName,
    },
    /// Put events on the stream: NDJSON files, or standard input
    Put {
        /// Files of one event a line; `-` is standard input
        #[arg(default_value = "-")]
        files: Vec<PathBuf>,
    },
    /// Show the view of a key
    View {
        /// The key
        key: String,
        /// Show what is stored beside its fields, too
        #[arg(long)]
        all: bool,
    },
    /// Show which events make the values of a key's view
    Explain {
        /// The key
        key: String,
        /// The field; all if absent
        field: Option<String>,
    },
    /// Show the stored events of a key, in order
    Events {
        /// The key
        key: String,
    },
    /// Bring the view of a key up to date by folding its tail anew
    Refold {
        /// The key
        key: String,
    },
    /// Snapshot a key
    Snapshot {
        /// The key
        key: String,
    },
    /// Trim a key
    Trim {
        /// The key
        key: String,
    },
    /// Show late events; they stay in their queue
    Late(queue::Look),
    /// Show what is in quarantine; it stays in its queue
    Quarantine(queue::Look),
    /// Show batches that a mapping gave up, or do them after all
    GivenUp(given_up::Choice),
    /// Remove a key wherever it is
    Erase {
        /// The key
        key: String,
        /// Do it without asking
        #[arg(long)]
        yes: bool,
    },
    /// Fold views anew from the tables, and compare
    Verify {
        /// The key; all if absent
        key: Option<String>,
    },
    /// Show what a function said
    Logs {
        /// The function
        function: Function,
        /// Since so many minutes
        #[arg(long, default_value_t = 10)]
        minutes: u32,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum SampleName {
    Seed,
    Login,
    Order,
}

#[derive(Clone, Copy, ValueEnum)]
enum Function {
    Command,
    Consumer,
    Trigger,
    Snapshot,
    Trim,
}

impl Function {
    fn name(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Consumer => "consumer",
            Self::Trigger => "trigger",
            Self::Snapshot => "snapshot",
            Self::Trim => "trim",
        }
    }
}

/// What a command ends with when its definition is wrong, as when its arguments are.
const WRONG_DEFINITION: u8 = 2;

/// The command line's `main`.
#[must_use]
pub fn main() -> ExitCode {
    let Cli { place, command } = Cli::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = runtime.map_err(anyhow::Error::from).and_then(|runtime| runtime.block_on(run(place, command)));
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            if error.is::<WrongDefinition>() { ExitCode::from(WRONG_DEFINITION) } else { ExitCode::FAILURE }
        }
    }
}

async fn run(place: Place, command: Command) -> anyhow::Result<ExitCode> {
    let done = ExitCode::SUCCESS;
    let session = match command {
        Command::Package(package) => {
            package.make()?;
            return Ok(done);
        }
        Command::Deploy(deploy) => {
            deploy.run(&place).await?;
            return Ok(done);
        }
        Command::Remove(remove) => {
            remove.run(&Stacks::open(&place, session::service(&place)?).await?).await?;
            return Ok(done);
        }
        _ => Session::open(&place).await?,
    };
    match command {
        Command::Package(_) | Command::Deploy(_) | Command::Remove(_) => {}
        Command::Status => status::status(&session).await?,
        Command::Sample { sample } => {
            let sample = match sample {
                SampleName::Seed => Sample::Seed,
                SampleName::Login => Sample::Login,
                SampleName::Order => Sample::Order,
            };
            drive::command(&session, sample).await?;
        }
        Command::Put { files } => drive::put(&session, &files).await?,
        Command::View { key, all } => return inspect::view(&session, &key, all).await,
        Command::Explain { key, field } => return inspect::explain(&session, &key, field.as_deref()).await,
        Command::Events { key } => inspect::events(&session, &key).await?,
        Command::Refold { key } => drive::by_hand(&session, "trigger", &key).await?,
        Command::Snapshot { key } => drive::by_hand(&session, "snapshot", &key).await?,
        Command::Trim { key } => drive::by_hand(&session, "trim", &key).await?,
        Command::Late(look) => look.late(&session).await?,
        Command::Quarantine(look) => look.quarantine(&session).await?,
        Command::GivenUp(choice) => return choice.run(&session).await,
        Command::Erase { key, yes } => erase::erase(&session, &key, yes).await?,
        Command::Verify { key } => return inspect::verify(&session, key.as_deref()).await,
        Command::Logs { function, minutes } => logs::logs(&session, function.name(), minutes).await?,
    }
    Ok(done)
}
