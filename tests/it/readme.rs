//! What README and `.env.example` say about settings, commands, error codes and dependencies is what the code says.

use std::{collections::BTreeSet, fmt::Write};

use orion_ingest::{
    cli::Cli,
    config::{SETTINGS, Setting},
    failure::Code,
};

const README: &str = include_str!("../../README.md");
const ENV_EXAMPLE: &str = include_str!("../../.env.example");
const CARGO_TOML: &str = include_str!("../../Cargo.toml");

/// Variables that are read in place of a setting; `.env.example` shows them too.
const STAND_INS: &[&str] = &[
    "NEXT_PUBLIC_SUPABASE_URL",
    "NEXT_PUBLIC_SUPABASE_ANON_KEY",
    "SUPABASE_SERVICE_ROLE_KEY",
];

#[test]
fn the_settings_table_of_the_readme_is_the_codes_own() {
    let mut table = String::from("| variable | default | meaning |\n| --- | --- | --- |\n");
    for setting in SETTINGS {
        // In Markdown, <…> would be a tag and vanish.
        let help = setting.help.replace('<', "\\<");
        writeln!(
            table,
            "| `{}` | {} | {help} |",
            setting.name,
            default(setting)
        )
        .expect("a string takes all");
    }
    let found = section("settings");
    assert!(
        found == table,
        "README.md, between the settings markers, should be:\n\n{table}"
    );
}

fn default(setting: &Setting) -> String {
    match setting {
        Setting { secret: true, .. } => "secret".to_owned(),
        Setting { default: "", .. } => "—".to_owned(),
        Setting { default, .. } => format!("`{default}`"),
    }
}

#[test]
fn env_example_lists_every_setting_with_its_meaning_and_default() {
    for setting in SETTINGS {
        let entry = format!(
            "\n# {}\n#{}={}\n",
            setting.help, setting.name, setting.default
        );
        assert!(ENV_EXAMPLE.contains(&entry), ".env.example lacks:{entry}");
    }
}

#[test]
fn env_example_names_nothing_that_is_not_read() {
    let known: BTreeSet<&str> = SETTINGS
        .iter()
        .map(|setting| setting.name)
        .chain(STAND_INS.iter().copied())
        .collect();
    for line in ENV_EXAMPLE.lines() {
        let Some((name, _)) = line.trim_start_matches('#').split_once('=') else {
            continue;
        };
        let is_name = !name.is_empty()
            && name
                .chars()
                .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
        assert!(
            !is_name || known.contains(name),
            ".env.example: {name} is not a setting"
        );
    }
    let config = include_str!("../../src/config/storage.rs");
    for name in STAND_INS {
        assert!(
            config.contains(&format!("\"{name}\"")),
            "{name} is no longer read"
        );
    }
}

#[test]
fn the_readme_has_every_command_and_no_other() {
    let cli = <Cli as clap::CommandFactory>::command();
    let commands = cli
        .get_subcommands()
        .filter(|command| !command.is_hide_set())
        .map(clap::Command::get_name);
    assert_eq!(
        first_cells("commands"),
        commands.map(str::to_owned).collect()
    );
}

#[test]
fn the_readme_has_every_error_code_and_no_other() {
    assert_eq!(
        first_cells("codes"),
        Code::ALL
            .iter()
            .map(|code| code.as_str().to_owned())
            .collect()
    );
}

#[test]
fn the_readme_says_why_each_dependency_is_there() {
    let (_, after) = CARGO_TOML
        .split_once("[dependencies]\n")
        .expect("Cargo.toml has dependencies");
    let names = after
        .lines()
        .filter(|line| !line.starts_with("[dev-dependencies]"))
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split_once(" = ").map(|(name, _)| name.to_owned()));
    assert_eq!(first_cells("dependencies"), names.collect());
}

/// The first words in backticks of each row between `<!-- name -->` and `<!-- /name -->`.
fn first_cells(name: &str) -> BTreeSet<String> {
    let rows = section(name)
        .lines()
        .filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| row.split([' ', '`']).next())
        .map(str::to_owned)
        .collect()
}

/// What README.md has between `<!-- name -->` and `<!-- /name -->`.
fn section(name: &str) -> &'static str {
    let (_, after) = README
        .split_once(&format!("<!-- {name} -->\n"))
        .expect("README.md has the opening marker");
    let (found, _) = after
        .split_once(&format!("<!-- /{name} -->"))
        .expect("README.md has the closing marker");
    found
}
