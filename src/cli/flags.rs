//! One flag for each setting that is not a secret, made from the table of settings.

use std::collections::HashMap;

use clap::{Arg, ArgMatches, Args, Command, Error, FromArgMatches};

use crate::config::{SETTINGS, Setting};

/// The settings that were given as flags, by the name of their variable.
#[derive(Clone, Debug, Default)]
pub struct SettingFlags {
    /// Values as they were written.
    pub given: HashMap<String, String>,
}

impl Args for SettingFlags {
    fn augment_args(command: Command) -> Command {
        command.args(SETTINGS.iter().filter(|setting| !setting.secret).map(flag))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

fn flag(setting: &Setting) -> Arg {
    let default = if setting.default.is_empty() {
        String::new()
    } else {
        format!(" [default: {}]", setting.default)
    };
    Arg::new(setting.name)
        .long(setting.flag())
        .value_name("VALUE")
        .global(true)
        // So that -1 is a wrong value and no unknown flag.
        .allow_negative_numbers(true)
        .help_heading(
            "Settings (flags win over the variables of the same name; secrets have only variables)",
        )
        .help(format!("{}{default}", setting.help))
        .hide_short_help(true)
}

impl FromArgMatches for SettingFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut flags = Self::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        for setting in SETTINGS.iter().filter(|setting| !setting.secret) {
            if let Some(value) = matches.get_one::<String>(setting.name) {
                self.given.insert(setting.name.to_owned(), value.clone());
            }
        }
        Ok(())
    }
}
