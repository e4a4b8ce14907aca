//! Files whose chunking rules changed are chunked anew, and pay for what changed.

use crate::{program::finish, stack::Stack, work::sections};

async fn reingest(stack: &Stack, which: &str) -> String {
    let said = finish(stack.program(&["reingest", "--where", which])).await;
    said.exits(0).out
}

/// A note and a text, completed.
async fn library(stack: &Stack) {
    stack.cut_by_sections().await;
    let user = stack.user().await;
    stack.file(user, "tea.md", sections(1700..1704)).await;
    stack.file(user, "note.txt", "The house bought tea.").await;
    stack.worker().await.drain().await;
}

#[tokio::test]
async fn only_those_whose_rules_changed_since_are_due_again() {
    let stack = Stack::new().await;
    library(&stack).await;
    assert_eq!(
        reingest(&stack, "config-changed").await,
        "0 files put back in the queue\n"
    );
    stack
        .sql("update file_type_configs set chunk_size = 300 where mime_type = 'text/markdown'")
        .await;
    assert_eq!(
        reingest(&stack, "config-changed").await,
        "1 file put back in the queue\n"
    );
    let due: String = stack
        .value(
            "select string_agg(original_name, ' ') from files where processing_status = 'pending'",
        )
        .await;
    assert_eq!(due, "tea.md");
    stack.worker().await.drain().await;
    assert_eq!(
        reingest(&stack, "config-changed").await,
        "0 files put back in the queue\n"
    );
    stack.keeps_its_promises().await;
}

#[tokio::test]
async fn those_of_a_type_or_all_are_due_again_and_the_same_chunks_cost_nothing() {
    let stack = Stack::new().await;
    library(&stack).await;
    let paid = stack.provider().counts();
    assert_eq!(
        reingest(&stack, "type=text/plain").await,
        "1 file put back in the queue\n"
    );
    stack.worker().await.drain().await;
    assert_eq!(
        reingest(&stack, "all").await,
        "2 files put back in the queue\n"
    );
    stack.worker().await.drain().await;
    assert_eq!(stack.provider().counts(), paid);
    let wrong = finish(stack.program(&["reingest", "--where", "some"])).await;
    wrong
        .exits(2)
        .complains_of(&["config-changed", "type=MIME"]);
}
