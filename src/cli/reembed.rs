//! `reembed` and its steps.

use clap::{Args, Subcommand};
use tokio_util::sync::CancellationToken;

use super::{
    Exit,
    dispatch::{complain, out, print, signals},
};
use crate::{
    config,
    document::Model,
    embedding::Backfill,
    ops::{progress::Screen, provider_advice},
    reembed::{Filled, Reembed},
};

/// To which model, how fast, and which step of it.
#[derive(Args, Clone, Debug)]
pub struct ReembedArgs {
    /// The new model; without it, the one that the settings name.
    #[arg(long, global = true, value_name = "MODEL")]
    pub model: Option<String>,
    /// Length of its vectors, at most 2000; without it, as the settings say.
    #[arg(long, global = true, value_name = "N")]
    pub dimensions: Option<u32>,
    /// Say what it takes, and change nothing.
    #[arg(long, global = true)]
    pub dry_run: bool,
    /// Stop before it has cost more than this since its plan; repeat it with more to go on.
    #[arg(long, global = true, value_name = "USD", value_parser = dollars)]
    pub max_cost: Option<f64>,
    /// The part of the provider's limits that all re-embedding processes together may use; live files go first in any case.
    #[arg(long, global = true, value_name = "PART", default_value_t = 1.0, value_parser = part)]
    pub rate_share: f64,
    /// Swap models whose vectors have one length: every query names its model.
    #[arg(long, global = true)]
    pub same_dimensions: bool,
    /// Print results as JSON.
    // With an id of its own: `--json` of `run` is another one.
    #[arg(long = "json", id = "reembed_json", global = true)]
    pub json: bool,
    /// One step of it, each safe to repeat [default: plan, run, cutover].
    #[command(subcommand)]
    pub step: Option<Step>,
}

/// A step of a re-embedding.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum Step {
    /// Say what it takes, add the second column and divide the chunks into slices.
    Plan,
    /// Fill the second column and build its indexes; on as many machines at once as you like.
    Run,
    /// Show how far it is.
    Status,
    /// Make the new model the active one, when every chunk has its vector.
    Cutover,
    /// Make the model from before the active one again.
    Rollback,
    /// Drop the vectors of the model from before.
    Finish {
        /// Drop those of the new model, which is not in use.
        #[arg(long)]
        abandon: bool,
    },
}

pub(super) async fn run(
    args: ReembedArgs,
    settings: config::Search,
    screen: &Screen,
) -> anyhow::Result<Exit> {
    let set = &settings.embedding.provider.model;
    let model = Model {
        name: args.model.clone().unwrap_or_else(|| set.name.clone()),
        dimensions: args.dimensions.unwrap_or(set.dimensions),
    };
    let backfill = Backfill {
        rate_share: args.rate_share,
        max_cost_usd: args.max_cost,
    };
    let reembed = Reembed::connect(settings, backfill, args.same_dimensions).await?;
    let stop = CancellationToken::new();
    let mut signals = signals()?;
    let steps = steps(&args, &model, &reembed, screen, &stop);
    let mut steps = std::pin::pin!(steps);
    let exit = tokio::select! {
        exit = &mut steps => exit,
        () = signals.next() => {
            stop.cancel();
            tokio::select! {
                exit = &mut steps => exit,
                // The second one: whatever is in flight stays uncertain in the ledger.
                () = signals.next() => Ok(Exit::Broken),
            }
        }
    };
    reembed.close().await;
    exit
}

async fn steps(
    args: &ReembedArgs,
    model: &Model,
    reembed: &Reembed,
    screen: &Screen,
    stop: &CancellationToken,
) -> anyhow::Result<Exit> {
    match args.step {
        Some(Step::Plan) => {
            plan(args, model, reembed).await?;
            Ok(Exit::Done)
        }
        Some(Step::Run) => fill(reembed, screen, stop).await,
        Some(Step::Status) => {
            print(args.json, &reembed.status().await?)?;
            Ok(Exit::Done)
        }
        Some(Step::Cutover) => swap(true, reembed, screen, stop).await,
        Some(Step::Rollback) => swap(false, reembed, screen, stop).await,
        Some(Step::Finish { abandon }) => {
            let dropped = reembed.finish(abandon).await?.next;
            out(&format_args!(
                "dropped the vectors of {} with {} dimensions",
                dropped.name, dropped.dimensions
            ))?;
            Ok(Exit::Done)
        }
        None if !args.dry_run && reembed.is_cut_over_to(model).await? => {
            swap(true, reembed, screen, stop).await
        }
        None => {
            plan(args, model, reembed).await?;
            if args.dry_run {
                return Ok(Exit::Done);
            }
            match fill(reembed, screen, stop).await? {
                Exit::Done => swap(true, reembed, screen, stop).await,
                exit @ (Exit::Broken | Exit::Usage | Exit::Failures) => Ok(exit),
            }
        }
    }
}

async fn plan(args: &ReembedArgs, model: &Model, reembed: &Reembed) -> anyhow::Result<()> {
    print(args.json, &reembed.estimate(model).await?)?;
    if !args.dry_run {
        reembed.plan(model).await?;
    }
    Ok(())
}

async fn fill(
    reembed: &Reembed,
    screen: &Screen,
    stop: &CancellationToken,
) -> anyhow::Result<Exit> {
    match reembed.fill(screen, stop.clone()).await? {
        Filled::Whole => {
            for index in reembed.build_indexes().await? {
                out(&index)?;
            }
            Ok(Exit::Done)
        }
        ended @ (Filled::CostLimit | Filled::Stopped | Filled::Halted(_)) => Ok(unfilled(ended)),
    }
}

async fn swap(
    cut_over: bool,
    reembed: &Reembed,
    screen: &Screen,
    stop: &CancellationToken,
) -> anyhow::Result<Exit> {
    match reembed.swap(cut_over, screen, stop.clone()).await? {
        Ok(swapped) => {
            out(&swapped)?;
            Ok(Exit::Done)
        }
        Err(ended) => Ok(unfilled(ended)),
    }
}

/// Why rows are left.
fn unfilled(ended: Filled) -> Exit {
    match ended {
        Filled::Whole => return Exit::Done,
        Filled::CostLimit => complain(
            &"the next request would pass --max-cost; what was embedded is kept: repeat it with a higher one to go on",
        ),
        Filled::Stopped => complain(&"interrupted; what was embedded is kept: repeat it to go on"),
        Filled::Halted(state) => complain(&provider_advice(state)),
    }
    Exit::Broken
}

fn dollars(value: &str) -> Result<f64, String> {
    let amount = value.parse().ok();
    amount
        .filter(|amount: &f64| amount.is_finite() && *amount >= 0.0)
        .ok_or_else(|| "not an amount of US dollars".to_owned())
}

fn part(value: &str) -> Result<f64, String> {
    let part = value.parse().ok();
    part.filter(|part: &f64| *part > 0.0 && *part <= 1.0)
        .ok_or_else(|| "not a part such as 0.5, above 0 and at most 1".to_owned())
}
