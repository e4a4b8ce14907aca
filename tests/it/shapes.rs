//! Files are ingested through every server that speaks `OpenAI`'s language, each with its own ways and without its name
//! being said: what it understands is found out.

use orion_ingest::{
    document::FileId,
    embedded::provider::{
        lexical,
        shape::{Key, Shape},
    },
    embedding::State,
    worker::Ending,
};

use sqlx::AssertSqlSafe;

use crate::{
    program::{Place, finish},
    stack::{PROVIDER_KEY, Stack},
    work::{Worker, sections},
};

const GUIDE: &str = include_str!("../../docs/providers.md");

const SECTIONS: u32 = 100;

/// A server of this shape, files for it, and a database that is for its model.
struct Scene {
    stack: Stack,
    shape: Shape,
    base_url: String,
    files: Vec<FileId>,
}

impl Scene {
    async fn new(shape: Shape) -> Self {
        let stack = Stack::new().await;
        stack.cut_by_sections().await;
        // What is embedded is then what is stored.
        stack
            .sql("update file_type_configs set options = '{\"embedding_prefix\": false}'")
            .await;
        if let Some((model, dimensions)) = shape.model {
            adopt(&stack, model, dimensions).await;
        }
        let base_url = stack.provider().imitate(shape);
        let user = stack.user().await;
        let mut files = Vec::new();
        for first in [1000, 2000] {
            let content = sections(first..first + SECTIONS);
            files.push(stack.file(user, "tea.md", content).await);
        }
        Self {
            stack,
            shape,
            base_url,
            files,
        }
    }

    fn model(&self) -> (&'static str, usize) {
        self.shape
            .model
            .unwrap_or(("text-embedding-3-small", 1_536))
    }

    /// With the variables that docs/providers.md has for such a server.
    async fn worker(&self, changed: &[(&str, &str)]) -> Worker {
        let (model, dimensions) = self.model();
        let key = match self.shape.key {
            Key::Bearer | Key::Header | Key::Either => PROVIDER_KEY,
            Key::None => "",
        };
        let dimensions = dimensions.to_string();
        let mut variables = vec![
            ("OPENAI_BASE_URL", self.base_url.as_str()),
            ("OPENAI_API_KEY", key),
            ("EMBEDDING_MODEL", model),
            ("EMBEDDING_DIMENSIONS", &dimensions),
        ];
        variables.extend(changed);
        Worker::start(self.stack.config_with(&variables)).await
    }

    /// Drains with these variables changed, and looks at each vector.
    async fn is_ingested(&self, changed: &[(&str, &str)]) {
        let (ending, _) = self.worker(changed).await.drain().await;
        assert_eq!(ending, Ending::Drained);
        let (model, dimensions) = self.model();
        for file in &self.files {
            let row = self.stack.state(*file).await;
            assert_eq!(row.outcome(), ("completed", None), "{row:?}");
            assert_eq!((row.attempts, row.leases_lost), (0, 0), "{row:?}");
        }
        let chunks = self.vectors().await;
        assert_eq!(chunks.len(), 2 * SECTIONS as usize);
        for (content, vector) in chunks {
            let wanted = lexical::vector(&content, model, dimensions);
            assert!(is_close(&vector, &wanted), "{content}");
        }
        self.stack.keeps_its_promises().await;
    }

    async fn vectors(&self) -> Vec<(String, Vec<f32>)> {
        let query = "select coalesce(json_agg(json_build_array(content, embedding::real[])), '[]')::text from document_chunks";
        let chunks: String = self.stack.value(query).await;
        serde_json::from_str(&chunks).expect("texts and numbers")
    }

    /// Requests that were not answered with vectors.
    fn refused(&self) -> u64 {
        let counts = self.stack.provider().counts();
        counts.requests - counts.billed_requests
    }
}

/// Sums of floats differ in their last bit with the order of the terms.
fn is_close(one: &[f32], other: &[f32]) -> bool {
    let mut pairs = one.iter().zip(other);
    one.len() == other.len() && pairs.all(|(a, b)| (a - b).abs() < 1e-5)
}

/// Makes an empty database one of another model, as docs/providers.md says.
async fn adopt(stack: &Stack, model: &str, dimensions: usize) {
    stack.sql(&statements(model, dimensions)).await;
}

fn statements(model: &str, dimensions: usize) -> String {
    let (_, sql) = GUIDE.split_once("```sql\n").expect("it has statements");
    let (sql, _) = sql.split_once("```").expect("they end");
    sql.replace("nomic-embed-text", model)
        .replace("768", &dimensions.to_string())
}

#[test]
fn the_guide_has_a_line_for_each() {
    for shape in [Shape::OLLAMA, Shape::VLLM, Shape::TEI, Shape::LM_STUDIO] {
        let (model, dimensions) = shape.model.expect("a model of its own");
        let settings = format!("/v1 EMBEDDING_MODEL={model} EMBEDDING_DIMENSIONS={dimensions}");
        assert!(GUIDE.contains(&settings), "{settings}");
    }
    for shape in [Shape::AZURE, Shape::AZURE_V1] {
        let base = shape.base.replace("my-ada", "<deployment>");
        assert!(GUIDE.contains(base.trim_end_matches('/')), "{base}");
    }
}

#[tokio::test]
async fn a_database_with_vectors_is_not_made_one_of_another_model() {
    let scene = Scene::new(Shape::OPENAI).await;
    scene.is_ingested(&[]).await;
    let change = statements("nomic-embed-text", 768);
    let change = sqlx::raw_sql(AssertSqlSafe(change));
    let refused = change.execute(&mut scene.stack.admin().await).await;
    assert!(refused.is_err(), "{refused:?}");
    assert_eq!(scene.vectors().await[0].1.len(), 1_536);
}

#[tokio::test]
async fn ollama_answers_in_numbers_and_wants_no_key() {
    let scene = Scene::new(Shape::OLLAMA).await;
    scene.is_ingested(&[]).await;
    assert_eq!(scene.refused(), 0);
}

#[tokio::test]
async fn vllm_refuses_dimensions_and_is_not_asked_for_them_again() {
    let scene = Scene::new(Shape::VLLM).await;
    scene.is_ingested(&[]).await;
    // At most one request of each of eight in flight, and the word.
    assert!(scene.refused() <= 9, "{}", scene.refused());
    let refused = scene.refused();
    let user = scene.stack.user().await;
    let more = sections(3000..3000 + SECTIONS);
    scene.stack.file(user, "more.md", more).await;
    scene.worker(&[]).await.drain().await;
    assert!(
        scene.refused() > refused,
        "another process has to learn it again"
    );
}

#[tokio::test]
async fn a_vllm_that_refuses_base64_too_is_asked_for_neither() {
    let scene = Scene::new(Shape::OLD_VLLM).await;
    scene.is_ingested(&[]).await;
    // The word three times more.
    assert!(scene.refused() <= 11, "{}", scene.refused());
}

#[tokio::test]
async fn tei_takes_32_texts_at_once_which_is_learned_and_charged_to_no_file() {
    let scene = Scene::new(Shape::TEI).await;
    scene
        .is_ingested(&[("EMBEDDING_MAX_CONCURRENCY", "1")])
        .await;
    // 200 texts at once, 100, 50, and never again.
    assert!(scene.refused() <= 4, "{}", scene.refused());
}

#[tokio::test]
async fn a_size_that_is_set_is_never_exceeded() {
    let scene = Scene::new(Shape::TEI).await;
    scene.is_ingested(&[("EMBEDDING_BATCH_INPUTS", "32")]).await;
    assert_eq!(scene.refused(), 0);
}

#[tokio::test]
async fn a_text_at_fault_is_found_among_requests_that_are_too_large() {
    let scene = Scene::new(Shape::TEI).await;
    let provider = scene.stack.provider();
    provider.faults.refuse_inputs_with("In the year 2042");
    let (ending, _) = scene.worker(&[]).await.drain().await;
    assert_eq!(ending, Ending::Drained);
    let outcome = async |file| scene.stack.state(file).await;
    let innocent = outcome(scene.files[0]).await;
    assert_eq!(innocent.outcome(), ("completed", None));
    let guilty = outcome(scene.files[1]).await;
    assert_eq!(guilty.outcome(), ("failed", Some("embedding_rejected")));
}

#[tokio::test]
async fn lm_studio_bills_nothing_and_its_tokens_are_counted_all_the_same() {
    let scene = Scene::new(Shape::LM_STUDIO).await;
    scene.is_ingested(&[]).await;
    assert_eq!(scene.refused(), 0);
    let booked: i64 = scene
        .stack
        .value("select sum(tokens_used)::bigint from usage_logs")
        .await;
    let counted = scene.stack.provider().counts().billed_tokens;
    assert_eq!(booked, counted.cast_signed());
}

#[tokio::test]
async fn lm_studio_says_so_with_status_200_when_the_address_is_wrong() {
    let mut scene = Scene::new(Shape::LM_STUDIO).await;
    scene.base_url = scene.base_url.replace("/v1", "");
    let (ending, _) = scene.worker(&[]).await.drain().await;
    assert_eq!(ending, Ending::Halted(State::Misconfigured));
    for file in &scene.files {
        let row = scene.stack.state(*file).await;
        assert_eq!((row.status.as_str(), row.attempts), ("pending", 0));
    }
    assert_eq!(scene.stack.books().await.uncertain, 0);
}

#[tokio::test]
async fn azure_by_deployment_has_a_version_a_header_of_its_own_and_16_texts() {
    let scene = Scene::new(Shape::AZURE).await;
    scene.is_ingested(&[]).await;
}

#[tokio::test]
async fn azures_newer_address_is_like_openais() {
    let scene = Scene::new(Shape::AZURE_V1).await;
    scene.is_ingested(&[]).await;
    assert_eq!(scene.refused(), 0);
}

#[tokio::test]
async fn an_answer_without_usage_is_booked_by_our_own_count() {
    let scene = Scene::new(Shape::WITHOUT_BILL).await;
    scene.is_ingested(&[]).await;
    assert_eq!(scene.refused(), 0);
}

#[tokio::test]
async fn vectors_of_another_length_stop_the_drain_with_that_length_and_charge_nobody() {
    for (shape, wanted) in [
        (Shape::LM_STUDIO, 96),
        (Shape::OLD_VLLM, 96),
        (Shape::OPENAI, 1_600),
    ] {
        let scene = Scene::new(shape).await;
        let (model, length) = scene.model();
        adopt(&scene.stack, model, wanted).await;
        let worker = scene.worker(&[]).await;
        // The second time when it is tried again, which a person may have cured meanwhile.
        for _ in 0..2 {
            let (ending, settled) = worker.drain().await;
            let halted = Ending::Halted(State::WrongLength { found: length });
            assert_eq!(ending, halted, "{settled:?}");
            for file in &scene.files {
                let row = scene.stack.state(*file).await;
                assert_eq!((row.status.as_str(), row.attempts), ("pending", 0));
                scene.stack.make_due(*file).await;
            }
            // The answer was paid for, and no other was asked for.
            let books = scene.stack.books().await;
            assert_eq!((books.uncertain, books.settled), (0, books.bill));
            assert!(scene.stack.provider().counts().billed_requests <= 8);
            let mut state = worker.app.embedder().state();
            state
                .wait_for(|state| !state.is_final())
                .await
                .expect("a pump");
        }
        scene.stack.keeps_its_promises().await;
    }
}

#[tokio::test]
async fn doctor_says_what_a_server_of_ones_own_accepts_or_what_to_set() {
    let place = Place::new().await;
    let doctor = async |shape: Shape, dimensions: &str| {
        let (model, _) = shape.model.expect("a model of its own");
        let mut command = place.command(&["doctor"]);
        command
            .env("OPENAI_BASE_URL", place.provider.imitate(shape))
            .env("OPENAI_API_KEY", "")
            .env("EMBEDDING_MODEL", model)
            .env("EMBEDDING_DIMENSIONS", dimensions);
        finish(command).await
    };
    for (shape, accepts) in [
        (
            Shape::OLLAMA,
            "offers nomic-embed-text; accepts dimensions and base64",
        ),
        (
            Shape::VLLM,
            "offers BAAI/bge-m3; accepts base64 but not dimensions",
        ),
        (Shape::OLD_VLLM, "accepts neither dimensions nor base64"),
    ] {
        let (_, dimensions) = shape.model.expect("a model of its own");
        let said = doctor(shape, &dimensions.to_string()).await.exits(0);
        assert!(said.out.contains(accepts), "{said:?}");
    }
    let said = doctor(Shape::TEI, "1536").await.exits(1);
    let advice = "vectors have 384 numbers and not 1536; set EMBEDDING_DIMENSIONS to 384";
    assert!(said.out.contains(advice), "{said:?}");
}

#[tokio::test]
async fn files_are_ingested_and_found_through_a_server_of_ones_own_without_a_key() {
    let place = Place::new().await;
    let user = place.stack.user().await;
    let (model, dimensions) = Shape::VLLM.model.expect("a model of its own");
    adopt(&place.stack, model, dimensions).await;
    place.write("heron.txt", "The heron stands still in the shallow water.");
    let user = user.to_string();
    let run = async |arguments: &[&str]| {
        let mut command = place.command(arguments);
        command
            .env("OPENAI_BASE_URL", place.provider.imitate(Shape::VLLM))
            .env("OPENAI_API_KEY", "")
            .env("EMBEDDING_MODEL", model)
            .env("EMBEDDING_DIMENSIONS", dimensions.to_string());
        finish(command).await.exits(0)
    };
    run(&["ingest", "--user", &user, "heron.txt"]).await;
    let said = run(&["search", "heron", "--user", &user]).await;
    assert!(said.out.contains("stands still"), "{said:?}");
}
